"""What a plan costs: work counted from the configuration and from finished runs' files, device hours, and disk."""

import csv
import json
import math
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig, StoreConfig
from mac.costs.throughput import PROBED_AT_ONCE, Kind, Throughput, ThroughputFile, kinds_of, network
from mac.data import catalog
from mac.data.check import USABLE
from mac.methods import method_of
from mac.plan import Plan
from mac.tracking import journal
from mac.validation import ConfigError

STAGES = ("pretrain", "finetune", "test", "probe")
NOWHERE = Path(os.devnull)  # a results folder in which no file is found
NUMBER = 4  # bytes of a float32


class Size(NamedTuple):
    """Of a data set: training and test videos by split, all frames, GB of downloads, and how they are known."""

    sides: dict[int, tuple[int, int]]
    frames: int
    gigabytes: float
    origin: str


def sizes(plan: Plan, config_dir: Path, results: Path = NOWHERE) -> dict[str, Size]:
    """Count the videos and frames of a plan's data sets, by id: by their indexes, else by the catalog's lists.

    Raises:
        ConfigError: neither an index nor the catalog says how many videos a data set has.
    """
    sources = catalog.load(config_dir / "catalog.yaml")
    return {i: _size(dataset, sources, config_dir, results / "dataset" / i) for i, dataset in plan.datasets.items()}


def _size(dataset: DatasetConfig, sources: dict[str, catalog.Source], config_dir: Path, folder: Path) -> Size:
    source, generated = sources.get(dataset.name), dataset.embedded
    gigabytes = float(source.gigabytes or 0) if source and not generated else 0.0
    if (folder / "index.parquet").exists():
        table = pd.read_parquet(folder / "index.parquet")
        table = table[table["status"].isin(USABLE)]
        counts = {split: table[f"split_{split}"].value_counts() for split in dataset.splits}
        sides = {split: (int(found.get("train", 0)), int(found.get("test", 0))) for split, found in counts.items()}
        return Size(sides, int(table["num_frames"].sum()), gigabytes, "index")
    if generated:
        videos = generated.classes * generated.videos_per_class
        frames, origin = videos * generated.num_frames, "as generated, sides as in the official lists"
    elif source is None or not source.sides or not source.mean_frames:
        raise ConfigError(
            [
                f"{config_dir}/catalog.yaml: {dataset.name}: how many videos each split has is not said — give it"
                " `sides` and `mean_frames`, or index it first (target `data`) and say where with --results"
            ]
        )
    elif dataset.subset:
        with (config_dir / "subsets" / f"{dataset.subset}.csv").open(encoding="utf-8") as manifest:
            lengths = [int(row["num_frames"]) for row in csv.DictReader(manifest)]
        videos, frames, origin = len(lengths), sum(lengths), "manifest, its share of the lists"
    else:
        videos, frames, origin = source.videos, source.videos * source.mean_frames, "official lists"
    # Data may be generated under any name: without official lists a quarter is tested.
    lists, listed = (source.sides, source.videos) if source and source.sides else ([[3, 1]] * len(dataset.splits), 4)
    share = videos / listed
    sides = {split: (round(train * share), round(test * share)) for split, (train, test) in enumerate(lists, 1)}
    return Size(sides, frames, gigabytes * share, origin)


