"""What the layouts share: the sides of a split, finding and reading an official list, facts of a synthetic video."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = (1, 2, 3)  # columns of an index; a layout may define fewer
TRAIN, TEST, UNUSED = "train", "test", "unused"
GROUPS = 25  # source groups that the synthetic videos of a class are spread over, as in UCF101


class LayoutError(Exception):
    """A data set's folder is not laid out as its format says; the message names the file and what is expected."""


@dataclass(frozen=True)
class SyntheticVideo:
    """One video to generate.

    ``path`` is relative to the data set's folder, ``motion`` the index of its class; ``motion``, ``group`` and
    ``number`` (within the group, from 1) are the keys of its randomness. ``sides`` has one side for each split of the
    layout.
    """

    path: str
    motion: int
    group: int
    number: int
    sides: tuple[str, ...]


def spread(videos: int) -> list[tuple[int, int]]:
    """Spread the synthetic videos of one class over the groups: (group, number within it), both from 1."""
    groups = [i * GROUPS // videos + 1 for i in range(videos)]
    return [(group, groups[:i].count(group) + 1) for i, group in enumerate(groups)]


def find_list(root: Path, folder: str, *names: str) -> Path:
    """Find a list by any of its names in its official folder, or else anywhere in the data set's folder.

    Raises:
        LayoutError: there is none.
    """
    places = [root / folder / name for name in names]
    elsewhere = (place for name in names for place in sorted(root.rglob(name)))
    found = next((place for place in places if place.is_file()), None) or next(elsewhere, None)
    if found is None:
        raise LayoutError(f"{places[0]}: missing — put the official lists there, or correct `data_root`")
    return found


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list that are not empty, without the space around them."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
