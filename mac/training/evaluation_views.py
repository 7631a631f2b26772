"""The views a video is tested on: clips spread evenly over it, scaled, cut from the centre, normalised (method §3)."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.data.clips import test_frames
from mac.data.store import FrameStore
from mac.training import batches
from mac.training.transfer import send


def read_test_views(
    store: FrameStore,
    videos: np.ndarray,
    device: torch.device,
    loader_workers: int = 0,
    *,
    num_frames: int,
    size: int,
    stride: int,
    num_clips: int,
    scale: list[int],
    clips_at_once: int,
) -> Iterator[torch.Tensor]:
    """Read videos in order, some at a time.

    Args:
        store: the frames.
        videos: (N,) of the store.
        device: where the views are made.
        loader_workers: reading processes.
        num_frames: T.
        size: S, pixels of the square cut out of the middle.
        stride: frames between two of a clip.
        num_clips: C clips a video.
        scale: width and height of the frames before.
        clips_at_once: about how many clips to give at a time; at least one video's.

    Yields:
        Clips (B·C, 3, T, S, S), a video's one after the other.
    """
    choose = partial(_all_clips, num_frames, stride, num_clips)
    planned = batches.of_one_epoch("test", batches.in_turn(videos, max(clips_at_once // num_clips, 1)))
    for batch in batches.read(store, planned, choose, workers=loader_workers, pinned=device.type == "cuda"):
        frames = batch.to(device).frames.flatten(0, 1).unflatten(0, (-1, num_frames))
        yield normalise(crop(frames, send(centre_crops(len(frames), scale, size), device), size))


def _all_clips(
    num_frames: int, stride: int, num_clips: int, lengths: np.ndarray, _: int | str, videos: np.ndarray
) -> np.ndarray:
    """Frame numbers (B, num_clips·T) of all test clips, one after the other."""
    return test_frames(lengths, num_frames, stride, num_clips).reshape(len(videos), -1)
