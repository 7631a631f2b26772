"""Evaluation: several clips spread over each test video, logits averaged, one prediction a video (method §3)."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.config import FinetuneConfig
from mac.data.clips import test_frames
from mac.data.store import FrameStore
from mac.training import batches
from mac.training.distributed import ALONE, World
from mac.training.processor import autocast


@torch.no_grad()
def run(
    config: FinetuneConfig,
    store: FrameStore,
    model: nn.Module,
    device: torch.device,
    loader_workers: int = 0,
    before_batch: Callable[[], None] = lambda: None,
    world: World = ALONE,
) -> pd.DataFrame:
    """Predict every test video of the split.

    Args:
        config: the finetuning's stage config; its ``evaluate`` section says how to test.
        store: the frames.
        model: maps clips (B, 3, T, H, W), normalised, to logits (B, classes).
        device: where the model is.
        loader_workers: reading processes.
        before_batch: called before each batch; may raise to leave.
        world: the processes that share the videos; all return the whole.

    Returns:
        One row per video in store order: ``path``, ``group``, ``label``, ``predicted`` (class indices), ``logits``
        (list of float, the mean over clips).
    """
    e, clip = config.evaluate, config.clip
    videos = store.select(config.split, "test")
    model.eval()
    per_batch = max(config.optimiser.batch_size // e.num_clips, 1)
    choose = partial(_all_clips, store.lengths, clip.num_frames, e.stride, e.num_clips)
    means = []
    planned = batches.in_turn(world.share(videos), per_batch)
    for batch in batches.read(store, planned, choose, workers=loader_workers, pinned=device.type == "cuda"):
        before_batch()
        frames = batch.frames.to(device, non_blocking=True).flatten(0, 1).unflatten(0, (-1, clip.num_frames))
        view = normalise(crop(frames, centre_crops(len(frames), e.scale, clip.size), clip.size))
        with autocast(config.precision, device):
            scores = model(view).float()
        means.append(scores.unflatten(0, (-1, e.num_clips)).mean(1).cpu())
    logits = torch.cat([mean for part in world.collect(means) for mean in part]).numpy()
    rows = store.videos.iloc[videos]
    return pd.DataFrame(
        {
            "path": rows["path"].to_numpy(),
            "group": rows["group"].to_numpy(),
            "label": rows["label_index"].to_numpy(),
            "predicted": logits.argmax(1),
            "logits": list(logits),
        }
    )


def _all_clips(lengths: np.ndarray, num_frames: int, stride: int, num_clips: int, videos: np.ndarray) -> np.ndarray:
    """Frame numbers (B, num_clips·T) of all test clips, one after the other."""
    return test_frames(lengths[videos], num_frames, stride, num_clips).reshape(len(videos), -1)
