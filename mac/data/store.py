"""The frame store: every usable video's frames at one small size, ready to be sampled at random.

A store is a folder: ``frames.npy`` (uint8, all videos' frames one after the other, H×W×3 RGB, memory-mapped),
``videos.parquet`` (the index's usable rows with the position ``first`` of each video's first frame), ``store.json``
(frame size, index digest), and ``boxes.npy`` with one person box a frame where the data set ships them.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mac.data import index, video


class FrameStore:
    """A data set's frames and labels, read-only.

    Attributes:
        videos: one row per usable video, in index order (path, label, label_index, group, splits, num_frames, first).
        digest: the index digest this store was extracted from.
        labels: class names in the order of ``label_index``.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "store.json").read_text())
        self.digest: str = facts["index_digest"]
        self.labels: list[str] = facts["labels"]
        self.videos = pd.read_parquet(folder / "videos.parquet")
        self._frames = np.load(folder / "frames.npy", mmap_mode="r")
        self._boxes = np.load(folder / "boxes.npy") if (folder / "boxes.npy").is_file() else None
        self._first = self.videos["first"].to_numpy()
        self.lengths: np.ndarray = self.videos["num_frames"].to_numpy()

    def select(self, split: int, side: str) -> np.ndarray:
        """Positions (N,) of the videos on one side (train, test) of a split."""
        return np.flatnonzero(self.videos[f"split_{split}"] == side)

    def clips(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Read frames (B, T) of videos (B,); returns uint8 (B, T, H, W, 3) RGB."""
        return self._frames[self._first[videos][:, None] + frames]

    def boxes(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Read person boxes: float32 (B, T, K, 4), (x0, y0, x1, y1) as fractions of the frame, NaN where there is none.

        Raises:
            FileNotFoundError: the store has no boxes.
        """
        if self._boxes is None:
            raise FileNotFoundError("this data set has no person boxes; mask source `person_boxes` needs them")
        return self._boxes[self._first[videos][:, None] + frames]


def extract(root: Path, table: pd.DataFrame, folder: Path, width: int, height: int, workers: int = 1) -> None:
    """Decode every usable video of an index into a store.

    Args:
        root: the data set's folder.
        table: its index (:func:`mac.data.index.build`).
        folder: the store's folder, which must exist; files in it are replaced.
        width: of a stored frame, pixels.
        height: of a stored frame, pixels.
        workers: processes.

    Raises:
        mac.data.video.VideoError: a video gives another number of frames than the index says.
    """
    videos = table[table["status"] == index.OK].reset_index(drop=True)
    videos["first"] = videos["num_frames"].cumsum() - videos["num_frames"]
    shape = (int(videos["num_frames"].sum()), height, width, 3)
    target = folder / "frames.npy"
    np.lib.format.open_memmap(target, "w+", np.uint8, shape).flush()
    fill = partial(_fill, root=root, target=target, width=width, height=height)
    jobs = list(videos[["path", "first", "num_frames"]].itertuples(index=False, name=None))
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(fill, jobs, chunksize=16))
    else:
        for job in jobs:
            fill(job)
    boxes = _boxes(root, videos, shape[0])
    if boxes is not None:
        np.save(folder / "boxes.npy", boxes)
    videos.to_parquet(folder / "videos.parquet", index=False)
    facts = {
        "index_digest": index.digest(table),
        "labels": sorted(table["label"].unique()),
        "width": width,
        "height": height,
        "num_videos": len(videos),
        "num_frames": shape[0],
    }
    (folder / "store.json").write_text(json.dumps(facts, indent=1) + "\n")


def _fill(job: tuple[str, int, int], root: Path, target: Path, width: int, height: int) -> None:
    path, first, num_frames = job
    frames = np.load(target, mmap_mode="r+")
    seen = 0
    for image in video.read(root / path, width, height):
        if seen < num_frames:
            frames[first + seen] = image
        seen += 1
    if seen != num_frames:
        raise video.VideoError(f"{root / path}: {seen} frames, but the index says {num_frames}; rebuild the index")


def _boxes(root: Path, videos: pd.DataFrame, num_frames: int) -> np.ndarray | None:
    """Spread a box table (path, frame, x0, y0, x1, y1) over the store's frames: (num_frames, K, 4), NaN-padded."""
    source = root / "person_boxes.parquet"
    if not source.is_file():
        return None
    table = pd.read_parquet(source).merge(videos[["path", "first"]], on="path")
    place = (table["first"] + table["frame"]).to_numpy()
    rank = table.groupby(place).cumcount().to_numpy()
    boxes = np.full((num_frames, int(rank.max(initial=0)) + 1, 4), np.nan, np.float32)
    boxes[place, rank] = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)
    return boxes
