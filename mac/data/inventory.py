"""The inventory of a data set: every listed video with the file that holds it, and the files that no list names."""

import contextlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from mac.data import splits
from mac.data.layouts import LAYOUTS

REPLACEMENT = "replacement"  # a folder whose name begins so holds replacements of damaged videos: they come first
SPLIT_COLUMNS = [f"split_{split}" for split in splits.SPLITS]
COLUMNS = ["path", "label", "group", *SPLIT_COLUMNS, "file"]


class SubsetError(Exception):
    """A subset names videos that the official lists don't."""


class AmbiguousFileError(Exception):
    """A file may be any of several listed videos; the message names the file, the videos and the way out."""


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
        AmbiguousFileError: a file matches several listed videos equally well, or by links serves two labels.
    """
    listed = read_lists(root, layout)
    identify: Callable[[str], str] = getattr(LAYOUTS[layout], "identify", _stem)
    if subset is not None and (strange := sorted(set(subset["path"]) - set(listed["path"]))):
        raise SubsetError(f"{root}: the subset names {len(strange)} videos that no list names, first {strange[0]}")
    files = dict(sorted(videos(root)))
    if "file" in listed:
        official, identify = set(map(_composed, listed["file"])), str
    else:
        official = {identify(_composed(path)) for path in listed["path"]}
        wanted = set(listed["path"] if subset is None else subset["path"])
        listed["file"] = _assign(root, list(listed["path"]), list(files), identify, wanted)
    if subset is not None:
        listed = listed[listed["path"].isin(set(subset["path"]))].reset_index(drop=True)
    _check_labels(root, listed)
    extra = [file for file, linked in files.items() if not linked and identify(_composed(file)) not in official]
    if not extra:
        return listed[COLUMNS]
    unlisted = {"path": extra, "label": "", "group": "", "file": extra} | dict.fromkeys(SPLIT_COLUMNS, splits.UNUSED)
    return pd.concat([listed[COLUMNS], pd.DataFrame(unlisted)], ignore_index=True)


def videos(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield every video file below a folder, without hidden ones: its path in it, and whether it is behind a link.

    A name that is not UTF-8 is escaped: no list can name such a file.
    """
    folders = [("", False, frozenset())]
    while folders:
        place, linked, above = folders.pop()
        real = os.path.realpath(root / place)
        if real in above:  # a link to a folder above it
            continue
        with contextlib.suppress(OSError), os.scandir(real) as entries:
            for entry in entries:
                link, path = entry.is_symlink(), f"{place}{entry.name}"
                if not splits.is_own(PurePosixPath(entry.name)):
                    continue
                if os.path.isdir(entry.path) if link else entry.is_dir():
                    folders.append((f"{path}/", linked or link, above | {real}))
                elif path.lower().endswith(splits.VIDEO_ENDINGS):
                    yield os.fsencode(path).decode("utf-8", "backslashreplace"), linked


def _composed(path: str) -> str:
    """Write accents with their letters; macOS writes them as marks of their own."""
    return unicodedata.normalize("NFC", path)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _assign(
    root: Path, listed: list[str], files: list[str], identify: Callable[[str], str], wanted: set[str]
) -> list[str]:
    """Give each listed video a file of its own, or none (empty), the best matches first.

    A file at a listed video's official place serves that video only.
    """
    places, claims = defaultdict(list), []
    owners: dict[str, str] = {}
    for path in listed:
        if (first := owners.setdefault(_composed(path.rpartition(".")[0]), path)) != path:
            raise splits.LayoutError(f"{root}: the lists name {first} and {path} — one ending is allowed — correct one")
    for file in files:
        places[identify(_composed(file))].append(file)
    for path in listed:
        for file in places.get(identify(_composed(path)), []):
            if owners.get(_composed(file.rpartition(".")[0]), path) == path:
                claims.append((_rank(_composed(file), _composed(path)), path, file))
    assigned: dict[str, str] = {}
    taken: dict[str, tuple[tuple[bool, ...], str]] = {}
    for rank, path, file in sorted(claims, key=lambda claim: claim[0], reverse=True):
        if path in assigned:
            continue
        if file not in taken:
            assigned[path], taken[file] = file, (rank, path)
        elif taken[file][0] == rank and {path, taken[file][1]} & wanted:
            raise AmbiguousFileError(
                f"{root / file}: it may be {taken[file][1]} or {path}, which both are listed — a file is one video —"
                f" move it to {root / path} or to the other's place, or delete it"
            )
    return [assigned.get(path, "") for path in listed]


def _check_labels(root: Path, listed: pd.DataFrame) -> None:
    """Refuse a file that by links serves videos of two labels."""
    served: dict[tuple[int, int] | str, tuple[str, str]] = {}
    for path, label, file in listed.loc[listed["file"] != "", ["path", "label", "file"]].itertuples(index=False):
        try:
            facts = os.stat(root / file)
            place: tuple[int, int] | str = (facts.st_dev, facts.st_ino)
        except OSError:  # a link to nothing: the scan says so
            place = file
        first = served.setdefault(place, (path, label))
        if first[1] != label:
            raise AmbiguousFileError(
                f"{root / file}: it is {path} ({label}) and by a link {first[0]} ({first[1]}) — a file has one label —"
                " put the right file there, or delete the link"
            )


def _rank(file: str, path: str) -> tuple[bool, ...]:
    """How well a file matches a listed path: a mended copy, then the very path, another ending, another folder."""
    found, official = PurePosixPath(file), PurePosixPath(path)
    mended = any(part.startswith(REPLACEMENT) for part in found.parts)
    same_place = found.with_suffix("") == official.with_suffix("")
    return mended, file == path, same_place, found.parent.name == official.parent.name