def work(plan: Plan, known: dict[str, Size], results: Path = NOWHERE) -> pd.DataFrame:
    """Count the work of every run of a plan, and how much of it the files of a results folder replace.

    Args:
        plan: what is wanted.
        known: sizes of the data sets, by id.
        results: where finished work lies.

    Returns:
        A row for each run and stage: ``run``; ``stage``, one of :data:`STAGES`; ``state`` of the run in words (done,
        open, or how far it came); ``kind`` of step; ``clips`` and ``steps`` of it; the share ``done``, 0 … 1; and
        ``clips_left`` and ``steps_left``.
    """
    rows: list[tuple[Any, ...]] = []
    for run_id, p in plan.pretrainings.items():
        config, folder, last = p.config, results / "pretrain" / run_id, max(p.epochs)
        videos, held_out = known[config.store.dataset.identify()].sides[config.split]
        kept = [epoch for epoch in p.epochs if (folder / f"epoch_{epoch}.json").exists()]
        running = [_last_epoch(folder / f"running_{epoch}" / "journal.jsonl") for epoch in p.epochs]
        epoch, (training, testing) = max(*kept, *running, 0), kinds_of(config)
        state, batch = _state(len(kept) == len(p.epochs), epoch, last), config.optimiser.batch_size
        rows.append((run_id, "pretrain", state, training, *_train(videos, batch, last), epoch / last))
        held_out_work = (count * len(p.epochs) for count in _test(held_out, 1, batch))
        rows.append((run_id, "test", state, testing, *held_out_work, len(kept) / len(p.epochs)))
    for run_id, f in plan.finetunings.items():
        config, folder, o = f.config, results / "finetune" / run_id, f.config.optimiser
        videos, tested = known[config.store.dataset.identify()].sides[config.split]
        if config.videos_per_class and config.store.dataset.embedded:
            videos = min(videos, config.videos_per_class * config.store.dataset.embedded.classes)
        is_finished = (folder / "metrics.json").exists()
        epoch = o.epochs if is_finished else _last_epoch(folder / "running" / "journal.jsonl")
        state, (training, testing) = _state(is_finished, epoch, o.epochs), kinds_of(config)
        rows.append((run_id, "finetune", state, training, *_train(videos, o.batch_size, o.epochs), epoch / o.epochs))
        tests = _test(tested, config.evaluate.num_clips, o.batch_size)
        rows.append((run_id, "test", state, testing, *tests, is_finished))
    for run_id, probe in plan.probes.items():
        config = probe.config
        videos = sum(known[config.store.dataset.identify()].sides[config.split])
        is_finished = (results / "probe" / run_id / "metrics.json").exists()
        counts = _test(videos, config.evaluate.num_clips, PROBED_AT_ONCE)
        rows.append((run_id, "probe", _state(is_finished, 0, 1), kinds_of(config)[1], *counts, is_finished))
    found = pd.DataFrame(rows, columns=["run", "stage", "state", "kind", "clips", "steps", "done"])
    found["done"] = found["done"].astype(float)
    left = found[["clips", "steps"]].mul(1 - found["done"], axis=0).round().astype(int)
    return found.join(left.add_suffix("_left"))


def _state(is_finished: bool, epoch: int, epochs: int) -> str:
    return "done" if is_finished else f"epoch {epoch} of {epochs}" if epoch else "open"


