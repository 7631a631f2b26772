"""What a training is measured on: the default row's configurations, and stand-ins for frames and a run's folder."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.harness import ROOT
from mac import plan
from mac.config import FinetuneConfig, PretrainConfig
from mac.methods.learner import Learner
from mac.stages.finetune import ActionLearner
from mac.training import processor
from mac.training.loop import Loop
from mac.training.trainer import build_optimiser

CLASSES = 101


def default_row(scale: str) -> tuple[PretrainConfig, FinetuneConfig]:
    """Resolve the row that overrides nothing, at a scale."""
    planned = plan.load(ROOT / "config", scale)
    finetuning = planned.finetunings[planned.default].config
    return planned.pretrainings[finetuning.pretrain_id].config, finetuning


class RandomStore:
    """A frame store's face with random frames behind it."""

    def __init__(self, videos: int, width: int, height: int) -> None:
        """Stand in for so many videos."""
        self.videos = pd.DataFrame({"label_index": np.arange(videos) % CLASSES, "path": "", "group": ""})
        self.labels, self.lengths = [str(i) for i in range(CLASSES)], np.full(videos, 300)
        self._frames = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), np.uint8)

    def select(self, split: int, side: str, min_share: float = 0.0) -> np.ndarray:
        """All videos."""
        return np.arange(len(self.videos))

    def clips(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Frames (B, T, H, W, 3)."""
        return self._frames[frames % len(self._frames)]


class NoFolder:
    """A run folder that keeps nothing."""

    state = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Do nothing, whatever is asked."""
        return lambda *_, **__: None


def learner_of(config: PretrainConfig | FinetuneConfig, store: Any, device: torch.device) -> torch.nn.Module:
    """Build what a stage trains, as it does."""
    if isinstance(config, PretrainConfig):
        return Learner(config, store.videos["label_index"].to_numpy(), device)
    learner = ActionLearner(config, store, device)
    processor.to_fast_layout(learner.classifier, device)
    return learner


def loop_of(config: PretrainConfig | FinetuneConfig, learner: torch.nn.Module, folder: Any = None) -> Loop:
    """Build a stage's loop; without a folder it keeps nothing."""
    o = config.optimiser
    optimiser = build_optimiser(learner.trained, o.name, 1e-4, o.sgd_momentum, o.weight_decay)
    return Loop("benchmark", learner, optimiser, lambda _: 1e-4, o.gradient_clip, folder or NoFolder())
