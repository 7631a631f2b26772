"""Extraction: from an index to a frame store, in shards that run anywhere and resume.

A stored file's name carries the digest of its source's bytes, and the file appears under it only when it is complete:
what is there already need not be made again, and a changed video gets a file of its own.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath

import av
import numpy as np
import pandas as pd
import simplejpeg

from mac.data import index, video
from mac.runtime.atomic import replace

QUALITY = 95  # of a JPEG frame: errors of about 1 gray level, where masks look at differences of 10 and more


def extract(root: Path, table: pd.DataFrame, folder: Path, width: int, height: int, workers: int = 1) -> None:
    """Decode every usable video of an index into a store, in one process's stead of many jobs.

    Arguments and errors are those of :func:`extract_shard` and :func:`assemble`.
    """
    parts = [extract_shard(root, index.usable(table), folder, width, height, workers)]
    assemble(table, parts, folder, width, height)


def extract_shard(
    root: Path, videos: pd.DataFrame, folder: Path, width: int, height: int, workers: int = 1
) -> pd.DataFrame:
    """Decode some videos of an index into ``folder/videos``; those that are there already are left alone.

    Args:
        root: the data set's folder.
        videos: usable rows of its index.
        folder: the store's folder.
        width: of a stored frame, pixels.
        height: of a stored frame, pixels.
        workers: processes.

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

    Args:
        table: the whole index.
        parts: what :func:`extract_shard` returned, for all its usable videos in order.
        folder: the store's folder.
        width: of a stored frame, pixels.
        height: of a stored frame, pixels.

    Raises:
        mac.data.video.VideoError: the shards are not those of the index.
    """
    videos, stored = index.usable(table), pd.concat(parts, ignore_index=True)
    expected = [(path, _name(path, content)) for path, content in zip(videos["path"], videos["content"], strict=True)]
    if list(zip(stored["path"], stored["stored"], strict=True)) != expected:
        raise video.VideoError(f"{folder}: the shards hold other videos than the index; extract them again")
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
    (folder / "store.json").write_text(json.dumps(facts, indent=1) + "\n")


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
        frames = list(video.read(root / file, *size))
        if len(frames) != num_frames:
            raise video.VideoError(
                f"{root / file}: {len(frames)} frames, the index says {num_frames}; rebuild the index"
            )
        replace(target, lambda draft: _write(draft, frames, fps))
    places = _places(target)
    if len(places) != num_frames:
        raise video.VideoError(f"{target}: {len(places)} frames stored of {num_frames}; delete the file, extract again")
    return path, stored, [offset for offset, _ in places], [length for _, length in places]


def _write(path: Path, frames: list[np.ndarray], fps: float) -> None:
    rate = Fraction(fps).limit_denominator(1001) or Fraction(25)
    with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as opened:
        stream = opened.add_stream("mjpeg", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number, frame in enumerate(frames):
            packet = av.Packet(simplejpeg.encode_jpeg(frame, QUALITY, "RGB", "420"))
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = number
            opened.mux(packet)


def _places(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as opened:
        return [(packet.pos, packet.size) for packet in opened.demux(video=0) if packet.size]
