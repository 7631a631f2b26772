"""What a plan costs: work counted from the configuration and from finished runs' files, device hours, and disk."""

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig, StoreConfig
from mac.costs.throughput import Kind, Observed, Pace, ThroughputFile, clips_at_once, kinds_of, network, pace
from mac.data import catalog
from mac.data.check import USABLE
from mac.methods import method_of
from mac.pipeline import writes
from mac.plan import Plan
from mac.runtime.reading import read_json, read_table
from mac.tracking import journal
from mac.validation import ConfigError

NOWHERE = Path(os.devnull)  # a results folder in which no file is found
NUMBER = 4  # bytes of a float32


class Size(NamedTuple):
    """Size of a data set: training and test videos by split, frames, classes, GB of downloads, and its source."""

    sides: dict[int, tuple[int, int]]
    frames: int
    classes: int | None
    gigabytes: float
    origin: str


def sizes(plan: Plan, config_dir: Path, results: Path = NOWHERE) -> dict[str, Size]:
    """Count the videos and frames of a plan's data sets, by id: from their indexes, else from the catalog's lists.

    Raises:
        ConfigError: neither an index nor the catalog says how many videos a data set has.
    """
    sources = catalog.load(config_dir / "catalog.yaml")
    return {i: _size(d, sources.get(d.name), config_dir, results / "dataset" / i) for i, d in plan.datasets.items()}


def _size(dataset: DatasetConfig, source: catalog.Source | None, config_dir: Path, folder: Path) -> Size:
    generated, classes = dataset.synthetic, source and source.classes
    gigabytes = float(source.gigabytes or 0) if source and not generated else 0.0
    if (folder / "index.parquet").exists():
        table = read_table(folder / "index.parquet")[lambda index: index["status"].isin(USABLE)]
        sides = {i: tuple(int((table[f"split_{i}"] == s).sum()) for s in ("train", "test")) for i in dataset.splits}
        return Size(sides, int(table["num_frames"].sum()), table["label_index"].nunique(), gigabytes, "index")
    if generated:
        classes, videos = generated.classes, generated.classes * generated.videos_per_class
        frames, origin = videos * generated.num_frames, "as generated, sides as in the official lists"
    elif source is None or not source.sides or not source.mean_frames:
        problem = f"{config_dir}/catalog.yaml: {dataset.name}: how many videos each split has is not said"
        way_out = "give it `sides` and `mean_frames`, or index it first (target `data`) and say where with --results"
        raise ConfigError([f"{problem} — {way_out}"])
    elif dataset.subset:
        table = pd.read_csv(config_dir / "subsets" / f"{dataset.subset}.csv")
        classes = table["path"].map(os.path.dirname).nunique()
        videos, frames, origin = len(table), int(table["num_frames"].sum()), "manifest, its share of the lists"
    else:
        videos, frames, origin = source.videos, source.videos * source.mean_frames, "official lists"
    # Data may be generated under any name: without official lists a quarter is tested.
    lists, listed = (source.sides, source.videos) if source and source.sides else ([[3, 1]] * len(dataset.splits), 4)
    share = videos / listed
    sides = {split: (round(train * share), round(test * share)) for split, (train, test) in enumerate(lists, 1)}
    return Size(sides, frames, classes, gigabytes * share, origin)


def epochs_done(
    plan: Plan, results: Path, read: Callable[[Path], list[dict[str, Any]]] = journal.read_final
) -> dict[str, int]:
    """Count the finished epochs of each pretraining and finetuning of a plan, by the run's id.

    ``read`` reads a running training's journal: either all of it, or only what a crash can't undo any more.
    """

    def last(path: Path) -> int:
        try:
            return max((event["epoch"] for event in read(path) if event["event"] == "metrics"), default=0)
        except (OSError, ValueError):  # cut off by a crash
            return 0

    done = {}
    for i, p in plan.pretrainings.items():
        kept = (epoch for epoch in p.epochs if writes("pretrain", i, results, epoch)["metrics"].exists())
        running = (results / "pretrain" / i / f"running_{epoch}" / "journal.jsonl" for epoch in p.epochs)
        done[i] = max(0, *kept, *map(last, running))
    for i, f in plan.finetunings.items():
        running = results / "finetune" / i / "running" / "journal.jsonl"
        done[i] = f.config.optimiser.epochs if writes("finetune", i, results)["metrics"].exists() else last(running)
    return done


