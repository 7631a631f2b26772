"""The disk a plan needs: data sets, frame stores, checkpoints, results."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mac.config import FinetuneConfig, PretrainConfig, StoreConfig
from mac.costs import flops
from mac.costs.sizes import Sizes
from mac.costs.throughput import FrameBytes
from mac.plan import Plan

NUMBER = 4  # bytes of a float32


class Disk(NamedTuple):
    """Bytes of one kind of file: all the plan's, and those that are there."""

    what: str
    total: int
    there: int


def disk(plan: Plan, results: Path | None, sizes: Sizes, frames: list[FrameBytes]) -> list[Disk]:
    """Estimate what a plan leaves on the disk.

    Args:
        plan: what is wanted.
        results: where finished work lies; None counts nothing as there.
        sizes: of the data sets.
        frames: measured bytes of stored frames.
    """
    found = [sizes.find(dataset).gigabytes for dataset in plan.datasets.values()]
    parts = [Disk("downloads and videos", round(1e9 * sum(found)), 0)]
    stores = [_store(config, results, sizes, frames) for config in plan.stores.values()]
    parts.append(Disk("frame stores", sum(need for need, _ in stores), sum(there for _, there in stores)))
    for what, ending, size in (
        ("backbones", "safetensors", backbone_bytes),
        ("training states", "state.pt", _state_of(sizes)),
    ):
        total = there = 0
        for run_id, pretraining in plan.pretrainings.items():
            paths = (
                [results / "pretrain" / run_id / f"epoch_{e}.{ending}" for e in pretraining.epochs] if results else []
            )
            there += sum(path.stat().st_size for path in paths if path.exists())
            total += len(pretraining.epochs) * size(pretraining.config)
        parts.append(Disk(what, total, there))
    for what, name, bytes_of in (
        ("classifiers", "classifier.safetensors", _classifier),
        ("predictions", "predictions.parquet", _predictions),
    ):
        paths = [results / "finetune" / i / name for i in plan.finetunings] if results else []
        there = sum(path.stat().st_size for path in paths if path.exists())
        parts.append(Disk(what, sum(bytes_of(f.config, sizes) for f in plan.finetunings.values()), there))
    return parts


def backbone_bytes(config: PretrainConfig) -> int:
    """Bytes of a checkpoint that finetuning starts from."""
    return NUMBER * flops.numbers(config.model.backbone, config.model.width)[1]


def state_bytes(config: PretrainConfig, labels: int = 400) -> int:
    """Bytes of a full training state: networks, key encoder, queue, and the optimiser's copies.

    Args:
        config: the pretraining.
        labels: classes of its data set, where it learns labels.
    """
    trained, kept = flops.numbers(config.model.backbone, config.model.width)
    features = flops.features(config.model.width)
    if config.task == "supervised":
        outputs, contrast = labels, None
    else:
        p, contrast = config.pretext, config.contrast
        outputs = 0 if p is None else p.k**p.segments if p.objective == "cross_entropy" else p.segments
    head = (features + 1) * outputs
    projector = (features + 1) * contrast.hidden + (contrast.hidden + 1) * contrast.dim if contrast else 0
    networks = kept + head + projector
    keys = kept + projector + contrast.queue * contrast.dim if contrast else 0
    copies = 2 if config.optimiser.name == "adamw" else 1
    return NUMBER * (networks + keys + copies * (trained + head + projector))


def finetuning_bytes(config: FinetuneConfig, labels: int = 400) -> int:
    """Bytes of a finetuning's state: network, classifier, and the optimiser's copies; ``labels`` are its classes."""
    trained, kept = flops.numbers(config.model.backbone, config.model.width)
    head = (flops.features(config.model.width) + 1) * labels
    return NUMBER * (kept + head + (2 if config.optimiser.name == "adamw" else 1) * (trained + head))


def _state_of(sizes: Sizes) -> Callable[[PretrainConfig], int]:
    return lambda config: state_bytes(config, sizes.find(config.store.dataset).labels or 400)


def _store(config: StoreConfig, results: Path | None, sizes: Sizes, frames: list[FrameBytes]) -> tuple[int, int]:
    facts = results / "store" / config.identify() / "store.json" if results else None
    if facts and facts.exists():
        size = json.loads(facts.read_text(encoding="utf-8"))["bytes"]
        return size, size
    pixels = config.width * config.height
    nearest = min(frames, key=lambda f: abs(math.log(f.width * f.height / pixels)))
    per_frame = nearest.bytes * pixels / (nearest.width * nearest.height)
    return round(per_frame * sizes.find(config.dataset).frames), 0


def _classifier(config: FinetuneConfig, sizes: Sizes) -> int:
    """A finetuned backbone and its linear classifier."""
    outputs = (flops.features(config.model.width) + 1) * (sizes.find(config.store.dataset).labels or 100)
    return NUMBER * (flops.numbers(config.model.backbone, config.model.width)[1] + outputs)


def _predictions(config: FinetuneConfig, sizes: Sizes) -> int:
    """A row of logits for each test video; other columns are small."""
    _, tested = sizes.sides(config.store.dataset, config.split)
    return tested * (NUMBER * (sizes.find(config.store.dataset).labels or 100) + 50)
