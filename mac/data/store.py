"""The frame store: every usable video's frames at one small size, ready to be sampled at random.

A store is a folder with one file per video under ``videos/`` (an AVI of JPEG frames that any player opens),
``offsets.npy`` and ``sizes.npy`` (where each frame's bytes lie in its file), ``videos.parquet`` (the usable rows
with their ``stored`` file and the position ``first`` of their first frame) and ``store.json`` (frame size, index
digest).

It is extracted from an index in shards, on any machine. A stored file's name contains the digest of its source's bytes
and is given only to a complete file: an extraction that was stopped goes on where it was, and a changed video gets
another file.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath

import av
import numpy as np
import pandas as pd
import simplejpeg

from mac.data import index
from mac.data.video import VideoError, read
from mac.runtime.atomic import replace, write_json
from mac.runtime.reading import naming, read_json, read_table

QUALITY = 95  # of a JPEG frame: errors of about 1 gray level, where masks look at differences of 10 and more


class StoreError(Exception):
    """A frame store is damaged; the message names the file and the way out."""


class FrameStore:
    """A data set's frames and labels, read-only.

    Attributes:
        videos: one row per usable video, in index order (path, label, label_index, group, splits, num_frames, first).
        digest: the index digest this store was extracted from.
        labels: class names in the order of ``label_index``.
        folder: where it lies.
        lengths: (N,) frames of each video.
    """

    def __init__(self, folder: Path, boxes: Path | None = None) -> None:
        """Open the store in ``folder``, with the table of person boxes (path, frame, x0, y0, x1, y1) masks may need."""
        again = f"delete the store's folder, {folder}, to extract it anew"
        facts = read_json(folder / "store.json", again)
        self.digest: str = facts["index_digest"]
        self.labels: list[str] = facts["labels"]
        self.videos = read_table(folder / "videos.parquet", again)
        self.lengths: np.ndarray = self.videos["num_frames"].to_numpy()
        self.folder, self._boxes_path = folder, boxes
        self._shape = (facts["height"], facts["width"], 3)
        self._stored = self.videos["stored"].tolist()
        self._first = self.videos["first"].to_numpy()
        self._offsets, self._sizes = (self._numbers(folder / name, again) for name in ("offsets.npy", "sizes.npy"))
        if boxes:  # all boxes in one array, and where each frame's begin
            table = read_table(boxes).merge(self.videos[["path", "first"]], on="path")
            table = table.assign(place=table["first"] + table["frame"]).sort_values("place", kind="stable")
            self._corners = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)
            self._starts = np.searchsorted(table["place"].to_numpy(), np.arange(self.lengths.sum() + 1))

    def _numbers(self, path: Path, way_out: str) -> np.ndarray:
        """Open an array with a number for each frame."""
        with naming(path, way_out):
            found = np.load(path, mmap_mode="r")
            if len(found) != self.lengths.sum():
                raise ValueError(f"{len(found)} numbers for {self.lengths.sum()} frames")
        return found

    def __reduce__(self) -> tuple[type, tuple[Path, Path | None]]:
        """Let another process open the store anew, instead of sending it the tables."""
        return FrameStore, (self.folder, self._boxes_path)

    def select(self, split: int, side: str, min_share: float = 0.0) -> np.ndarray:
        """Positions (N,) of the videos on one side (train, test) of a split.

        With ``min_share``, only those that have person boxes in at least this share of their frames.

        Raises:
            StoreError: none has.
        """
        chosen = np.flatnonzero(self.videos[f"split_{split}"] == side)
        if not min_share:
            return chosen
        has_box = np.concatenate([[0], np.cumsum(np.diff(self._starts) > 0)])
        first, lengths = self._first[chosen], self.lengths[chosen]
        shares = (has_box[first + lengths] - has_box[first]) / lengths
        if not (kept := chosen[shares >= min_share]).size:
            raise StoreError(
                f"{self._boxes_path}: no {side} video has boxes in {min_share:.0%} of its frames, the largest share is"
                f" {shares.max(initial=0):.1%} — lower `person_boxes.min_share_of_frames` or `person_boxes.min_score`"
            )
        return kept

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
        path, places = self.folder / self._stored[video], self._first[video] + frames
        try:
            with path.open("rb", buffering=0) as file:
                for t, (offset, size) in enumerate(zip(self._offsets[places], self._sizes[places], strict=True)):
                    if t and frames[t] == frames[t - 1]:  # a short video repeats its last frame
                        clip[t] = clip[t - 1]
                    else:
                        clip[t] = simplejpeg.decode_jpeg(os.pread(file.fileno(), int(size), int(offset)), "RGB")
        except (OSError, ValueError) as error:
            way = f"delete the store's folder, {self.folder}, to extract it anew"
            raise StoreError(f"{path}: {error}; {way}") from error

    def boxes(self, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Read person boxes: float32 (B, T, K, 4), (x0, y0, x1, y1) as fractions of the frame, NaN where there is none.

        Raises:
            StoreError: the store was opened without boxes.
        """
        if self._boxes_path is None:
            raise StoreError(f"{self.folder}: opened without person boxes; mask source `person_boxes` needs them")
        places = self._first[videos][:, None] + frames
        starts = self._starts[places]
        counts = self._starts[places + 1] - starts
        boxes = np.full((*places.shape, max(int(counts.max(initial=0)), 1), 4), np.nan, np.float32)
        rank = np.arange(boxes.shape[-2])
        present = rank < counts[..., None]
        boxes[present] = self._corners[(starts[..., None] + rank)[present]]
        return boxes


