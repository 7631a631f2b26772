"""Real video for benchmarks: clips in memory, or a store of frames."""

from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from mac.data import index, video
from mac.data.store import FrameStore, extract


def real_clips(root: Path, count: int, num_frames: int, width: int, height: int) -> np.ndarray:
    """Decode the first frames of videos under ``root``, again from the first one if there are too few.

    Returns:
        uint8 (count, num_frames, height, width, 3) RGB, every second frame.
    """
    paths = sorted(root.rglob("*.avi"))
    if not paths:
        raise SystemExit(f"{root}: no *.avi below; --data names a folder with ucf101-originals")
    clips = [np.stack(list(islice(video.read(path, width, height), 0, 2 * num_frames, 2))) for path in paths[:count]]
    return np.stack([clips[i % len(clips)] for i in range(count)])


def scanned(root: Path, workers: int = 1) -> pd.DataFrame:
    """Scan the videos under ``root``; returns an index of them, all to train on."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.avi"))
    splits = {"split_1": "train", "split_2": "", "split_3": ""}
    found = index.scan(files, root, workers)
    return found.assign(path=files, file=files, label="x", label_index=0, group="", copy="", **splits)


def real_store(root: Path, folder: Path, width: int, height: int) -> FrameStore:
    """Scan and extract the videos under ``root`` into a store of frames of that size."""
    extract(root, scanned(root), folder, width, height)
    return FrameStore(folder)
