"""The frame store: every usable video's frames at one small size, ready to be sampled at random.

A store is a folder with one file per video under ``videos/`` (an AVI of JPEG frames that any player opens),
``offsets.npy`` and ``sizes.npy`` (where each frame's bytes lie in its file), ``videos.parquet`` (the usable rows
with their ``stored`` file and the position ``first`` of their first frame) and ``store.json`` (frame size, index
digest). :mod:`mac.data.extraction` writes it.
"""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg


class StoreError(Exception):
    """A frame store is damaged; the message names the file and the way out."""


class FrameStore:
    """A data set's frames and labels, read-only.

    Attributes:
        videos: one row per usable video, in index order (path, label, label_index, group, splits, num_frames, first).
        digest: the index digest this store was extracted from.
        labels: class names in the order of ``label_index``.
        lengths: (N,) frames of each video.
    """

    def __init__(self, folder: Path, boxes: Path | None = None) -> None:
        """Open the store in ``folder``, with the table of person boxes (path, frame, x0, y0, x1, y1) masks may need."""
        facts = json.loads((folder / "store.json").read_text())
        self.digest: str = facts["index_digest"]
        self.labels: list[str] = facts["labels"]
        self.videos = pd.read_parquet(folder / "videos.parquet")
        self.lengths: np.ndarray = self.videos["num_frames"].to_numpy()
        self._folder, self._boxes_path = folder, boxes
        self._shape = (facts["height"], facts["width"], 3)
        self._stored = self.videos["stored"].tolist()
        self._first = self.videos["first"].to_numpy()
        self._offsets = np.load(folder / "offsets.npy", mmap_mode="r")
        self._sizes = np.load(folder / "sizes.npy", mmap_mode="r")
        self._boxes = _Boxes(boxes, self.videos) if boxes else None

    def __reduce__(self) -> tuple[type, tuple[Path, Path | None]]:
        """Let another process open the store anew, instead of sending it the tables."""
        return FrameStore, (self._folder, self._boxes_path)

    def select(self, split: int, side: str) -> np.ndarray:
        """Positions (N,) of the videos on one side (train, test) of a split."""
        return np.flatnonzero(self.videos[f"split_{split}"] == side)

    def clips(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Read frames (B, T) of videos (B,); returns uint8 (B, T, H, W, 3) RGB.

        Raises:
            StoreError: a frame can't be read.
        """
        clips = np.empty((*frames.shape, *self._shape), np.uint8)
        for clip, video, chosen in zip(clips, videos, frames, strict=True):
            self._read(int(video), chosen, clip)
        return clips

    def _read(self, video: int, frames: np.ndarray, clip: np.ndarray) -> None:
        path, places = self._folder / self._stored[video], self._first[video] + frames
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                for t, (offset, size) in enumerate(zip(self._offsets[places], self._sizes[places], strict=True)):
                    if t and frames[t] == frames[t - 1]:  # a short video repeats its last frame
                        clip[t] = clip[t - 1]
                        continue
                    data = os.pread(file, int(size), int(offset))
                    clip[t] = simplejpeg.decode_jpeg(data, "RGB")
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: {error}; delete the store's folder, {self._folder}, to extract it anew"
            ) from error

    def boxes(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Read person boxes: float32 (B, T, K, 4), (x0, y0, x1, y1) as fractions of the frame, NaN where there is none.

        Raises:
            StoreError: the store was opened without boxes.
        """
        if self._boxes is None:
            raise StoreError(f"{self._folder}: opened without person boxes; mask source `person_boxes` needs them")
        return self._boxes.at(self._first[videos][:, None] + frames)


class _Boxes:
    """Person boxes by frame position: all boxes in one array, and where each frame's begin."""

    def __init__(self, path: Path, videos: pd.DataFrame) -> None:
        table = pd.read_parquet(path).merge(videos[["path", "first"]], on="path")
        place = (table["first"] + table["frame"]).to_numpy()
        order = np.argsort(place, kind="stable")
        self._corners = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)[order]
        self._starts = np.searchsorted(place[order], np.arange(videos["num_frames"].sum() + 1))

    def at(self, places: np.ndarray) -> np.ndarray:
        counts = self._starts[places + 1] - self._starts[places]
        boxes = np.full((*places.shape, max(int(counts.max(initial=0)), 1), 4), np.nan, np.float32)
        rank = np.arange(boxes.shape[-2])
        there = rank < counts[..., None]
        boxes[there] = self._corners[(self._starts[places][..., None] + rank)[there]]
        return boxes
