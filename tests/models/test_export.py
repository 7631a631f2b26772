"""Exported weights: the lines on the card, run as they stand, give what our network gives."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from mac import plan
from mac.cli import main, weights
from mac.config import FinetuneConfig, ModelConfig, PretrainConfig, write_config
from mac.models.backbones import build
from mac.models.heads import DropoutLinear
from mac.run_ids import UnknownRunError
from mac.runtime.atomic import write_json
from mac.stages.export import ExportError
from mac.training import checkpoint


def model_of(text):
    """``BACKBONE/WIDTH``, with ``/paper`` behind it for the paper's channels."""
    backbone, width, *channels = text.split("/")
    return ModelConfig(backbone=backbone, width=int(width), channels=(channels or ["torchvision"])[0])


FACTS = {"device": "CPU", "commit": "abc", "torch": "2", "index_digest": "0123456789", "seconds": 1.0}


def network(model):
    """A backbone whose running statistics are not the initial ones, and some clips."""
    torch.manual_seed(0)
    backbone = build(*model.network)
    clips = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        backbone.train()(torch.randn(4, 3, 8, 32, 32))
    return backbone.eval(), clips


def leave_pretraining(root, results, backbone, model, epochs=(3,)):
    base = next(iter(plan.load(root / "config", "paper").pretrainings.values())).config
    config = PretrainConfig(**dict(base) | {"model": model})
    folder = results / "pretrain" / config.identify()
    write_config(folder / "config.yaml", config)
    for epoch in epochs:
        facts = {"pretrain_id": folder.name, "epoch": str(epoch)}
        checkpoint.save_weights(folder / f"epoch_{epoch}.safetensors", backbone, facts)
        write_json(folder / f"epoch_{epoch}.json", {"epoch": epoch, "pretext_top1_held_out": 12.5, **FACTS})
    return config.identify()


def leave_finetuning(root, results, backbone, model, **changes):
    base = next(iter(plan.load(root / "config", "paper").finetunings.values())).config
    config = FinetuneConfig(**dict(base) | {"model": model} | changes)
    folder = results / "finetune" / config.identify()
    write_config(folder / "config.yaml", config)
    final = {"finetune_id": config.identify(), "pretrain_id": config.pretrain_id, "pretrain_epoch": config.epoch}
    final |= {"top1": 87.65, "videos": 3783, "seed": 1, "split": 1, "dataset": "ucf101", "classes": ["a", "b", "c"]}
    write_json(folder / "metrics.json", final | FACTS)
    head = DropoutLinear(backbone.num_features, 3, 0.5)
    tensors = {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    tensors |= {f"head.{k}": v for k, v in head.state_dict().items()}
    facts = {"mac": json.dumps({"finetune_id": folder.name, "classes": final["classes"]})}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "classifier.safetensors", facts)
    return config.identify(), head


def export(root, results, run_id, out, epoch=None):
    arguments = {"run_id": run_id, "results": results, "out": out, "epoch": epoch, "scales": ["paper"]}
    weights.export.callback(**arguments, config_dir=root / "config")
    return out.with_suffix(".md").read_text()


