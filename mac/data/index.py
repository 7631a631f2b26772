"""The index of a data set: every listed video with its label, splits, decoded length, and a status with its reason."""

import hashlib
from pathlib import Path

import pandas as pd

from mac.data import inventory, splits
from mac.data.integrity import ABSENT, DUPLICATE, OK, SHORT, UNLISTED, USABLE
from mac.data.scan import scan

IDENTICAL, OTHER_BYTES, OTHER_LENGTH = "identical", "other bytes", "other length"


class UnusableDataError(Exception):
    """An index can't serve: an empty split, a class without training videos, too many unusable videos."""


def build(
    root: Path, layout: str, max_unusable: float, workers: int = 1, subset: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Take a data set's inventory, scan all of it, and put the index together (in one process's stead of many jobs).

    Arguments and errors are those of :func:`mac.data.inventory.take` and :func:`assemble`.
    """
    listed = inventory.take(root, layout, subset)
    table = assemble(listed, [scan(list(listed["file"]), root, workers)], subset)
    check(table, root, max_unusable)
    return table


def shard(table: pd.DataFrame, number: int, shards: int) -> pd.DataFrame:
    """Return part ``number`` (0 … shards − 1) of a table, in order; the parts differ by one row at most."""
    bounds = [i * len(table) // shards for i in (number, number + 1)]
    return table.iloc[slice(*bounds)]


def assemble(listed: pd.DataFrame, scans: list[pd.DataFrame], subset: pd.DataFrame | None = None) -> pd.DataFrame:
    """Join an inventory with what scanning it found.

    Args:
        listed: the inventory (:func:`mac.data.inventory.take`).
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


def _compare(table: pd.DataFrame, subset: pd.DataFrame) -> list[str]:
    declared = subset.set_index("path")
    result = []
    for row in table.itertuples():
        if row.status not in USABLE:
            result.append("")
        elif row.content == declared.at[row.path, "content"]:
            result.append(IDENTICAL)
        else:
            same_length = row.num_frames == declared.at[row.path, "num_frames"]
            result.append(OTHER_BYTES if same_length else OTHER_LENGTH)
    return result


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
        hint = (
            " If you hold a part of the data set on purpose, declare it as a `subset`."
            if _mostly_absent(left_out)
            else ""
        )
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


def _mostly_absent(left_out: pd.DataFrame) -> bool:
    return (left_out["status"] == ABSENT).mean() > 0.5


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an index that training and testing use, in order."""
    return table[table["status"].isin(USABLE)].reset_index(drop=True)


def digest(table: pd.DataFrame) -> str:
    """Identify what a data set contains: SHA-256 over its listed rows, ten hex digits; order and places are out."""
    columns = ["path", "label", "group", "split_1", "split_2", "split_3", "num_frames", "content", "status"]
    listed = table.loc[table["status"] != UNLISTED, columns]
    text = listed.sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:10]
