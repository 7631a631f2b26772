"""What all layouts need: the sides of a split, official lists, and the videos of a synthetic data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

SPLITS = (1, 2, 3)  # columns of an index; a layout may define fewer
TRAIN, TEST, UNUSED = "train", "test", "unused"
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
    elsewhere = (path for name in names for path in sorted(root.rglob(name)))
    for path in chain((root / folder / name for name in names), elsewhere):
        if path.is_file():
            return path
    raise LayoutError(f"{root / folder / names[0]}: missing — put the official lists there, or correct `data_root`")


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list, stripped; empty ones are left out."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