def run_the_card(card, folder, clip, monkeypatch):
    """Run the lines of Python on a card, in the folder the card lies in."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    monkeypatch.chdir(folder)
    names = {"clip": clip}
    with torch.no_grad():
        exec(code, names)
    return code, names


@pytest.mark.parametrize(
    "text",
    [
        *("r2plus1d_18/64/paper", "r2plus1d_10/64/paper", "r2plus1d_10/8/paper"),
        *("r2plus1d_18/64", "r2plus1d_10/64", "r3d_18/64", "s3d/64", "r2plus1d_18/8", "s3d/8"),
    ],
)
def test_the_cards_lines_give_our_features(root, tmp_path, monkeypatch, text):
    backbone, clip = network(model := model_of(text))
    run_id = leave_pretraining(root, tmp_path / "results", backbone, model)
    card = export(root, tmp_path / "results", run_id, tmp_path / "out" / "weights.safetensors")
    code, names = run_the_card(card, tmp_path / "out", clip, monkeypatch)
    with torch.no_grad():
        torch.testing.assert_close(names["features"], backbone(clip), rtol=1e-5, atol=1e-6)
    assert len(re.findall(r"^model[. ](?!eval)", code, re.M)) <= 4
    assert ("mac" in code) == (model.width != 64)


@pytest.mark.parametrize("text", ["r2plus1d_18/64/paper", "r3d_18/64", "r2plus1d_10/64", "s3d/64", "r2plus1d_10/8"])
def test_a_finetunings_lines_give_our_logits(root, tmp_path, monkeypatch, text):
    backbone, clip = network(model := model_of(text))
    run_id, head = leave_finetuning(root, tmp_path / "results", backbone, model)
    card = export(root, tmp_path / "results", run_id, tmp_path / "out" / "weights.safetensors")
    _, names = run_the_card(card, tmp_path / "out", clip, monkeypatch)
    with torch.no_grad():
        torch.testing.assert_close(names["logits"], head(backbone(clip)), rtol=1e-5, atol=1e-6)
    assert "Classes, in the order of the logits: a, b, c." in card
    assert "87.7 %" in card


@pytest.fixture
def small(root, tmp_path):
    """A narrow pretraining with two checkpoints, and a finetuning from the second."""
    backbone, _ = network(model := model_of("r2plus1d_10/8"))
    results = tmp_path / "results"
    run_id = leave_pretraining(root, results, backbone, model, epochs=(3, 5))
    start = {"initial": "pretrained", "pretrain_id": run_id, "epoch": 5}
    finetune_id, _ = leave_finetuning(root, results, backbone, model, **start)
    return results, run_id, finetune_id


def test_the_card_says_what_its_weights_are(root, tmp_path, small):
    results, run_id, finetune_id = small
    card = export(root, results, run_id, tmp_path / "w.safetensors")
    assert "epoch 5" in card.splitlines()[0]
    assert f"| ucf101 | 1 | 1 | 87.7 | 3,783 | `{finetune_id}` |" in card
    assert "`0123456789`" in card
    assert "channels are R, G, B" in card
    assert "[0.485, 0.456, 0.406]" in card
    assert "YouTube, for research" in card
    assert "torchvision builds no network of width 8" in card
    assert finetune_id not in export(root, results, run_id, tmp_path / "w.safetensors", epoch=3)


def test_the_same_run_gives_the_same_bytes(root, tmp_path, small):
    results, run_id, _ = small
    for name in ("a", "b"):
        export(root, results, run_id, tmp_path / name / "w.safetensors")
    for ending in ("md", "safetensors"):
        assert (tmp_path / "a" / f"w.{ending}").read_bytes() == (tmp_path / "b" / f"w.{ending}").read_bytes()


def test_an_unknown_run_is_refused(root, tmp_path, small):
    results, run_id, _ = small
    mistyped = run_id[:-2] + ("zz" if run_id[-2:] != "zz" else "yy")
    with pytest.raises(UnknownRunError, match=f"{mistyped}: no run in .* begins so; `python -m mac plan"):
        export(root, results, mistyped, tmp_path / "w.safetensors")


def test_the_beginning_of_an_id_is_enough(root, tmp_path, small):
    results, run_id, _ = small
    for name, text in (("a", run_id), ("b", run_id[:5]), ("c", f"pretrain/{run_id[:5]}")):
        export(root, results, text, tmp_path / name / "w.safetensors")
        assert run_id in (tmp_path / name / "w.md").read_text()


def test_a_deleted_checkpoint_says_how_to_make_it_again(root, tmp_path, small):
    results, run_id, _ = small
    (results / "pretrain" / run_id / "epoch_5.safetensors").unlink()
    with pytest.raises(ExportError, match=r"epoch_5.safetensors: .*was deleted. Kept: 3. The rule `pretrain`"):
        export(root, results, run_id, tmp_path / "w.safetensors", epoch=5)
    with pytest.raises(ExportError, match="no checkpoint of that epoch"):
        export(root, results, run_id, tmp_path / "w.safetensors", epoch=4)
    with pytest.raises(ExportError, match="no checkpoint of that epoch"):
        export(root, results, run_id, tmp_path / "w.safetensors", epoch=0)
    assert "epoch 3" in export(root, results, run_id, tmp_path / "w.safetensors").splitlines()[0]


def test_a_finetuning_without_its_classifier_says_the_way_out(root, tmp_path, small):
    results, run_id, finetune_id = small
    (results / "finetune" / finetune_id / "classifier.safetensors").unlink()
    with pytest.raises(
        ExportError, match=f"classifier.safetensors: missing .*or export what it started from: {run_id}"
    ):
        export(root, results, finetune_id, tmp_path / "w.safetensors")


def test_anothers_weights_are_refused(root, tmp_path, small):
    results, run_id, finetune_id = small
    other, _ = network(model_of("r2plus1d_18/8"))
    path = results / "pretrain" / run_id / "epoch_5.safetensors"
    for facts, message in (
        ({"pretrain_id": "0000000000", "epoch": "5"}, "written for pretrain_id 0000000000"),
        ({"pretrain_id": run_id, "epoch": "5"}, "not a checkpoint of this backbone"),
    ):
        checkpoint.save_weights(path, other, facts)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            export(root, results, run_id, tmp_path / "w.safetensors")
    shutil.copy(results / "pretrain" / run_id / "epoch_3.safetensors",
                results / "finetune" / finetune_id / "classifier.safetensors")  # fmt: skip
    with pytest.raises(checkpoint.CheckpointError, match=f"written for finetune_id None, not {finetune_id}"):
        export(root, results, finetune_id, tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


def test_the_command_line_is_one_message(root, tmp_path, small):
    results, run_id, _ = small
    with pytest.raises(SystemExit, match="must end in .safetensors"):
        main(["export", run_id, "--results", str(results), "--out", str(tmp_path / "w.pt")])
    config = ["--config-dir", str(root / "config"), "--scale", "smoke"]
    main(["export", run_id, "--results", str(results), "--out", str(tmp_path / "w.safetensors"), *config])
    assert sorted(path.name for path in tmp_path.glob("w.*")) == ["w.md", "w.safetensors"]
