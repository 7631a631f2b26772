"""Person boxes: run a detector over the videos of a data set, at their own size (supplementary §5)."""

from itertools import islice
from pathlib import Path

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
        mac.models.detector.NoDetectorError: the detector's weights can't be obtained.
        mac.data.boxes.BoxesError: published boxes are missing or malformed.
    """
    if config.detector == "published":
        return boxes.read(root, videos, config.min_score)
    detector = PersonDetector(config.detector, weights, device)
    rows = []
    for row in videos.itertuples():
        frames = islice(enumerate(video.read(root / row.file, row.width, row.height)), 0, None, config.every)
        while batch := list(islice(frames, BATCH)):
            numbers, images = zip(*batch, strict=True)
            for number, found in zip(numbers, detector.detect(list(images), config.min_score), strict=True):
                rows += [(row.path, number, *box) for box in found.tolist()]
    table = pd.DataFrame(rows, columns=boxes.COLUMNS)
    return boxes.hold(table, videos, config.every)
