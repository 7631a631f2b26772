"""Pretraining on a tiny store: what is learned, from where it continues, and what it must not depend on."""

import numpy as np
import pandas as pd
import pytest
import torch
from kinds import CPU, SHORT, assert_equal, experiment, start_readers_by_fork

from mac.data.store import FrameStore, StoreError
from mac.stages import mask_check, pretrain
from mac.tracking import journal
from mac.training.checkpoint import CheckpointError
from mac.training.loop import NotFiniteError
from mac.training.run_folder import RunFolder


def configure(**overrides):
    return experiment(**overrides).pretraining(1, 1)


def outputs(folder, epoch):
    return pretrain.Outputs(*(folder / f"epoch_{epoch}.{ending}" for ending in ("safetensors", "state.pt", "jsonl")))


def train(config, store, folder, until, previous=None, workers=0):
    out = outputs(folder, until)
    running = RunFolder(folder / f"running_{until}", config.identify())
    final = pretrain.run(config, store, until, previous, out, running, CPU, workers)
    return final, torch.load(out.state, weights_only=True)


@pytest.fixture(scope="module")
def undisturbed(frame_store, tmp_path_factory):
    """The default pretraining, two epochs in one go: its folder, facts and state."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, *train(configure(), frame_store, folder, 2)


VARIANTS = {
    "MAC-SC-2 symmetric": {},
    "MAC-SC-2 one-directional": {"pretrain.contrast.symmetric": False},
    "MAC-S-4": {"pretrain.contrast": None, "pretrain.pretext.segments": 4},
    "mse": {"pretrain.pretext.objective": "mse", "pretrain.mask.preset": "release", "pretrain.pretext.reverse": True},
    "mse_n with boxes": {"pretrain.pretext.objective": "mse_n", "pretrain.mask.source": "person_boxes"},
}


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_a_chain_of_segments_ends_where_one_training_ends(frame_store, tmp_path, overrides):
    config = configure(**overrides)
    _, whole = train(config, frame_store, tmp_path / "whole", 2)
    train(config, frame_store, tmp_path / "chain", 1)
    _, chained = train(config, frame_store, tmp_path / "chain", 2, previous=tmp_path / "chain" / "epoch_1.state.pt")
    assert_equal(chained, whole)
    first, second = (folder / "epoch_2.safetensors" for folder in (tmp_path / "whole", tmp_path / "chain"))
    assert first.read_bytes() == second.read_bytes()


def test_videos_with_too_few_boxes_are_not_trained_on(frame_store, synthetic_data, tmp_path):
    chosen = np.concatenate([frame_store.select(1, "train")[::3], frame_store.select(1, "test")[:2]])
    table = pd.read_parquet(synthetic_data / "ucf101" / "person_boxes.parquet")
    is_whole = table["path"].isin(frame_store.videos.loc[chosen, "path"])
    table[is_whole | (table["frame"] < 7)].to_parquet(tmp_path / "boxes.parquet")  # the others: half of 14 frames
    store = FrameStore(frame_store.folder, tmp_path / "boxes.parquet")
    for share, expected in ((0.5, len(frame_store.select(1, "train"))), (0.6, len(chosen) - 2)):
        boxes = {"pretrain.mask.source": "person_boxes", "person_boxes.min_share_of_frames": share}
        config = configure(**boxes, **{"pretrain.optimiser.batch_size": 2})
        train(config, store, tmp_path / str(share), 1)
        (*_, last, _) = journal.read(outputs(tmp_path / str(share), 1).journal)
        assert last["step"] == expected // 2
        assert mask_check.run(config.mask_check, store, tmp_path / "check.png")["clips"] == expected


CLIP_ORDER = {"pretrain.method": "clip_order", "pretrain.contrast": None, "pretrain.optimiser.batch_size": 2} | SHORT


def test_videos_too_short_for_three_clips_are_not_trained_on(frame_store, tmp_path):
    store = FrameStore(frame_store.folder)
    train_videos = store.select(1, "train")
    store.lengths = store.lengths.copy()
    store.lengths[train_videos[:2]] = 11  # three clips of 4 frames need 12
    final, _ = train(configure(**CLIP_ORDER), store, tmp_path, 1)
    (*_, last, _) = journal.read(outputs(tmp_path, 1).journal)
    assert last["step"] == (len(train_videos) - 2) // 2
    told = f"train videos left out: 2 of {len(train_videos)} have fewer frames than the 12 that clip order needs"
    assert final["warnings"][0] == told


def test_no_video_long_enough_for_three_clips_is_told_before_training(frame_store, tmp_path):
    store = FrameStore(frame_store.folder)
    store.lengths = np.full_like(store.lengths, 11)
    with pytest.raises(StoreError, match="clip order needs videos of 12 frames, the longest of .* train videos has 11"):
        train(configure(**CLIP_ORDER), store, tmp_path, 1)
    assert not list(tmp_path.rglob("*.pt"))


def test_reading_processes_change_nothing(frame_store, tmp_path, undisturbed, monkeypatch):
    start_readers_by_fork(monkeypatch)
    assert_equal(train(configure(), frame_store, tmp_path, 2, workers=2)[1], undisturbed[2])


def test_the_seed_changes_the_result(frame_store, tmp_path, undisturbed):
    _, other = train(configure().model_copy(update={"seed": 2}), frame_store, tmp_path, 2)
    assert not torch.equal(other["learner"]["head.weight"], undisturbed[2]["learner"]["head.weight"])


def test_the_journal_tells_every_epoch_and_the_held_out_score(frame_store, undisturbed):
    folder, final, _ = undisturbed
    events = [event for event in journal.read(folder / "epoch_2.jsonl") if event["event"] not in ("saved", "warning")]
    assert [event["event"] for event in events] == ["start", "metrics", "metrics", "metrics", "end"]
    assert events[0]["index_digest"] == frame_store.digest
    assert [event["lr"] for event in events[1:3]] == [0.01, 0.001]
    assert {"pretext_loss", "pretext_top1", "contrastive_loss", "contrastive_top1", "loss"} <= events[1].keys()
    assert final["pretext_chance"] == pytest.approx(100 / 16)
    assert 0 <= final["pretext_top1_held_out"] <= 100
    for event in events[1:3]:
        assert event["loss"] == pytest.approx(0.5 * event["pretext_loss"] + 0.5 * event["contrastive_loss"], rel=1e-5)


def test_supervised_pretraining_learns_its_labels(frame_store, tmp_path):
    config = configure(
        **{
            "pretrain.optimiser.name": "adamw",
            "pretrain.optimiser.lr": 3.0e-3,
            "pretrain.optimiser.epochs": 50,
            "pretrain.optimiser.milestones": [],
            "pretrain.clip.flip_probability": 0.0,
            "pretrain.clip.scales": [[22, 16]],
            "pretrain.colour.jitter_probability": 0.0,
            "pretrain.colour.gray_probability": 0.0,
            "pretrain.pretext.dropout": 0.0,
            "model.width": 8,
        },
    ).model_copy(update={"task": "supervised"})
    train(config, frame_store, tmp_path, 50)
    epochs = [event for event in journal.read(tmp_path / "epoch_50.jsonl") if "top1" in event]
    first, last = (np.mean([event["top1"] for event in part]) for part in (epochs[:10], epochs[-10:]))
    assert last > first + 15  # three standard errors of no learning


def test_a_foreign_state_or_foreign_data_is_refused(frame_store, tmp_path, undisturbed):
    config, (folder, _, own) = configure(), undisturbed
    other, state = config.model_copy(update={"seed": 2}), folder / "epoch_2.state.pt"
    with pytest.raises(CheckpointError, match=f"state of run {config.identify()}, but this is run {other.identify()}"):
        train(other, frame_store, tmp_path / "other", 2, previous=state)
    torch.save(own | {"index_digest": "0000000000"}, tmp_path / "changed.pt")
    with pytest.raises(CheckpointError, match="data with digest 0000000000, but the store's is"):
        train(config, frame_store, tmp_path, 2, previous=tmp_path / "changed.pt")


def test_divergence_stops_with_step_and_rate(frame_store, tmp_path):
    config = configure(**{"pretrain.optimiser.lr": 1.0e30, "pretrain.optimiser.gradient_clip": 1.0e30})
    with pytest.raises(NotFiniteError, match=r"loss (nan|inf) in step .* the last finite loss was \d"):
        train(config, frame_store, tmp_path, 2)
    assert not (tmp_path / "epoch_2.state.pt").exists()
