"""The index of a data set: every listed video with its file, label, splits, decoded length, and status with its reason.

An inventory (:func:`take`) says which file is which listed video; scanning the files (:mod:`mac.data.check`) and
:func:`assemble` make the index of it.
"""

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
REPLACEMENT = "replacement"  # a folder whose name begins so holds mended copies: they are taken first
COLUMNS = ["path", "label", "group", "split_1", "split_2", "split_3", "file"]
IDENTICAL, OTHER_BYTES, OTHER_LENGTH = "identical", "other bytes", "other length"


class SubsetError(Exception):
    """A subset names videos that the official lists don't."""


class UnusableDataError(Exception):
    """An index can't serve: an empty split, a class without training videos, too many unusable videos."""


def build(
    root: Path, layout: str, max_unusable: float, workers: int = 1, subset: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Take a data set's inventory, scan all of it, and put the index together: in one process instead of many jobs.

    Arguments and errors are those of :func:`take`, :func:`assemble` and :func:`check`.
    """
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
    another ending, else by its name in any folder of the data set; folders beginning with ``replacement`` win. Hidden
    folders are passed over.

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
        strange = sorted(set(subset["path"]) - set(listed["path"]))
        if strange:
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
    unlisted = pd.DataFrame({"path": extra, "file": extra}, columns=COLUMNS).fillna(
        {"label": "", "group": "", **{f"split_{split}": splits.UNUSED for split in splits.SPLITS}}
    )
    return pd.concat([listed[COLUMNS], unlisted], ignore_index=True) if extra else listed[COLUMNS]


def videos(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield every video file below a folder, relative to it, and whether it lies behind a link."""
    linked_folders: set[str] = set()
    above = {str(root): frozenset()}  # the real folders that a folder lies in, so that links upwards end
    for folder, names, files in os.walk(str(root), followlinks=True):
        real, parents = os.path.realpath(folder), above.pop(folder)
        if real in parents:
            names.clear()
            continue
        names[:] = sorted(name for name in names if not name.startswith("."))
        linked = folder in linked_folders
        below = [os.path.join(folder, name) for name in names]
        above |= dict.fromkeys(below, parents | {real})
        linked_folders.update(path for path in below if linked or os.path.islink(path))
        for name in files:
            if name.lower().endswith(VIDEO_ENDINGS) and not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix(), linked


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
    bounds = [i * len(table) // shards for i in (number, number + 1)]
    return table.iloc[slice(*bounds)]


def assemble(listed: pd.DataFrame, scans: list[pd.DataFrame], subset: pd.DataFrame | None = None) -> pd.DataFrame:
    """Join an inventory with what scanning its files found.

    Args:
        listed: the inventory.
        scans: findings on its rows, in order, in as many parts as were scanned.
        subset: the declared subset, with ``num_frames`` and ``content`` of its own copy of each video.

    Returns:
        One row per video: the inventory's columns, ``label_index`` (0 … classes − 1, classes in alphabetical order),
        ``status``, ``reason``, ``num_frames``, ``fps``, ``width``, ``height``, ``content``, and ``copy``: how the file
        compares with the subset's (identical, other bytes, other length; empty without a subset).
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
    _name_duplicates(table)
    table["copy"] = "" if subset is None else _compare(table, subset)
    return table


def _name_duplicates(table: pd.DataFrame) -> None:
    """Give each later copy of a usable video's bytes the status ``duplicate``; it stays in use, as listed."""
    usable = table[table["status"].isin((OK, SHORT))]
    first = usable.drop_duplicates("content").set_index("content")["path"]
    for row in usable[usable.duplicated("content")].itertuples():
        table.loc[row.Index, "status"] = DUPLICATE
        table.loc[row.Index, "reason"] = "; ".join(filter(None, [f"same bytes as {first[row.content]}", row.reason]))


def _compare(table: pd.DataFrame, subset: pd.DataFrame) -> np.ndarray:
    declared = subset.set_index("path").reindex(table["path"]).reset_index()
    cases = [~table["status"].isin(USABLE), *(table[name] == declared[name] for name in ("content", "num_frames"))]
    return np.select(cases, ["", IDENTICAL, OTHER_BYTES], OTHER_LENGTH)


def check(table: pd.DataFrame, root: Path, max_unusable: float) -> None:
    """Refuse an index that can't serve.

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
    for split in splits.SPLITS:
        column = f"split_{split}"
        if (listed[column] == splits.UNUSED).all():
            continue
        for side in (splits.TRAIN, splits.TEST):
            if not (usable[column] == side).any():
                raise UnusableDataError(f"{root}: split {split} has no usable {side} video")
        barren = sorted(set(usable["label"]) - set(usable.loc[usable[column] == splits.TRAIN, "label"]))
        if barren:
            raise UnusableDataError(f"{root}: split {split} has no usable training video of class {', '.join(barren)}")


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an index that training and testing use, in order."""
    return table[table["status"].isin(USABLE)].reset_index(drop=True)


def digest(table: pd.DataFrame) -> str:
    """Identify what a data set contains: SHA-256 over its listed rows, ten hex digits; order and places are out."""
    columns = ["path", "label", "group", "split_1", "split_2", "split_3", "num_frames", "content", "status"]
    listed = table.loc[table["status"] != UNLISTED, columns]
    text = listed.sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:10]
