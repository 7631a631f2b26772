"""Real clips in memory, for benchmarks of what happens to them after reading."""

from itertools import islice
from pathlib import Path

import numpy as np

from mac.data import video


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
