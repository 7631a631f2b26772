"""Every kind of training that there is, at the smoke scale's sizes, on random frames."""

import numpy as np
import torch

from benchmarks.harness import ROOT
from benchmarks.stand_ins import RandomStore, learner_of, loop_of
from mac.experiment import merge, parse, unfold
from mac.methods.method import HELD_OUT
from mac.stages import finetune
from mac.stages.finetune import ActionLearner
from mac.training.batches import Batch, send
from mac.training.snapshots import pack, unpack
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
    "R3D-18": {"model.backbone": "r3d_18"},
    "S3D": {"model.backbone": "s3d"},
    "supervised": {},
    "finetuning": {},
    "finetuning, AdamW": {"finetune.optimiser.name": "adamw"},
}
STEPS = 2  # an epoch


def experiment(**overrides):
    """The smoke scale; without another backbone, a small one."""
    tree = merge(*(read_yaml(ROOT / "config" / name) for name in ("default.yaml", "scales/smoke.yaml")))
    del tree["tables"]
    return parse(merge(tree, unfold({"model.backbone": "r2plus1d_10"} | overrides)))


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
    loop, read = loop_of(config, learner), reader(store, config.clip.num_frames, device.type == "cuda")
    loop.train(1, order, read)
    loop.restore(unpack(pack(loop.state())))  # as a snapshot is written and read
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


def assert_equal(found, expected, values=lambda tensor: tensor.detach().cpu(), path=""):
    """Compare two states bit for bit; ``values`` reads a tensor of the first."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(values(found), expected.detach().cpu()), path
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key], values, f"{path}.{key}")
    elif isinstance(expected, list):
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_equal(a, b, values, f"{path}[{i}]")
    else:
        assert found == expected, path
