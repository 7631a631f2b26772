"""Every kind of training that there is, at the smoke scale's sizes, on random frames; and what a pretraining leaves."""

import io
import pickle
import sys

import numpy as np
import torch
from torch.utils._pytree import tree_map

from benchmarks.harness import ROOT
from benchmarks.stand_ins import RandomStore, learner_of, loop_of
from mac.config import write_config
from mac.experiment import merge, parse, unfold
from mac.methods.method import HELD_OUT
from mac.stages import finetune, pretrain
from mac.stages.finetune import ActionLearner
from mac.tracking import journal
from mac.training import batches, readers
from mac.training.batches import Batch
from mac.training.distributed import ALONE
from mac.training.run_folder import RunFolder
from mac.training.transfer import send
from mac.validation import read_yaml

KINDS = {
    "MAC-SC-2": {},
    "MAC-SC-2, one direction": {"pretrain.contrast.symmetric": False},
    "MAC-SC-4": {"pretrain.pretext.segments": 4},
    "MAC-S-2": {"pretrain.contrast": None},
    "mse": {"pretrain.pretext.objective": "mse", "pretrain.pretext.reverse": True},
    "mse_n": {"pretrain.pretext.objective": "mse_n"},
    "contrast alone": {"pretrain.pretext": None},
    "release preset": {"pretrain.mask.preset": "release", "pretrain.pretext.preset": "release"},
    "release preset, uneven momentum": {"pretrain.mask.preset": "release", "pretrain.mask.momentum": 0.1},
    "person boxes": {"pretrain.mask.source": "person_boxes"},
    "AdamW": {"pretrain.optimiser.name": "adamw"},
    "pace": {"pretrain.method": "pace", "pretrain.contrast": None, "pretrain.pace.paces": [1, 2]},
    "pace with contrast": {"pretrain.method": "pace"},
    "pace on MAC's clips": {"pretrain.method": "pace", "pretrain.attenuate": {"k": 4, "segments": 2}},
    "clip order": {"pretrain.method": "clip_order", "pretrain.contrast": None},
    "clip order with contrast": {"pretrain.method": "clip_order"},
    "cloze": {"pretrain.method": "cloze", "pretrain.contrast": None},
    "cloze on MAC's clips": {"pretrain.method": "cloze", "pretrain.attenuate": {"k": 2, "segments": 4}},
    "background erasing": {"pretrain.method": "background_erasing"},
    "R3D-18": {"model.backbone": "r3d_18"},
    "S3D": {"model.backbone": "s3d"},
    "supervised": {},
    "finetuning": {},
    "finetuning, AdamW": {"finetune.optimiser.name": "adamw"},
}
SHORT = {"pretrain.clip.num_frames": 4, "pretrain.clip_order.interval": 0, "pretrain.cloze.interval": 0}  # several fit
KINDS = {kind: {**SHORT, **own} if kind.startswith(("clip order", "cloze")) else own for kind, own in KINDS.items()}
STEPS, CPU = 2, torch.device("cpu")  # steps of an epoch


def experiment(scale="smoke", **overrides):
    """A scale; without another backbone, with a small one."""
    tree = merge(*(read_yaml(ROOT / "config" / name) for name in ("default.yaml", f"scales/{scale}.yaml")))
    del tree["tables"]
    return parse(merge(tree, unfold({"model.backbone": "r2plus1d_10", "model.channels": "torchvision"} | overrides)))


def build(kind, settings, device):
    """A training's store, configuration and learner."""
    store, task = RandomStore(8, 32, 24), "supervised" if kind == "supervised" else None
    is_finetuning = kind.startswith("finetuning")
    config = settings.finetuning(1, 1, "random") if is_finetuning else settings.pretraining(1, 1, task)
    return store, config, learner_of(config, store, device)


def reader(store, num_frames, pinned=False):
    def read(planned):
        for _, videos in planned:
            frames = np.broadcast_to(np.arange(num_frames), (len(videos), num_frames))
            corners = torch.rand(len(videos), num_frames, 2, 2, generator=torch.Generator().manual_seed(0))
            boxes = torch.cat([corners / 2, corners + 0.5], -1)
            batch = Batch(videos, torch.from_numpy(store.clips(videos, frames)), boxes)
            yield batch.pin_memory() if pinned else batch

    return read