def extract(root: Path, table: pd.DataFrame, folder: Path, width: int, height: int, workers: int = 1) -> None:
    """Decode every usable video of an index into a store, as :func:`extract_shard` and :func:`assemble` do."""
    parts = [extract_shard(root, index.usable(table), folder, width, height, workers)]
    assemble(table, parts, folder, width, height)


def extract_shard(
    root: Path, videos: pd.DataFrame, folder: Path, width: int, height: int, workers: int = 1
) -> pd.DataFrame:
    """Decode some videos of an index into ``folder/videos``; those that are there already are left alone.

    ``root`` is the data set's folder, ``videos`` usable rows of its index, ``folder`` the store's; ``width`` and
    ``height`` are a stored frame's, in pixels; ``workers`` are processes.

    Returns:
        One row per video: ``path``, ``stored`` (its file relative to ``folder``), ``offsets`` and ``sizes`` (bytes, one
        a frame).

    Raises:
        mac.data.video.VideoError: a video gives another number of frames than the index says.
    """
    jobs = list(videos[["path", "file", "content", "num_frames", "fps"]].itertuples(index=False, name=None))
    store = partial(_store, root=root, folder=folder, size=(width, height))
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            rows = list(pool.map(store, jobs, chunksize=8))
    else:
        rows = [store(job) for job in jobs]
    return pd.DataFrame(rows, columns=["path", "stored", "offsets", "sizes"])


def assemble(table: pd.DataFrame, parts: list[pd.DataFrame], folder: Path, width: int, height: int) -> None:
    """Join extracted shards into a store and delete files in it that no video refers to any more.

    ``table`` is the whole index, ``parts`` what :func:`extract_shard` returned for all its usable videos in order.

    Raises:
        mac.data.video.VideoError: the shards are not those of the index.
    """
    videos, stored = index.usable(table), pd.concat(parts, ignore_index=True)
    expected = [(path, _name(path, content)) for path, content in zip(videos["path"], videos["content"], strict=True)]
    if list(zip(stored["path"], stored["stored"], strict=True)) != expected:
        raise VideoError(f"{folder}: the shards hold other videos than the index; extract them again")
    videos = videos.drop(columns=["file", "reason", "copy"])
    videos["stored"] = stored["stored"]
    videos["first"] = videos["num_frames"].cumsum() - videos["num_frames"]
    np.save(folder / "offsets.npy", np.concatenate([np.asarray(o, np.int64) for o in stored["offsets"]]))
    np.save(folder / "sizes.npy", np.concatenate([np.asarray(s, np.int32) for s in stored["sizes"]]))
    videos.to_parquet(folder / "videos.parquet", index=False)
    kept = {folder / name for name in stored["stored"]}
    for path in (folder / "videos").rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
    facts = {
        "index_digest": index.digest(table),
        "labels": sorted(set(table["label"]) - {""}),
        "width": width,
        "height": height,
        "num_videos": len(videos),
        "num_frames": int(videos["num_frames"].sum()),
        "bytes": int(sum(path.stat().st_size for path in kept)),
    }
    write_json(folder / "store.json", facts)


def _name(path: str, content: str) -> str:
    plain = PurePosixPath(path)
    return str(PurePosixPath("videos", *plain.parts[1:-1], f"{plain.stem}.{content[:10]}.avi"))


def _store(
    job: tuple[str, str, str, int, float], root: Path, folder: Path, size: tuple[int, int]
) -> tuple[str, str, list[int], list[int]]:
    path, file, content, num_frames, fps = job
    stored = _name(path, content)
    target = folder / stored
    if not target.exists():

        def write(draft: Path) -> None:
            count = _write(draft, read(root / file, *size), size, fps)
            if count != num_frames:
                raise VideoError(f"{root / file}: {count} frames, the index says {num_frames}; rebuild the index")

        replace(target, write)
    with av.open(str(target)) as opened:
        places = [(packet.pos, packet.size) for packet in opened.demux(video=0) if packet.size]
    if len(places) != num_frames:
        raise VideoError(f"{target}: {len(places)} frames stored of {num_frames}; delete the file, extract again")
    return path, stored, [offset for offset, _ in places], [length for _, length in places]


def _write(path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], fps: float) -> int:
    """Write frames one by one, however long a video is; returns their number."""
    count = 0
    rate = Fraction(fps).limit_denominator(1001) or Fraction(25)
    with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as opened:
        stream = opened.add_stream("mjpeg", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"
        for number, frame in enumerate(frames):
            packet = av.Packet(simplejpeg.encode_jpeg(frame, QUALITY, "RGB", "420"))
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = number
            opened.mux(packet)
            count = number + 1
    return count
