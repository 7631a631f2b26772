"""The work a plan's runs are: which kind of step, how many, and how much of it the files of finished runs replace."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mac.costs import flops
from mac.plan import Plan
from mac.tracking import journal

Stage = Literal["pretrain", "finetune", "test"]
BACKWARD = 2  # a backward pass costs about two forward ones
Sizes = Callable[[DatasetConfig, int], tuple[int, int]]  # training and test videos of a data set's split


@dataclass(frozen=True)
class Kind:
    """What is done to one clip, and so how long it takes on a device.

    ``passes``: forward passes it costs, a backward pass counting two.
    """

    stage: Stage
    backbone: str
    width: int
    num_frames: int
    size: int
    precision: str
    passes: int

    @property
    def operations(self) -> int:
        """Multiply–accumulates a clip."""
        return self.passes * flops.multiply_accumulates(self.backbone, self.width, self.num_frames, self.size)

    @property
    def synchronisations(self) -> int:
        """How often processes that share a step wait for each other: at each normalisation, forward and backward.

        A step of ``g`` views with gradient and ``k`` keys without has 3g + k passes; ``k`` is ``g`` or 0.
        """
        if self.stage == "test":
            return 0
        views, keys = (self.passes // 4, self.passes // 4) if not self.passes % 4 else (self.passes // 3, 0)
        return (2 * views + keys) * flops.normalisations(self.backbone, self.width)


@dataclass(frozen=True)
class Work:
    """Clips of one kind that one run processes, in so many ``steps``, and how many of them are done already."""

    run: str
    kind: Kind
    clips: int
    done: int
    steps: int

    @property
    def remaining(self) -> int:
        """Clips still to process."""
        return self.clips - self.done


@dataclass(frozen=True)
class RunState:
    """How far a run is: its work, and in words what its files say."""

    run: str
    stage: Literal["pretrain", "finetune"]
    epoch: int
    epochs: int
    finished: bool
    work: tuple[Work, ...]

    @property
    def words(self) -> str:
        """``done``, ``open``, or how far it came."""
        if self.finished:
            return "done"
        return f"epoch {self.epoch} of {self.epochs}" if self.epoch else "open"


def passes_of(config: PretrainConfig) -> int:
    """Forward passes one video of a pretraining costs (a backward pass counts two).

    The attenuated view is trained on; each contrastive direction encodes a key without gradient, and the second
    direction also trains on the natural view.
    """
    contrast = config.contrast if config.task == "mac" else None
    directions = 0 if contrast is None else 2 if contrast.symmetric else 1
    return max(directions, 1) * (1 + BACKWARD) + directions


def states(plan: Plan, results: Path | None, sizes: Sizes) -> Iterator[RunState]:
    """Measure every run of a plan against the files of a results folder.

    Args:
        plan: what is wanted.
        results: the folder; None takes everything as open.
        sizes: says how many training and test videos a data set's split has.
    """
    for run_id, pretraining in plan.pretrainings.items():
        folder = results / "pretrain" / run_id if results else None
        yield _pretraining(run_id, pretraining.config, pretraining.epochs, folder, sizes)
    for run_id, finetuning in plan.finetunings.items():
        folder = results / "finetune" / run_id if results else None
        yield _finetuning(run_id, finetuning.config, folder, sizes)


def kinds_of(config: PretrainConfig | FinetuneConfig) -> tuple[Kind, Kind]:
    """The kinds of a run's training and of its test."""
    shape = (config.model.backbone, config.model.width, config.clip.num_frames, config.clip.size, config.precision)
    if isinstance(config, PretrainConfig):
        return Kind("pretrain", *shape, passes_of(config)), Kind("test", *shape, 1)
    return Kind("finetune", *shape, 1 + BACKWARD), Kind("test", *shape, 1)


def _pretraining(run_id: str, config: PretrainConfig, epochs: set[int], folder: Path | None, sizes: Sizes) -> RunState:
    videos, held_out = sizes(config.store.dataset, config.split)
    last, epoch, scored, reached = max(epochs), 0, 0, 0
    for kept in sorted(epochs):
        if folder and (folder / f"epoch_{kept}.json").exists():
            epoch, scored = kept, scored + 1
        elif folder:
            reached = max(reached, last_epoch(folder / f"running_{kept}" / "journal.jsonl"))
    is_finished = scored == len(epochs)
    epoch = last if is_finished else max(epoch, reached)
    batch = config.optimiser.batch_size
    training, testing = kinds_of(config)
    work = (
        _training(run_id, training, videos, batch, last, epoch),
        Work(run_id, testing, held_out * len(epochs), held_out * scored, -(-held_out // batch) * len(epochs)),
    )
    return RunState(run_id, "pretrain", epoch, last, is_finished, work)


def _finetuning(run_id: str, config: FinetuneConfig, folder: Path | None, sizes: Sizes) -> RunState:
    videos, tested = sizes(config.store.dataset, config.split)
    if config.videos_per_class:
        labels = config.store.dataset.embedded.classes if config.store.dataset.embedded else None
        videos = min(videos, config.videos_per_class * labels) if labels else videos
    is_finished = bool(folder and (folder / "metrics.json").exists())
    o, clips = config.optimiser, config.evaluate.num_clips
    epoch = o.epochs if is_finished else last_epoch(folder / "running" / "journal.jsonl") if folder else 0
    training, testing = kinds_of(config)
    steps = -(-tested // max(o.batch_size // clips, 1))
    work = (
        _training(run_id, training, videos, o.batch_size, o.epochs, epoch),
        Work(run_id, testing, tested * clips, tested * clips * is_finished, steps),
    )
    return RunState(run_id, "finetune", epoch, o.epochs, is_finished, work)


def _training(run_id: str, kind: Kind, videos: int, batch: int, epochs: int, done: int) -> Work:
    """An epoch leaves out what doesn't fill a batch, unless there is but one."""
    steps = max(videos // batch, 1)
    clips = steps * min(batch, videos)
    return Work(run_id, kind, clips * epochs, clips * done, steps * epochs)


def last_epoch(path: Path) -> int:
    """The last whole epoch of a training's journal that no crash can take back; 0 without one."""
    if not path.exists():
        return 0
    try:
        events = journal.read_final(path)
    except json.JSONDecodeError:
        return 0
    return max((event["epoch"] for event in events if event["event"] == "metrics"), default=0)