def work(plan: Plan, known: dict[str, Size], results: Path = NOWHERE) -> pd.DataFrame:
    """Count the work of every run of a plan, and how much of it is done already.

    Args:
        plan: what is wanted.
        known: sizes of the data sets, by id.
        results: where finished work lies.

    Returns:
        A row for each run and stage: ``run``; ``stage`` (pretrain, finetune, test or probe); ``state`` of the run in
        words (done, open, or how far it came); ``kind`` of step; ``clips`` and ``steps`` of it; the share ``done``,
        0 … 1; and ``clips_left`` and ``steps_left``.
    """
    rows, done = [], epochs_done(plan, results)

    def is_finished(stage: str, run_id: str, epoch: int | None = None) -> bool:
        return writes(stage, run_id, results, epoch)["metrics"].exists()

    for run_id, p in plan.pretrainings.items():
        config, last, (training, testing) = p.config, max(p.epochs), kinds_of(p.config)
        videos, held_out = known[config.store.dataset.identify()].sides[config.split]
        kept, batch = sum(is_finished("pretrain", run_id, epoch) for epoch in p.epochs), clips_at_once(config)
        state = _state(kept == len(p.epochs), done[run_id], last)
        rows.append((run_id, "pretrain", state, training, *_train(videos, batch, last), done[run_id] / last))
        tests = _test(held_out, 1, batch, len(p.epochs))
        rows.append((run_id, "test", state, testing, *tests, kept / len(p.epochs)))
    for run_id, f in plan.finetunings.items():
        config, last, (training, testing) = f.config, f.config.optimiser.epochs, kinds_of(f.config)
        size, batch = known[config.store.dataset.identify()], clips_at_once(config)
        (videos, tested), is_done = size.sides[config.split], is_finished("finetune", run_id)
        if config.videos_per_class and size.classes:
            videos = min(videos, config.videos_per_class * size.classes)
        state = _state(is_done, done[run_id], last)
        rows.append((run_id, "finetune", state, training, *_train(videos, batch, last), done[run_id] / last))
        rows.append((run_id, "test", state, testing, *_test(tested, config.evaluate.num_clips, batch), is_done))
    for run_id, probe in plan.probes.items():
        config, is_done = probe.config, is_finished("probe", run_id)
        videos = sum(known[config.store.dataset.identify()].sides[config.split])
        tests = _test(videos, config.evaluate.num_clips, clips_at_once(config))
        rows.append((run_id, "probe", _state(is_done, 0, 1), kinds_of(config)[1], *tests, is_done))
    found = pd.DataFrame(rows, columns=["run", "stage", "state", "kind", "clips", "steps", "done"])
    found = found.astype({"clips": int, "steps": int, "done": float})
    left = found[["clips", "steps"]].mul(1 - found["done"], axis=0).round().astype(int)
    return found.join(left.add_suffix("_left"))


def _state(is_finished: bool, epoch: int, epochs: int) -> str:
    return "done" if is_finished else f"epoch {epoch} of {epochs}" if epoch else "open"