def _train(videos: int, batch: int, epochs: int) -> tuple[int, int]:
    """Clips and steps; an epoch leaves out the videos that don't fill a batch, unless there is only one batch."""
    steps = max(videos // batch, 1) * epochs
    return steps * min(batch, videos), steps


def _test(videos: int, clips: int, batch: int) -> tuple[int, int]:
    """Clips and steps; the clips of a video stay together."""
    return videos * clips, math.ceil(videos / max(batch // clips, 1))


def _last_epoch(path: Path) -> int:
    """The last whole epoch of a training's journal that no crash can take back; 0 without one."""
    try:
        events = journal.read_final(path)
    except (OSError, json.JSONDecodeError):
        return 0
    return max((event["epoch"] for event in events if event["event"] == "metrics"), default=0)


def hours(
    work: pd.DataFrame, throughput: Throughput, device: str, sharing: int = 1, waiting: float = 0.0
) -> pd.DataFrame:
    """Estimate the hours of all work on one kind of device.

    Args:
        work: of :func:`work`.
        throughput: of the device.
        device: its name.
        sharing: devices that share each training; all of them are counted.
        waiting: seconds they take to wait for each other once (the batch normalisation is taken over all clips).

    Returns:
        ``work`` with ``hours``, ``left`` and their ``source``, by the names of
        :data:`mac.costs.throughput.SOURCES`; missing where nothing says so.
    """
    paces = {kind: throughput.pace(device, kind) for kind in work["kind"].unique()}
    found = []
    for row in work.itertuples():
        pace, seconds = paces[row.kind], math.nan
        if pace:
            seconds = max(row.clips * pace.seconds_per_clip, row.steps * pace.seconds_per_step)
        if pace and sharing > 1 and pace.source != "own runs":  # whose speed has the waiting in it
            seconds += sharing * waiting * row.steps * waits(row.kind)
        found.append((seconds / 3600, pace.source if pace else None))
    spent = pd.DataFrame(found, columns=["hours", "source"], index=work.index)
    return work.join(spent.assign(left=spent["hours"] * (1 - work["done"])))


@cache
def waits(kind: Kind) -> int:
    """How often processes that share a step wait for each other: at each normalisation, forward and backward.

    A step of ``g`` views with gradient and ``k`` keys without has 3g + k passes; ``k`` is ``g`` or 0.
    """
    if kind.stage == "test":
        return 0
    from torch.nn import BatchNorm3d

    norms = sum(isinstance(layer, BatchNorm3d) for layer in network(kind.backbone, kind.width).modules())
    return (kind.passes - kind.passes // 3) * norms


def disk(plan: Plan, known: dict[str, Size], listed: ThroughputFile, results: Path = NOWHERE) -> pd.DataFrame:
    """Estimate what a plan leaves on the disk; predictions, metrics and figures are small beside it.

    Args:
        plan: what is wanted.
        known: sizes of the data sets, by id.
        listed: bytes of stored frames.
        results: where finished work lies.

    Returns:
        A row for each kind of file: ``what``, bytes in ``total``, and those that are ``there``.
    """
    kept = [(results / "pretrain" / i / f"epoch_{e}", p.config) for i, p in plan.pretrainings.items() for e in p.epochs]
    tested = [(results / "finetune" / i / "classifier", f.config) for i, f in plan.finetunings.items()]
    downloads = round(1e9 * sum(size.gigabytes for size in known.values()))
    files = {
        "downloads and videos": [(downloads, 0)],
        "frame stores": [_store(config, known, listed, results) for config in plan.stores.values()],
        "backbones": [_file(path.with_suffix(".safetensors"), backbone_bytes(config)) for path, config in kept],
        "training states": [_file(path.with_suffix(".state.pt"), state_bytes(config)) for path, config in kept],
        "classifiers": [_file(path.with_suffix(".safetensors"), backbone_bytes(config)) for path, config in tested],
    }
    rows = [(what, sum(size for size, _ in each), sum(there for _, there in each)) for what, each in files.items()]
    return pd.DataFrame(rows, columns=["what", "total", "there"])


def _file(path: Path, size: int) -> tuple[int, int]:
    return size, path.stat().st_size if path.exists() else 0


def _store(config: StoreConfig, known: dict[str, Size], listed: ThroughputFile, results: Path) -> tuple[int, int]:
    facts = results / "store" / config.identify() / "store.json"
    if facts.exists():
        size = json.loads(facts.read_text(encoding="utf-8"))["bytes"]
        return size, size
    return round(listed.of_a_frame("bytes", config.width * config.height) * known[config.dataset.identify()].frames), 0


def backbone_bytes(config: PretrainConfig | FinetuneConfig) -> int:
    """Bytes of a backbone with its running statistics; a classifier's head is small beside it."""
    return NUMBER * _numbers(config.model.backbone, config.model.width)


@cache
def _numbers(backbone: str, width: int) -> int:
    tensors = network(backbone, width).state_dict().values()
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def state_bytes(config: PretrainConfig) -> int:
    """Bytes of a training state: network, key encoder and queue, and the optimiser's copies; heads are small."""
    contrast = method_of(config).contrast
    copies = 1 + bool(contrast) + (2 if config.optimiser.name == "adamw" else 1)
    return copies * backbone_bytes(config) + (NUMBER * contrast.queue * contrast.dim if contrast else 0)
