"""Batches of clips: which videos in which order, read by any number of worker processes with the same result."""

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mac.data.store import FrameStore
from mac.randomness import shuffle
from mac.runtime.waiting import told_each
from mac.training import readers


@dataclass(frozen=True)
class Batch:
    """Frames as stored: ``frames`` uint8 (B, T, H, W, 3), ``boxes`` (B, T, K, 4) or None, ``videos`` int64 (B,)."""

    videos: np.ndarray
    frames: torch.Tensor
    boxes: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        """Bytes of the frames and boxes."""
        return self.frames.nbytes + (0 if self.boxes is None else self.boxes.nbytes)

    def to(self, device: torch.device) -> "Batch":
        """Put frames and boxes on a device; from page-locked memory the host doesn't wait for it."""
        boxes = None if self.boxes is None else self.boxes.to(device, non_blocking=True)
        return Batch(self.videos, self.frames.to(device, non_blocking=True), boxes)

    def pin_memory(self) -> "Batch":
        """Move to page-locked memory, from where a GPU copies while it computes; the loader calls it."""
        return Batch(self.videos, self.frames.pin_memory(), None if self.boxes is None else self.boxes.pin_memory())


def epoch_order(videos: np.ndarray, batch_size: int, keys: tuple[int | str, ...]) -> list[np.ndarray]:
    """Shuffle videos (N,) into batches; what doesn't fill a batch is left out of this epoch (unless N < batch_size)."""
    order = shuffle(videos, keys)
    count = max(len(order) // batch_size, 1)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(count)]


def in_turn(videos: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut videos (N,) into batches in their own order, the last one possibly smaller."""
    return [videos[i : i + batch_size] for i in range(0, len(videos), batch_size)]


Plan = Iterable[tuple[int | str, np.ndarray]]  # of each batch its epoch (or the name of a test) and its videos
Choose = Callable[[np.ndarray, int | str, np.ndarray], np.ndarray]


def of_one_epoch(epoch: int | str, batches: list[np.ndarray]) -> Plan:
    """Plan the batches of one epoch."""
    return [(epoch, batch) for batch in batches]


class _Batches(Dataset):
    """One item is one whole batch, so that a worker reads a batch at a time."""

    def __init__(self, store: FrameStore, choose: Choose, boxes: bool) -> None:
        self.store, self.choose, self.boxes = store, choose, boxes

    def __getitem__(self, planned: tuple[int | str, np.ndarray]) -> Batch:
        epoch, videos = planned
        frames = self.choose(self.store.lengths[videos], epoch, videos)
        boxes = torch.from_numpy(self.store.boxes(videos, frames)) if self.boxes else None
        return Batch(videos, torch.from_numpy(self.store.clips(videos, frames)), boxes)


def read(
    store: FrameStore,
    planned: Plan,
    choose: Choose,
    boxes: bool = False,
    workers: int = 0,
    pinned: bool = False,
) -> Generator[Batch]:
    """Read batches in order, until all are read or the generator is closed.

    Args:
        store: where frames come from.
        planned: all batches that will be read, of any number of epochs: the workers live until the last.
        choose: gives the frame numbers (B, T) of an epoch's videos (B,), whose lengths (B,) in frames it gets first.
            Workers need it to be picklable, and small: they start one after the other.
        boxes: read person boxes too.
        workers: reading processes; 0 reads in this one. Changes nothing but the time.
        pinned: put them into page-locked memory, for a GPU.

    Raises:
        mac.training.readers.ReadersError: this machine's shared memory or temporary folder doesn't suffice for workers.
    """
    source = _Batches(store, choose, boxes)
    if not workers:
        yield from DataLoader(source, sampler=planned, batch_size=None, pin_memory=pinned)
        return
    planned = iter(planned)
    first = list(islice(planned, 1))
    for epoch, videos in first:  # a clip tells how large a batch is
        readers.check(workers, source[epoch, videos[:1]].nbytes * len(videos))
    loader = DataLoader(
        source,
        sampler=chain(first, planned),
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        multiprocessing_context=readers.START_METHOD,
        worker_init_fn=partial(readers.begin, os.getpid()),
    )
    with readers.starting():
        batches = iter(loader)
    yield from told_each(batches, f"frames: {workers} processes read them from {store.folder}")