def _train(videos: int, batch: int, epochs: int) -> tuple[int, int]:
    """Clips and steps; an epoch leaves out the videos that don't fill a batch, unless there is only one batch."""
    steps = max(videos // batch, 1) * epochs
    return steps * min(batch, videos), steps


def _test(videos: int, clips: int, batch: int, times: int = 1) -> tuple[int, int]:
    """Clips and steps; the clips of a video stay together."""
    return videos * clips * times, math.ceil(videos / max(batch // clips, 1)) * times


def hours(
    work: pd.DataFrame, device: str, known: list[Observed], listed: ThroughputFile, sharing: int = 1
) -> pd.DataFrame:
    """Estimate the hours of all work on one kind of device.

    Args:
        work: of :func:`work`.
        device: its name.
        known: what has been observed of any device.
        listed: ``throughput.yaml``.
        sharing: devices that share each training; all of them are counted. They wait for each other, because the batch
            normalisation is taken over all clips.

    Returns:
        ``work`` with ``hours``, ``left`` and their ``source``, by the names of
        :data:`mac.costs.throughput.SOURCES`; missing where they aren't known.
    """
    unknown = Pace(math.nan, math.nan, None)
    paces = {kind: pace(device, kind, known, listed) or unknown for kind in work["kind"].unique()}
    own = pd.DataFrame([paces[kind] for kind in work["kind"]], columns=Pace._fields, index=work.index)
    seconds = np.maximum(work["clips"] * own["seconds_per_clip"], work["steps"] * own["seconds_per_step"])
    if sharing > 1:  # the speed of own runs has the waiting in it
        waiting = sharing * listed.seconds_per_wait * work["steps"] * work["kind"].map(waits)
        seconds += waiting.where(own["source"] != "own runs", 0.0)
    return work.assign(hours=seconds / 3600, source=own["source"], left=seconds / 3600 * (1 - work["done"]))


@cache
def waits(kind: Kind) -> int:
    """How often processes that share a step wait for each other: at each normalisation, forward and backward.

    A step of ``g`` views with gradient and ``k`` keys without has 3g + k passes, of which g are backward passes that
    count two; ``k`` is ``g`` or 0.
    """
    if kind.stage == "test":
        return 0
    from torch.nn import BatchNorm3d

    norms = sum(isinstance(layer, BatchNorm3d) for layer in network(*kind.network).modules())
    return (kind.passes - kind.passes // 3) * norms


def disk(plan: Plan, known: dict[str, Size], listed: ThroughputFile, results: Path = NOWHERE) -> pd.DataFrame:
    """Estimate what a plan leaves on the disk; predictions, metrics and figures are small beside it.

    ``known`` are the sizes of the data sets, by id, ``listed`` says how many bytes a stored frame has, and ``results``
    is where finished work lies.

    Returns:
        A row for each kind of file: ``what``, bytes in ``total``, and those that are ``there``.
    """

    def file(path: Path, size: int) -> tuple[int, int]:
        return size, path.stat().st_size if path.exists() else 0

    def store(run_id: str, config: StoreConfig) -> tuple[int, int]:
        if (facts := writes("store", run_id, results)["out"]).exists():
            return (size := read_json(facts)["bytes"]), size
        of_a_frame = listed.of_a_frame("bytes", config.width * config.height)
        return round(of_a_frame * known[config.dataset.identify()].frames), 0

    segments = [(writes("pretrain", i, results, e), p.config) for i, p in plan.pretrainings.items() for e in p.epochs]
    finetunings = [(writes("finetune", i, results), f.config) for i, f in plan.finetunings.items()]
    files = {
        "downloads and videos": [(round(1e9 * sum(size.gigabytes for size in known.values())), 0)],
        "frame stores": [store(*item) for item in plan.stores.items()],
        "backbones": [file(files["backbone"], backbone_bytes(config)) for files, config in segments],
        "training states": [file(files["state"], state_bytes(config)) for files, config in segments],
        "classifiers": [file(files["classifier"], backbone_bytes(config)) for files, config in finetunings],
    }
    rows = [(what, *map(sum, zip((0, 0), *each, strict=True))) for what, each in files.items()]
    return pd.DataFrame(rows, columns=["what", "total", "there"])


def backbone_bytes(config: PretrainConfig | FinetuneConfig) -> int:
    """Bytes of a backbone with its running statistics; a classifier's head is small beside it."""
    return NUMBER * _numbers(*config.model.network[:3])


@cache
def _numbers(backbone: str, width: int, channels: str) -> int:
    tensors = network(backbone, width, channels).state_dict().values()
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def state_bytes(config: PretrainConfig) -> int:
    """Bytes of a training state: network, key encoder and queue, and the optimiser's copies; heads are small."""
    contrast = method_of(config).contrast
    copies = 1 + bool(contrast) + (2 if config.optimiser.name == "adamw" else 1)
    return copies * backbone_bytes(config) + (NUMBER * contrast.queue * contrast.dim if contrast else 0)
