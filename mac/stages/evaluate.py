"""Evaluation: several clips spread over each test video, logits averaged, one prediction a video (method §3)."""

from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from mac.config import FinetuneConfig
from mac.data.store import FrameStore
from mac.training.distributed import ALONE, World
from mac.training.evaluation_views import read_test_views
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
    means = []
    views = dict(e, num_frames=clip.num_frames, size=clip.size, clips_at_once=config.optimiser.batch_size)
    for view in read_test_views(store, world.share(videos), device, loader_workers, **views):
        before_batch()
        with autocast(config.precision, device):
            scores = model(view).float()
        means.append(scores.unflatten(0, (-1, e.num_clips)).mean(1))
    parts = world.collect(torch.cat(means).cpu() if means else None)  # a process may have had no video
    logits = torch.cat([part for part in parts if part is not None]).numpy()
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
