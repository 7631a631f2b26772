"""The index of a data set: every listed video with its file, label, splits, decoded length, and status with its reason.

:func:`take` finds the file of every listed video (the inventory), :mod:`mac.data.check` scans the files, and
:func:`assemble` joins both into the index.
"""

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mac.data import splits
from mac.data.check import ABSENT, DUPLICATE, OK, SHORT, UNLISTED, USABLE, scan
from mac.data.layouts import LAYOUTS

VIDEO_ENDINGS = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".m4v")
REPLACEMENT = "replacement"  # a folder whose name begins so holds replacements of damaged videos: they come first
SPLIT_COLUMNS = [f"split_{split}" for split in splits.SPLITS]
COLUMNS = ["path", "label", "group", *SPLIT_COLUMNS, "file"]
IDENTICAL, OTHER_BYTES, OTHER_LENGTH = "identical", "other bytes", "other length"


class SubsetError(Exception):
    """A subset names videos that the official lists don't."""


class UnusableDataError(Exception):
    """An index is refused: an empty split, a class without training videos, too many unusable videos."""


def build(
    root: Path, layout: str, max_unusable: float, workers: int = 1, subset: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Make the index of a data set in one call; arguments and errors as in :func:`take` and :func:`check`."""
    listed = take(root, layout, subset)
    table = assemble(listed, [scan(list(listed["file"]), root, workers)], subset)
    check(table, root, max_unusable)
    return table


def read_lists(root: Path, layout: str) -> pd.DataFrame:
    """Read the lists of a data set, sorted by path; columns as :mod:`mac.data.layouts` says.

    Raises:
        mac.data.splits.LayoutError: a list is missing or malformed, or the lists name no video.
    """
    table = LAYOUTS[layout].read(root)
    if table.empty:
        raise splits.LayoutError(f"{root}: the lists of layout {layout} name no video")
    return table.sort_values("path", ignore_index=True)


def read_subset(name: str | None, config_dir: Path) -> pd.DataFrame | None:
    """Read a subset's manifest, ``CONFIG/subsets/NAME.csv``; None for no subset.

    Raises:
        FileNotFoundError: there is no such manifest.
    """
    if name is None:
        return None
    path = config_dir / "subsets" / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.csv"))) or "none"
        raise FileNotFoundError(f"{path}: no such subset; there are: {known}")
    return pd.read_csv(path)


def take(root: Path, layout: str, subset: pd.DataFrame | None = None) -> pd.DataFrame:
    """List a data set's videos and the file that holds each: its inventory.

    Where the lists don't name the files themselves, a file is matched by its official path, else by that path with
    another ending, else by its name in any folder of the data set. A file in a folder whose name begins with
    ``replacement`` is preferred to all others. Hidden files and folders are left out.

    Args:
        root: the data set's folder.
        layout: a name in :data:`mac.data.layouts.LAYOUTS`.
        subset: keep only the videos of its column ``path``; None keeps all.

    Returns:
        One row per listed video, sorted by path: ``path``, ``label``, ``group``, ``split_1`` … ``split_3`` and ``file``
        (relative to ``root``, empty where there is none); then one row per video file that no list names, label and
        group empty, in no split. Files under a linked folder are another data set's and never count as unlisted.

    Raises:
        mac.data.splits.LayoutError: a list is missing or malformed.
        SubsetError: the subset names a video that no official list names.
    """
    listed = read_lists(root, layout)
    identify = str if "file" in listed else _stem
    official = {identify(path) for path in listed["path"]}
    if subset is not None:
        if strange := sorted(set(subset["path"]) - set(listed["path"])):
            raise SubsetError(f"{root}: the subset names {len(strange)} videos that no list names, first {strange[0]}")
        listed = listed[listed["path"].isin(set(subset["path"]))].reset_index(drop=True)
    places, own = defaultdict(list), []
    for file, linked in sorted(videos(root)):
        places[_stem(file)].append(file)
        if not linked:
            own.append(file)
    if "file" not in listed:
        listed["file"] = [_choose(path, places.get(_stem(path), [])) for path in listed["path"]]
    extra = [file for file in own if identify(file) not in official]
    if not extra:
        return listed[COLUMNS]
    unlisted = {"path": extra, "label": "", "group": "", "file": extra} | dict.fromkeys(SPLIT_COLUMNS, splits.UNUSED)
    return pd.concat([listed[COLUMNS], pd.DataFrame(unlisted)], ignore_index=True)


def videos(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield every video file below a folder, without hidden ones: its path in it, and whether it is behind a link."""
    folders = [("", False, frozenset())]
    while folders:
        place, linked, above = folders.pop()
        real = os.path.realpath(root / place)
        if real in above:  # a link to a folder above it
            continue
        with contextlib.suppress(OSError), os.scandir(real) as entries:
            for entry in entries:
                link, path = entry.is_symlink(), f"{place}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if os.path.isdir(entry.path) if link else entry.is_dir():
                    folders.append((f"{path}/", linked or link, above | {real}))
                elif path.lower().endswith(VIDEO_ENDINGS):
                    yield path, linked


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _choose(path: str, files: list[str]) -> str:
    official = PurePosixPath(path)

    def rank(file: str) -> tuple[bool, bool, bool, bool]:
        found = PurePosixPath(file)
        mended = any(part.startswith(REPLACEMENT) for part in found.parts)
        same_place = found.with_suffix("") == official.with_suffix("")
        return mended, file == path, same_place, found.parent.name == official.parent.name

    return max(files, key=rank, default="")


def shard(table: pd.DataFrame, number: int, shards: int) -> pd.DataFrame:
    """Return part ``number`` (0 … shards − 1) of a table, in order; the parts differ by one row at most."""
    return table.iloc[number * len(table) // shards : (number + 1) * len(table) // shards]


def assemble(listed: pd.DataFrame, scans: list[pd.DataFrame], subset: pd.DataFrame | None = None) -> pd.DataFrame:
    """Join an inventory with what scanning its files found.

    Args:
        listed: the inventory.
        scans: the findings of :func:`mac.data.check.scan` on its rows, in order, one table per shard.
        subset: the declared subset, with ``num_frames`` and ``content`` of its own copy of each video.

    Returns:
        One row per video: the inventory's columns, ``label_index`` (0 … classes − 1, classes in alphabetical order),
        ``status``, ``reason``, ``num_frames``, ``fps``, ``width``, ``height``, ``content``, and ``copy``: how the file
        compares with the subset's (identical, other bytes, other length; empty without a subset).

    Raises:
        UnusableDataError: the scans have more or fewer rows than the inventory.
    """
    found = pd.concat(scans, ignore_index=True)
    if len(found) != len(listed):
        raise UnusableDataError(f"{len(found)} videos were scanned, but {len(listed)} are listed: scan again")
    table = pd.concat([listed.reset_index(drop=True), found], axis=1)
    unlisted = table["label"] == ""
    labels = {label: i for i, label in enumerate(sorted(set(table["label"]) - {""}))}
    table.insert(2, "label_index", table["label"].map(labels).fillna(-1).astype(int))
    table.loc[unlisted, "status"] = UNLISTED
    table.loc[unlisted, "reason"] = "present, but no official list names it"
    usable = table[table["status"].isin((OK, SHORT))]
    first = usable.drop_duplicates("content").set_index("content")["path"]
    for row in usable[usable.duplicated("content")].itertuples():  # they are used, because the official lists have both
        table.loc[row.Index, "status"] = DUPLICATE
        table.loc[row.Index, "reason"] = "; ".join(filter(None, [f"same bytes as {first[row.content]}", row.reason]))
    table["copy"] = ""
    if subset is not None:
        declared = subset.set_index("path").reindex(table["path"]).reset_index()
        cases = [~table["status"].isin(USABLE), *(table[name] == declared[name] for name in ("content", "num_frames"))]
        table["copy"] = np.select(cases, ["", IDENTICAL, OTHER_BYTES], OTHER_LENGTH)
    return table


def check(table: pd.DataFrame, root: Path, max_unusable: float) -> None:
    """Refuse an index that can't be trained and tested on.

    Args:
        table: the index.
        root: the data set's folder, for the message.
        max_unusable: largest share of listed videos, in [0, 1], that may be unusable.

    Raises:
        UnusableDataError: too many unusable videos, no usable training or test video in a split, or a class without
            usable training videos.
    """
    listed = table[table["status"] != UNLISTED]
    usable, left_out = listed[listed["status"].isin(USABLE)], listed[~listed["status"].isin(USABLE)]
    share = len(left_out) / len(listed)
    if share > max_unusable:
        counts = ", ".join(f"{count} {status}" for status, count in left_out["status"].value_counts().items())
        first = "; ".join(f"{row.path} — {row.reason}" for row in left_out.head(3).itertuples())
        mostly_absent = (left_out["status"] == ABSENT).mean() > 0.5
        hint = " If you hold a part of the data set on purpose, declare it as a `subset`." if mostly_absent else ""
        raise UnusableDataError(
            f"{root}: {len(left_out)} of {len(listed)} listed videos can't be used ({share:.1%}, allowed"
            f" {max_unusable:.1%}): {counts}; the first: {first}. Complete the folder, or raise `max_unusable` of this"
            f" data set in config/config.yaml.{hint}"
        )
    for split, column in zip(splits.SPLITS, SPLIT_COLUMNS, strict=True):
        if (listed[column] == splits.UNUSED).all():
            continue
        for side in (splits.TRAIN, splits.TEST):
            if not (usable[column] == side).any():
                raise UnusableDataError(f"{root}: split {split} has no usable {side} video")
        if barren := sorted(set(usable["label"]) - set(usable.loc[usable[column] == splits.TRAIN, "label"])):
            raise UnusableDataError(f"{root}: split {split} has no usable training video of class {', '.join(barren)}")


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an index that training and testing use, in order."""
    return table[table["status"].isin(USABLE)].reset_index(drop=True)


def digest(table: pd.DataFrame) -> str:
    """Identify what a data set contains: SHA-256 of its listed rows without their order and files, ten hex digits."""
    listed = table.loc[table["status"] != UNLISTED, [*COLUMNS[:-1], "num_frames", "content", "status"]]
    text = listed.sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:10]
