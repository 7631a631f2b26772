"""What each stage means, in a few numbers. If one moves, a stage's new results can't stand beside its old ones.

Lists of integers (which frames, which videos, which labels) must be equal. The rest has a relative TOLERANCE, which
single-precision convolutions of different processors keep: other instruction sets of one processor
(``ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41``) move a gradient by at most an eighth of it, the rest by less.

``GOLDEN=write python -m pytest tests/test_golden.py`` writes what is found into test_golden.json.
"""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kinds import KINDS, experiment

from benchmarks.stand_ins import RandomStore, learner_of
from mac.config import MaskCheckConfig
from mac.data.clips import test_frames as frames_of_tests
from mac.masks.frame_difference import foreground_masks
from mac.methods import method_of
from mac.methods.learner import Learner
from mac.methods.method import HELD_OUT
from mac.models.cam import class_activation_maps
from mac.stages import finetune, mask_check, probe
from mac.training import batches
from mac.training.batches import Batch
from mac.training.trainer import build_optimiser

CPU, VIDEOS, TOLERANCE = torch.device("cpu"), np.array([7, 2, 5, 11]), 1e-3
METHODS = (
    "MAC-SC-2", "mse", "mse_n", "release preset", "release preset, uneven momentum", "person boxes", "contrast alone",
    "pace with contrast", "supervised",
)  # fmt: skip


