"""Batches of clips: which videos in which order, read by any number of worker processes with the same result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mac.data.store import FrameStore
from mac.randomness import uniform


@dataclass(frozen=True)
class Batch:
    """Frames as stored: ``frames`` uint8 (B, T, H, W, 3), ``boxes`` (B, T, K, 4) or None, ``videos`` int64 (B,)."""

    videos: np.ndarray
    frames: torch.Tensor
    boxes: torch.Tensor | None

    def pin_memory(self) -> "Batch":
        """Move to page-locked memory, from where a GPU copies while it computes; the loader calls it."""
        return Batch(self.videos, self.frames.pin_memory(), None if self.boxes is None else self.boxes.pin_memory())


def epoch_order(videos: np.ndarray, batch_size: int, keys: tuple[int | str, ...]) -> list[np.ndarray]:
    """Shuffle videos (N,) into batches; what doesn't fill a batch is left out of this epoch (unless N < batch_size)."""
    order = videos[np.argsort(uniform((*keys, videos), 1)[:, 0], kind="stable")]
    count = max(len(order) // batch_size, 1)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(count)]


def in_turn(videos: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut videos (N,) into batches in their own order, the last one possibly smaller."""
    return [videos[i : i + batch_size] for i in range(0, len(videos), batch_size)]


class _Batches(Dataset):
    """One item is one whole batch, so that a worker reads a batch at a time."""

    def __init__(
        self, store: FrameStore, batches: list[np.ndarray], choose: Callable[[np.ndarray], np.ndarray], boxes: bool
    ) -> None:
        self.store, self.batches, self.choose, self.boxes = store, batches, choose, boxes

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Batch:
        videos = self.batches[i]
        frames = self.choose(videos)
        boxes = torch.from_numpy(self.store.boxes(videos, frames)) if self.boxes else None
        return Batch(videos, torch.from_numpy(self.store.clips(videos, frames)), boxes)


def read(
    store: FrameStore,
    batches: list[np.ndarray],
    choose: Callable[[np.ndarray], np.ndarray],
    boxes: bool = False,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Read batches in order.

    Args:
        store: where frames come from.
        batches: videos of each batch.
        choose: gives the frame numbers (B, T) of videos (B,).
        boxes: read person boxes too.
        workers: reading processes; 0 reads in this one. Changes nothing but the time.
        pinned: put them into page-locked memory, for a GPU.
    """
    source = _Batches(store, batches, choose, boxes)
    return iter(DataLoader(source, batch_size=None, num_workers=workers, pin_memory=pinned))
