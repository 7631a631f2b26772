"""The index of a data set: every listed video with its label, splits, decoded length, and a status with its reason."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from mac.data import splits, video

OK, ABSENT, UNDECODABLE = "ok", "absent", "undecodable"
VIDEO_ENDINGS = (".avi", ".mp4", ".mkv", ".webm", ".mov")


class UnusableDataError(Exception):
    """An index can't serve: an empty split, a class without training videos, too many unusable videos."""


def build(root: Path, layout: str, max_unusable: float, workers: int = 1) -> pd.DataFrame:
    """Decode every listed video once and write down what was found.

    Args:
        root: the data set's folder (see :func:`mac.data.splits.listing`).
        layout: ``ucf101``, ``hmdb51`` or ``kinetics``.
        max_unusable: largest share of listed videos, in [0, 1], that may be absent or undecodable.
        workers: processes.

    Returns:
        One row per listed video, sorted by path: the listing's columns, ``label_index`` (0 … classes − 1, classes in
        alphabetical order), ``num_frames``, ``fps``, ``width``, ``height``, ``content`` (BLAKE2 of the file's bytes),
        ``status`` (ok, absent, undecodable) and ``reason``.

    Raises:
        UnusableDataError: no usable training or test video in split 1, a class without one, or too many unusable ones.
    """
    table = splits.listing(root, layout)
    scan = partial(_scan, root=root)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(scan, table["path"], chunksize=16))
    else:
        found = [scan(path) for path in table["path"]]
    scanned = pd.DataFrame(found)
    table["path"] = scanned.pop("path")
    labels = {label: i for i, label in enumerate(sorted(table["label"].unique()))}
    table.insert(2, "label_index", table["label"].map(labels))
    table = pd.concat([table, scanned], axis=1)
    _check(table, root, max_unusable)
    return table


def _scan(path: str, root: Path) -> dict:
    found = {
        "path": path,
        "num_frames": 0,
        "fps": 0.0,
        "width": 0,
        "height": 0,
        "content": "",
        "status": OK,
        "reason": "",
    }
    full = root / path
    if not full.is_file():
        other = [full.with_suffix(ending) for ending in VIDEO_ENDINGS if full.with_suffix(ending).is_file()]
        if not other:
            return found | {"status": ABSENT, "reason": "listed, but no such file"}
        full = other[0]
        found["path"] = str(full.relative_to(root))
    with full.open("rb") as file:
        found["content"] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    try:
        seen = video.probe(full)
    except video.VideoError as error:
        return found | {"status": UNDECODABLE, "reason": str(error).removeprefix(f"{full}: ")}
    return found | {"num_frames": seen.num_frames, "fps": seen.fps, "width": seen.width, "height": seen.height}


def _check(table: pd.DataFrame, root: Path, max_unusable: float) -> None:
    usable = table[table["status"] == OK]
    share = 1 - len(usable) / len(table)
    if share > max_unusable:
        worst = table[table["status"] != OK].iloc[0]
        raise UnusableDataError(
            f"{root}: {len(table) - len(usable)} of {len(table)} listed videos can't be used ({share:.1%}, allowed"
            f" {max_unusable:.1%}); the first: {worst['path']} — {worst['reason']}. Complete the folder, or raise"
            " `max_unusable` of this data set"
        )
    for split in splits.SPLITS:
        column = f"split_{split}"
        if (table[column] == splits.UNUSED).all():
            continue
        for side in (splits.TRAIN, splits.TEST):
            if not (usable[column] == side).any():
                raise UnusableDataError(f"{root}: split {split} has no usable {side} video")
        barren = sorted(set(usable["label"]) - set(usable.loc[usable[column] == splits.TRAIN, "label"]))
        if barren:
            raise UnusableDataError(f"{root}: split {split} has no usable training video of class {', '.join(barren)}")


def digest(table: pd.DataFrame) -> str:
    """Identify what a data set contains: SHA-256 over the sorted rows, ten hex digits; order is out."""
    columns = ["path", "label", "group", "split_1", "split_2", "split_3", "num_frames", "content", "status"]
    text = table[columns].sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:10]
