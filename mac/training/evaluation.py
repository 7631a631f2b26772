"""Tests on whole videos (method §3): clips spread evenly over each, scaled, cut from the centre, outputs averaged.

And the score of a pretext on videos that were not trained on.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.data.clips import test_frames
from mac.data.store import FrameStore
from mac.methods.method import HELD_OUT
from mac.training import batches
from mac.training.batches import Batch
from mac.training.processor import autocast
from mac.training.transfer import send


@torch.no_grad()
def mean_outputs(
    network: Callable[[torch.Tensor], torch.Tensor],
    config: Any,
    store: FrameStore,
    videos: np.ndarray,
    num_frames: int,
    size: int,
    clips_at_once: int,
    device: torch.device,
    loader_workers: int,
    before_batch: Callable[[], None] = lambda: None,
) -> torch.Tensor | None:
    """Average a network's outputs over the test clips of each video.

    Args:
        network: maps clips (B, 3, T, S, S), normalised, to outputs (B, D).
        config: of the stage; ``evaluate`` gives the number of clips, their stride and positions and the scale of
            frames, and ``precision`` bf16 lets the network compute in bfloat16.
        store: the frames.
        videos: (N,) of the store.
        num_frames: T.
        size: S, pixels of the square that is cut out of the middle of scaled frames.
        clips_at_once: about how many clips to compute at a time; at least one video's.
        device: where the network is.
        loader_workers: reading processes.
        before_batch: called before each batch; may raise to leave.

    Returns:
        (N, D) float32 on the CPU; None where there is no video.
    """
    e, means = config.evaluate, []
    choose = partial(all_clips, num_frames, e)
    planned = batches.of_one_epoch("test", batches.in_turn(videos, max(clips_at_once // e.num_clips, 1)))
    for batch in batches.read(store, planned, choose, workers=loader_workers, pinned=device.type == "cuda"):
        before_batch()
        frames = batch.to(device).frames.flatten(0, 1).unflatten(0, (-1, num_frames))
        view = normalise(crop(frames, send(centre_crops(len(frames), e.scale, size), device), size))
        with autocast(config.precision, device):
            outputs = network(view.contiguous(memory_format=torch.channels_last_3d)).float()
        means.append(outputs.unflatten(0, (-1, e.num_clips)).mean(1))
    return torch.cat(means).cpu() if means else None


def all_clips(num_frames: int, e: Any, lengths: np.ndarray, _: int | str, videos: np.ndarray) -> np.ndarray:
    """Frame numbers (B, num_clips·T) of all test clips, one after the other; ``e`` is the section ``evaluate``."""
    return test_frames(lengths, num_frames, e.stride, e.num_clips, e.positions).reshape(len(videos), -1)


@torch.no_grad()
def held_out_scores(
    learner: Any,
    read: Callable[[batches.Plan], Iterator[Batch]],
    videos: np.ndarray,
    size: int,
    before_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Average the held-out scores of a :class:`mac.methods.learner.Learner` over videos (N,).

    All its processes call this, and get the same; the learner is left in evaluation mode.

    Args:
        learner: of the pretraining.
        read: reads planned batches.
        videos: of the store.
        size: videos of a batch.
        before_batch: called before each batch; may raise to leave.
    """
    learner.eval()
    found: dict[str, list[torch.Tensor]] = {}
    for batch in read(batches.of_one_epoch(HELD_OUT, batches.in_turn(learner.world.share(videos), size))):
        before_batch()
        drawn = send(learner.draw(batch.videos, HELD_OUT), learner.device)
        for name, values in learner.held_out(batch.to(learner.device), drawn).items():
            found.setdefault(name, []).append(values)
    parts = learner.world.collect({name: torch.cat(values).cpu() for name, values in found.items()})
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: float(torch.cat([part[name] for part in parts if name in part]).mean()) for name in names}


def table_of(store: FrameStore, videos: np.ndarray, predicted: np.ndarray, **more: Any) -> pd.DataFrame:
    """Tabulate class indices predicted for videos (N,): ``path``, ``group``, ``label``, ``predicted`` and ``more``."""
    rows = store.videos.iloc[videos]
    known = {"path": rows["path"], "group": rows["group"], "label": rows["label_index"]}
    return pd.DataFrame({name: own.to_numpy() for name, own in known.items()} | {"predicted": predicted} | more)
