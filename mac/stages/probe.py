"""Zero-training measures of a backbone: a linear classifier on its features, and video retrieval by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mac.config import RETRIEVAL_KS, ProbeConfig
from mac.data.store import FrameStore
from mac.models.backbones import build
from mac.models.heads import ActionClassifier
from mac.models.probe import choose_penalty, first_matches, fit_linear, score_linear, standardise
from mac.training import checkpoint
from mac.training.evaluation import mean_outputs, table_of
from mac.training.processor import seeded, to_fast_layout

CLIPS_AT_ONCE = 32


def run(
    config: ProbeConfig, store: FrameStore, weights: Path | None, device: torch.device, loader_workers: int = 0
) -> tuple[dict[str, object], pd.DataFrame]:
    """Probe a backbone: nothing of it is trained.

    Args:
        config: the resolved stage.
        store: its frames.
        weights: the backbone's checkpoint; None for the random weights that finetuning from scratch starts from.
        device: where to compute features.
        loader_workers: reading processes.

    Returns:
        ``top1`` of the linear probe [percent], the ``penalty`` it chose, ``recall`` [percent] by k, and the number of
        ``training_videos``; and one row a test video in store order: ``path``, ``group``, ``label``, ``predicted`` (by
        the probe) and ``first_match``, the rank of its nearest training video of the same class.

    Raises:
        ValueError: weights are given for a random start or missing for another, or features are not finite.
    """
    if (weights is None) != (config.initial == "random"):
        raise ValueError(f"probing {config.initial!r} weights, but the backbone given is {weights}")
    backbone = to_fast_layout(_backbone(config, len(store.labels), weights), device).eval()
    sides = [store.select(config.split, side) for side in ("train", "test")]
    train, test = (features(config, store, backbone, videos, device, loader_workers) for videos in sides)
    if not (train.isfinite().all() and test.isfinite().all()):
        raise ValueError(f"{weights or 'random weights'}: features are not finite; this backbone can't be measured")
    labels = torch.tensor(store.videos["label_index"].to_numpy())
    own, asked = (labels[videos] for videos in sides)
    groups = store.videos["group"].to_numpy()[sides[0]]
    known, new = standardise(train, test)
    penalty = choose_penalty(known, own, groups, len(store.labels), config.penalties, config.folds)
    predicted = score_linear(new, fit_linear(known, own, len(store.labels), penalty)).argmax(1)
    matches = first_matches(test, asked, train, own)
    table = table_of(store, sides[1], predicted.numpy(), first_match=matches.numpy())
    recall = {str(k): 100 * float((matches <= k).double().mean()) for k in RETRIEVAL_KS}
    top1 = 100 * float((predicted == asked).double().mean())
    return {"top1": top1, "penalty": penalty, "recall": recall, "training_videos": len(train)}, table


def features(
    config: ProbeConfig,
    store: FrameStore,
    backbone: torch.nn.Module,
    videos: np.ndarray,
    device: torch.device,
    loader_workers: int = 0,
) -> torch.Tensor:
    """Compute the features (N, D) of videos (N,), each the mean over its test clips."""
    sizes = (config.num_frames, config.size, CLIPS_AT_ONCE)
    return mean_outputs(backbone, config, store, videos, *sizes, device, loader_workers)


def _backbone(config: ProbeConfig, classes: int, weights: Path | None) -> torch.nn.Module:
    with seeded((config.seed, "classifier")):  # as finetuning builds it: random weights are the same ones
        backbone = ActionClassifier(build(*config.model.network), classes).backbone
    if weights:
        checkpoint.load_weights(weights, backbone)
    return backbone
