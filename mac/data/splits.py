"""What all layouts need: the sides of a split, official lists, and the videos of a synthetic data set."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mac.runtime import reading

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1, 2, 3)  # columns of an index; a layout may define fewer
TRAIN, TEST, UNUSED = "train", "test", "unused"
VIDEO_ENDINGS = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".m4v")
GROUPS = 25  # source groups that the synthetic videos of a class are spread over, as in UCF101


class LayoutError(Exception):
    """A data set's lists are missing or malformed; the message names the file and what is expected."""


@dataclass(frozen=True)
class SyntheticVideo:
    """A video to generate.

    ``path`` is relative to the data set's folder, ``motion`` the index of its class, ``number`` its number within its
    ``group``, from 1; these three are the keys of its randomness. ``sides`` has a side for each split of the layout.
    """

    path: str
    motion: int
    group: int
    number: int
    sides: tuple[str, ...]


def spread(names: list[str], videos: int) -> Iterator[tuple[int, str, int, int]]:
    """Spread ``videos`` synthetic videos of each class over the groups.

    Yields the index of the class (from 0), its name, the group and the video's number in the group (both from 1).
    """
    for motion, name in enumerate(names):
        groups = [i * GROUPS // videos + 1 for i in range(videos)]
        yield from ((motion, name, group, groups[:i].count(group) + 1) for i, group in enumerate(groups))


def find_list(root: Path, folder: str, *names: str) -> Path:
    """Find a list under one of its names (patterns) in its official folder, else anywhere in the data set's folder.

    Raises:
        LayoutError: there is none.
    """
    official = (path for name in names for path in sorted((root / folder).glob(name)))
    elsewhere = (path for name in names for path in sorted(root.rglob(name)))
    for path in chain(official, elsewhere):
        if path.is_file() and is_own(path.relative_to(root)):
            return path
    raise LayoutError(f"{root / folder / names[0]}: missing — put the official lists there, or correct `data_root`")


def is_own(path: PurePath) -> bool:
    """Whether a path is a data set's: not hidden, and not what macOS leaves in archives (``._NAME``, ``__MACOSX``)."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def read_text(path: Path) -> str:
    """Read a list as :func:`mac.runtime.reading.read_text` does.

    Raises:
        LayoutError: the list is in another encoding; the message names the line if it can.
    """
    try:
        return reading.read_text(path)
    except reading.DamagedFileError as error:
        raise LayoutError(str(error)) from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a list with their numbers, stripped; empty ones are left out.

    Raises:
        LayoutError: as :func:`read_text`.
    """
    lines = enumerate(read_text(path).split("\n"), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_table(path: Path, columns: list[str]) -> "pd.DataFrame":
    """Read a list with a head (CSV) as text, and the number of each row's line in the column ``line``.

    Raises:
        LayoutError: it can't be read, lacks a column, or a row lacks a value.
    """
    import pandas as pd

    try:
        table = pd.read_csv(io.StringIO(read_text(path)), dtype=str, skipinitialspace=True, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise LayoutError(f"{path}: {error} — a comma-separated list with a head is read") from None
    table.columns = table.columns.str.strip()
    if lacking := [column for column in columns if column not in table]:
        raise LayoutError(
            f"{path}, line 1: found the columns {', '.join(table.columns)} — lacks the column(s) {', '.join(lacking)}"
        )
    table = table.apply(lambda column: column.str.strip().fillna(""))
    table = table.assign(line=range(2, len(table) + 2))[(table != "").any(axis=1)].reset_index(drop=True)
    for column in columns:
        if (empty := table[column] == "").any():
            line = table.loc[empty, "line"].iloc[0]
            raise LayoutError(f"{path}, line {line}: found no {column} — each row has one — complete or delete the row")
    return table


class Listing:
    """The videos of official lists while these are read: each has one label, and in each split one side."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self._places: dict[tuple[str, int], str] = {}
        self._labels: dict[str, str] = {}

    def add(self, place: str, split: int, side: str, path: str, label: str, group: str) -> None:
        """Add a line of a list; ``place`` names it in messages.

        Raises:
            LayoutError: the video stands on another side of the split too, or its class under another spelling.
        """
        first = self._labels.setdefault(label.casefold(), label)
        if first != label:
            raise LayoutError(f"{place}: found class {label!r}, elsewhere {first!r} — one spelling is allowed")
        row = self.rows.setdefault(
            path, {"path": path, "label": label, "group": group} | {f"split_{s}": UNUSED for s in SPLITS}
        )
        before = self._places.setdefault((path, split), place)
        if before != place and row[f"split_{split}"] != side:
            raise LayoutError(
                f"{place}: found {path} as {side} video of split {split}, which {before} lists as"
                f" {row[f'split_{split}']} — one side is allowed — delete one of the lines"
            )
        row[f"split_{split}"] = side
