"""The index of a data set: every listed video with its file, label, splits, decoded length, and status with its reason.

:mod:`mac.data.inventory` finds the file of every listed video, :mod:`mac.data.check` scans the files, and
:func:`assemble` joins both into the index.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from mac.data import splits
from mac.data.check import ABSENT, DUPLICATE, OK, SHORT, UNLISTED, USABLE, scan
from mac.data.inventory import COLUMNS, SPLIT_COLUMNS, take

IDENTICAL, OTHER_BYTES, OTHER_LENGTH = "identical", "other bytes", "other length"


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
        UnusableDataError: too many unusable videos, or a split in which a class has no usable training or test video.
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
            if barren := sorted(set(usable["label"]) - set(usable.loc[usable[column] == side, "label"])):
                raise UnusableDataError(
                    f"{root}: split {split} has no usable {side} video of class {', '.join(barren)}"
                )


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an index that training and testing use, in order."""
    return table[table["status"].isin(USABLE)].reset_index(drop=True)


def digest(table: pd.DataFrame) -> str:
    """Identify what a data set contains: SHA-256 of its listed rows without their order and files, ten hex digits."""
    listed = table.loc[table["status"] != UNLISTED, [*COLUMNS[:-1], "num_frames", "content", "status"]]
    text = listed.sort_values("path").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:10]
