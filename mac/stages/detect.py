"""Person boxes: run a detector over the videos of a data set, at their own size (supplementary §5)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mac.config import BoxesConfig
from mac.data import boxes, video
from mac.models.detector import PersonDetector

BATCH = 8  # frames at a time


def run(
    config: BoxesConfig, root: Path, videos: pd.DataFrame, weights: Path | None, device: torch.device
) -> pd.DataFrame:
    """Find or read the person boxes of some videos.

    Args:
        config: the resolved stage.
        root: the data set's folder.
        videos: usable rows of its index.
        weights: the detector's file; None lets torchvision fetch it.
        device: where to run.

    Returns:
        The columns of :func:`mac.data.boxes.read`, a row a box, for every frame.

    Raises:
        mac.models.detector.NoDetectorError: the detector's weights can't be had.
        mac.data.boxes.BoxesError: published boxes are missing or malformed.
    """
    if config.detector == "published":
        return boxes.read(root, videos, config.min_score)
    detector = PersonDetector(config.detector, weights, device)
    rows = []
    for row in videos.itertuples():
        for numbers, frames in _batches(root / row.file, row.width, row.height, config.every):
            for number, found in zip(numbers, detector.detect(frames, config.min_score), strict=True):
                rows += [(row.path, number, *box) for box in found.tolist()]
    table = pd.DataFrame(rows, columns=boxes.COLUMNS)
    return boxes.hold(table, videos, config.every)


def _batches(path: Path, width: int, height: int, every: int) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    numbers, frames = [], []
    for number, frame in enumerate(video.read(path, width, height)):
        if number % every == 0:
            numbers.append(number)
            frames.append(frame)
        if len(frames) == BATCH:
            yield numbers, frames
            numbers, frames = [], []
    if frames:
        yield numbers, frames
