"""Pretraining on a tiny store: what is learned, from where it continues, and what it must not depend on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mac.config import PretrainConfig
from mac.experiment import merge, parse, unfold
from mac.stages import pretrain
from mac.tracking import journal
from mac.training.checkpoint import CheckpointError
from mac.training.loop import NotFiniteError
from mac.training.run_folder import RunFolder
from mac.validation import read_yaml

CPU = torch.device("cpu")


def configure(root: Path, **overrides) -> PretrainConfig:
    scale = read_yaml(root / "config" / "scales" / "smoke.yaml")
    scale.pop("tables")
    tree = merge(merge(read_yaml(root / "config" / "default.yaml"), scale), unfold(overrides))
    return parse(tree).pretraining(seed=1, split=1)


def outputs(folder: Path, epoch: int) -> pretrain.Outputs:
    return pretrain.Outputs(*(folder / f"epoch_{epoch}.{ending}" for ending in ("safetensors", "state.pt", "jsonl")))


def train(config, store, folder, until, previous=None, workers=0):
    out = outputs(folder, until)
    running = RunFolder(folder / f"running_{until}", config.identify())
    final = pretrain.run(config, store, until, previous, out, running, CPU, workers)
    return final, torch.load(out.state, weights_only=True)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


VARIANTS = {
    "MAC-SC-2 symmetric": {},
    "MAC-SC-2 one-directional": {"pretrain.contrast.symmetric": False},
    "MAC-S-4": {"pretrain.contrast": None, "pretrain.pretext.segments": 4},
    "mse": {"pretrain.pretext.objective": "mse", "pretrain.mask.preset": "release", "pretrain.pretext.reverse": True},
    "mse_n with boxes": {"pretrain.pretext.objective": "mse_n", "pretrain.mask.source": "person_boxes"},
}


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_a_chain_of_segments_ends_where_one_training_ends(root, frame_store, tmp_path, overrides):
    config = configure(root, **overrides)
    _, whole = train(config, frame_store, tmp_path / "whole", 2)
    train(config, frame_store, tmp_path / "chain", 1)
    _, chained = train(config, frame_store, tmp_path / "chain", 2, previous=tmp_path / "chain" / "epoch_1.state.pt")
    assert same(whole, chained)
    first, second = (folder / "epoch_2.safetensors" for folder in (tmp_path / "whole", tmp_path / "chain"))
    assert first.read_bytes() == second.read_bytes()


def test_reading_processes_change_nothing(root, frame_store, tmp_path):
    config = configure(root)
    _, alone = train(config, frame_store, tmp_path / "0", 1)
    _, helped = train(config, frame_store, tmp_path / "2", 1, workers=2)
    assert same(alone, helped)


def test_the_seed_changes_the_result(root, frame_store, tmp_path):
    config = configure(root)
    other = config.model_copy(update={"seed": 2})
    _, a = train(config, frame_store, tmp_path / "a", 1)
    _, b = train(other, frame_store, tmp_path / "b", 1)
    assert not same(a["learner"], b["learner"])


def test_the_journal_tells_every_epoch_and_the_held_out_score(root, frame_store, tmp_path):
    config = configure(root)
    final, _ = train(config, frame_store, tmp_path, 2)
    events = [event for event in journal.read(tmp_path / "epoch_2.jsonl") if event["event"] != "saved"]
    assert [event["event"] for event in events] == ["start", "metrics", "metrics", "metrics", "end"]
    assert events[0]["index_digest"] == frame_store.digest
    assert [event["lr"] for event in events[1:3]] == [0.01, 0.001]
    assert {"pretext_loss", "pretext_top1", "contrastive_loss", "contrastive_top1", "loss"} <= events[1].keys()
    assert final["pretext_chance"] == pytest.approx(100 / 16)
    assert 0 <= final["pretext_top1_held_out"] <= 100
    for event in events[1:3]:
        assert event["loss"] == pytest.approx(0.5 * event["pretext_loss"] + 0.5 * event["contrastive_loss"], rel=1e-5)


def test_supervised_pretraining_learns_its_labels(root, frame_store, tmp_path):
    config = configure(
        root,
        **{
            "pretrain.optimiser.name": "adamw",
            "pretrain.optimiser.lr": 3.0e-3,
            "pretrain.optimiser.epochs": 90,
            "pretrain.optimiser.milestones": [],
            "pretrain.clip.flip_probability": 0.0,
            "pretrain.clip.scales": [[22, 16]],
            "pretrain.colour.jitter_probability": 0.0,
            "pretrain.colour.gray_probability": 0.0,
            "pretrain.pretext.dropout": 0.0,
            "model.width": 8,
        },
    ).model_copy(update={"task": "supervised"})
    train(config, frame_store, tmp_path, 90)
    epochs = [event for event in journal.read(tmp_path / "epoch_90.jsonl") if "top1" in event]
    first, last = (np.mean([event["top1"] for event in part]) for part in (epochs[:10], epochs[-10:]))
    assert last > first + 15  # three standard errors of no learning


def test_a_foreign_state_or_foreign_data_is_refused(root, frame_store, tmp_path):
    config = configure(root)
    train(config, frame_store, tmp_path, 1)
    state = tmp_path / "epoch_1.state.pt"
    other = config.model_copy(update={"seed": 2})
    with pytest.raises(CheckpointError, match=f"state of run {config.identify()}, but this is run {other.identify()}"):
        train(other, frame_store, tmp_path / "o", 2, previous=state)
    changed = torch.load(state, weights_only=True) | {"index_digest": "0000000000"}
    torch.save(changed, state)
    with pytest.raises(CheckpointError, match="data with digest 0000000000, but the store's is"):
        train(config, frame_store, tmp_path / "o", 2, previous=state)


def test_divergence_stops_with_step_and_rate(root, frame_store, tmp_path):
    config = configure(root, **{"pretrain.optimiser.lr": 1.0e30, "pretrain.optimiser.gradient_clip": 1.0e30})
    with pytest.raises(NotFiniteError, match=r"loss (nan|inf) in step .* the last finite loss was \d"):
        train(config, frame_store, tmp_path, 2)
    assert not (tmp_path / "epoch_2.state.pt").exists()