class Store(RandomStore):
    """Eighteen videos of three classes: a square that moves over a background of its own."""

    digest = "0000000000"

    def __init__(self):
        super().__init__(18, 32, 24)
        number = np.arange(18)
        self.labels, self.lengths = ["a", "b", "c"], 9 + number
        self.videos = pd.DataFrame({"path": number.astype(str), "group": (number // 3).astype(str),
                                    "label_index": number % 3})  # fmt: skip

    def select(self, split, side, min_share=0.0):
        return np.arange(12) if side == "train" else np.arange(12, 18)

    def clips(self, videos, frames):
        clips = 40 + self._frames[np.broadcast_to(videos[:, None] % 16, frames.shape)] // 2
        for clip, numbers in zip(clips, frames, strict=True):
            for image, number in zip(clip, numbers, strict=True):
                image[4 : 14 + number % 5, number % 20 : number % 20 + 10] = (250, 30 * (number % 8), 60)
        return clips

    def boxes(self, videos, frames):
        left = (frames % 20 / 32).astype(np.float32)[..., None]
        return np.concatenate([left, left * 0 + 0.2, left + 0.3, left * 0 + 0.7], -1)[:, :, None]


def numbers(values):
    """A tensor in three numbers: mean, standard deviation, and a weighted mean that depends on the values' order."""
    flat = torch.as_tensor(values).detach().double().flatten()
    return [float(flat.mean()), float(flat.std()), float((flat * torch.linspace(0, 1, len(flat))).mean())]


def batch_of(store, num_frames=8):
    frames = np.broadcast_to(np.arange(num_frames), (len(VIDEOS), num_frames))
    return Batch(VIDEOS, torch.from_numpy(store.clips(VIDEOS, frames)), torch.from_numpy(store.boxes(VIDEOS, frames)))


def pretraining(kind="MAC-SC-2"):
    return experiment(**KINDS[kind]).pretraining(1, 1, "supervised" if kind == "supervised" else None)


def finetuning(**overrides):
    return experiment(**overrides).finetuning(1, 1, "random")


def step(config):
    """The losses of a first step, and what the weights are after it."""
    store = Store()
    learner, o = learner_of(config, store, CPU), config.optimiser
    optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
    learner.train()
    loss, metrics = learner(batch_of(store), learner.draw(VIDEOS, 3))
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(learner.trained, o.gradient_clip)
    optimiser.step()
    learner.after_step()
    found = {name: float(value) for name, value in metrics.items()} | {"gradient": float(norm)}
    found |= {name: numbers(value) for name, value in learner.state_dict().items() if name.endswith("head.weight")}
    if isinstance(learner, Learner):
        if learner.contrast:
            found["queue"] = [learner.contrast.filled, *numbers(learner.contrast.queue)]
        learner.eval()
        held_out = learner.held_out(batch_of(store), learner.draw(VIDEOS, HELD_OUT))
        found |= {name: float(values.mean()) for name, values in held_out.items()} | learner.chance
    return found


def mask():
    frames = torch.from_numpy(Store().clips(VIDEOS, np.tile(np.arange(8), (4, 1)))).permute(0, 4, 1, 2, 3) / 255
    return {preset: numbers(foreground_masks(frames, 0.25, 30, preset)) for preset in ("paper", "release")}


def checked_mask(folder):
    config = MaskCheckConfig.model_validate(pretraining().mask_check.model_dump())
    found = mask_check.run(config, Store(), folder / "check.png")
    return {name: found[name] for name in ("clips", "foreground", "foreground_by_frame", "empty_frames", "stability")}


def view(kind):
    config = pretraining(kind)
    learner = learner_of(config, Store(), CPU)
    drawn = learner.draw(VIDEOS, 3)
    return numbers(learner.method.view(batch_of(Store()), drawn, learner.recipe))


def frames(kind):
    """Of a training's clips in one epoch, each clip's first and last."""
    config, store = pretraining(kind), Store()
    chosen = method_of(config).frames(store.lengths[VIDEOS], 3, VIDEOS)
    return chosen[:, [0, -1]].ravel().tolist()


def order():
    config, store = finetuning(**{"finetune.videos_per_class": 2, "finetune.shuffle_labels": True}), Store()
    labelled = finetune.labelled(config, store)
    return {
        "order": np.concatenate(batches.epoch_order(np.arange(12), 4, (1, "order", 3))).tolist(),
        "labelled": labelled.tolist(),
        "shuffled labels": finetune.learned_labels(config, store)[labelled].tolist(),
        "frames": finetune._choose(config, Store().lengths[VIDEOS], 3, VIDEOS)[:, [0, -1]].ravel().tolist(),
    }


def classifier():
    learner = learner_of(finetuning(), Store(), CPU)
    learner(batch_of(Store()), learner.draw(VIDEOS, 0))  # running statistics of some data
    with torch.no_grad():
        learner.classifier.head.weight.mul_(100)
    return learner.classifier.eval()


def logits():
    found = finetune.predict(finetuning(), Store(), classifier(), CPU)
    numbers_of_frames = frames_of_tests(Store().lengths[VIDEOS], 8, 2, 3, "ends")
    return {"frames": numbers_of_frames[:, :, 0].ravel().tolist(), "logits": numbers(np.stack(found["logits"]))}


def probing():
    config = experiment().probing(finetuning())
    final, table = probe.run(config, Store(), None, CPU)
    features = probe.features(config, Store(), classifier().backbone, VIDEOS, CPU)
    return {"features": numbers(features), "matches": table["first_match"].tolist(), "penalty": final["penalty"]}


def maps():
    clip = batch_of(Store(), 16).frames.permute(0, 4, 1, 2, 3) / 255.0  # 2×2×2 cells
    return numbers(class_activation_maps(classifier(), clip, torch.tensor([0, 1, 2, 0])))


PRETRAIN, FINETUNE, PROBE = "PretrainConfig", "FinetuneConfig", "ProbeConfig"
STAGES = {
    "mask": (mask, [PRETRAIN, "MaskCheckConfig"]),
    "mask check": (checked_mask, ["MaskCheckConfig"]),
    **{f"view, {kind}": (lambda kind=kind: view(kind), [PRETRAIN]) for kind in METHODS},
    **{f"step, {kind}": (lambda kind=kind: step(pretraining(kind)), [PRETRAIN]) for kind in METHODS},
    **{f"frames, {kind}": (lambda kind=kind: frames(kind), [PRETRAIN, FINETUNE]) for kind in ("MAC-SC-2", "pace")},
    "order, labels and frames": (order, [PRETRAIN, FINETUNE]),
    "finetuning step": (lambda: step(finetuning()), [FINETUNE]),
    "test logits": (logits, [FINETUNE, PROBE]),
    "probe": (probing, [PROBE]),
    "class activation maps": (maps, []),
    "frame store": (lambda store: numbers(store.clips(*FEW)), ["DatasetConfig", "StoreConfig"]),
    "person boxes": (lambda store: numbers(np.nan_to_num(store.boxes(*FEW))), ["DatasetConfig", "BoxesConfig"]),
}  # fmt: skip
FEW = np.arange(6), np.tile(np.arange(0, 14, 3), (6, 1))
GOLDEN = Path(__file__).with_suffix(".json")


def moved(expected, found, path=""):
    """Name what differs."""
    if isinstance(expected, dict):
        return [one for key in expected | found for one in moved(expected.get(key), found.get(key), f"{path}{key}: ")]
    if isinstance(expected, list) and all(isinstance(value, int) for value in expected):
        return [] if found == expected else [f"{path}{found}, was {expected}"]
    return [] if found == pytest.approx(expected, TOLERANCE, TOLERANCE / 100) else [f"{path}{found}, was {expected}"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_means_what_it_meant(stage, frame_store, tmp_path):
    compute, versions = STAGES[stage]
    given = {"mask check": [tmp_path], "frame store": [frame_store], "person boxes": [frame_store]}.get(stage, [])
    found = json.loads(json.dumps(compute(*given)), parse_float=lambda text: float(f"{float(text):.6g}"))
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("GOLDEN") == "write":
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in (golden | {stage: found}).items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    advice = "no id contains it: make the figures again"
    if versions:
        advice = f"raise `version` of {' and '.join(versions)} in mac/config, so that older results are not reused"
    differences = "\n".join(moved(golden[stage], found))
    assert not differences, (
        f"{stage} has moved:\n{differences}\nMoving code moves none of these numbers. If the meaning is to change,"
        f" {advice}, and write the new numbers (see the head of this file)"
    )