def order(_):
    return [np.arange(4), np.arange(4, 8)]


def train(kind, settings, device, between=lambda: None, after=lambda: None):
    """Two epochs with a snapshot between, a held-out score or a test; ``between`` and ``after`` enclose the second."""
    store, config, learner = build(kind, settings, device)
    clips = 1 if isinstance(learner, ActionLearner) else learner.method.read
    loop, read = loop_of(config, learner), reader(store, clips * config.clip.num_frames, device.type == "cuda")
    loop.train(1, order, read)
    state = tree_map(lambda value: value.cpu() if isinstance(value, torch.Tensor) else value, loop.state())
    torch.save(state, written := io.BytesIO())  # as a snapshot is written and read
    written.seek(0)
    loop.restore(torch.load(written, map_location="cpu", weights_only=True))
    between()
    loop.train(2, order, read)
    after()
    learner.eval()
    if isinstance(learner, ActionLearner):
        logits = finetune.predict(config, store, learner.classifier, device)["logits"]
        found = {"logits": torch.from_numpy(np.stack(logits.to_numpy()))}
    else:
        (batch,) = read([("held out", np.arange(4))])
        found = learner.held_out(batch.to(device), send(learner.draw(batch.videos, HELD_OUT), device))
    state = loop.state()
    return {"learner": state["learner"], "optimiser": state["optimiser"], "found": found}


def run_pretraining(
    config,
    store,
    folder,
    workers=0,
    save_every=600.0,
    is_stopping=lambda: False,
    world=ALONE,
    device=CPU,
    monitor_epochs=0,
):
    """Train all epochs in one segment whose files lie in a folder."""
    running = RunFolder(folder / "running", config.identify(), save_every, is_stopping, world)
    outputs = pretrain.Outputs(folder / "b.safetensors", folder / "s.pt", folder / "j.jsonl")
    until, how = config.optimiser.epochs, {"world": world, "monitor_epochs": monitor_epochs}
    final = pretrain.run(config, store, until, None, outputs, running, device, workers, **how)
    running.discard()
    return final


def start_readers_by_fork(monkeypatch):
    """Spare reading processes their imports; what they get must be picklable all the same."""
    loader = batches.DataLoader
    monkeypatch.setattr(readers, "START_METHOD", "fork")
    monkeypatch.setattr(batches, "DataLoader", lambda source, **how: loader(pickle.loads(pickle.dumps(source)), **how))


def pretrain_command(config, store, folder, *more, device="cpu"):
    """The same as a rule calls it."""
    path = folder / config.identify() / "config.yaml"
    write_config(path, config)
    words = ["--config", path, "--store", store.folder / "store.json", "--folder", folder / "running"]
    outputs = {"backbone": "b.safetensors", "state": "s.pt", "journal": "j.jsonl", "metrics": "m.json"}
    words += [word for name, file in outputs.items() for word in (f"--{name}", folder / file)]
    words += ["--until", config.optimiser.epochs, "--device", device, *more]
    return [sys.executable, "-m", "mac", "pretrain", *map(str, words)]


def varies(name):
    """Whether time decides what a journal has under this name."""
    return name in ("time", "clips_per_second") or "system/" in name


def outcome(folder):
    """What a training left in a folder: its state, and its metrics without what time decides."""
    events = [event for event in journal.read(folder / "j.jsonl") if event["event"] in ("metrics", "end")]
    points = [{name: value for name, value in event.items() if not varies(name)} for event in events]
    return [torch.load(folder / "s.pt", weights_only=True), points]


def assert_equal(found, expected, values=lambda tensor: tensor.detach().cpu(), path="", rtol=0.0, atol=0.0):
    """Compare two trees, without tolerances bit for bit; ``values`` reads a tensor of the first."""
    if isinstance(expected, torch.Tensor) and not rtol:
        assert torch.equal(values(found), expected.detach().cpu()), path
    elif isinstance(expected, torch.Tensor | float) and rtol:
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key], values, f"{path}.{key}", rtol, atol)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal(one, other, values, f"{path}[{i}]", rtol, atol)
    else:
        assert found == expected, path
