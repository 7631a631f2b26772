"""Which file is which listed video: official folders, other endings, other folders, replacements, missing and extra."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from mac.data import splits

VIDEO_ENDINGS = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".m4v")
REPLACEMENT = "replacement"  # a folder whose name begins so holds mended copies: they are taken first
COLUMNS = ["path", "label", "group", "split_1", "split_2", "split_3", "file"]


class SubsetError(Exception):
    """A subset names videos that the official lists don't."""


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
    """List a data set's videos and the file that holds each.

    A file is matched by its official path, else by that path with another ending, else by its name in any folder of
    the data set; folders beginning with ``replacement`` win. Hidden folders are passed over.

    Args:
        root: the data set's folder.
        layout: ``ucf101``, ``hmdb51`` or ``kinetics``.
        subset: keep only the videos of its column ``path``; None keeps all.

    Returns:
        One row per listed video, sorted by path: the columns of :func:`mac.data.splits.listing` and ``file`` (relative
        to ``root``, empty where there is none); then one row per video file that no list names, label and group empty,
        in no split. Files under a linked folder are another data set's and never count as unlisted.

    Raises:
        mac.data.splits.LayoutError: a list is missing or malformed.
        SubsetError: the subset names a video that no official list names.
    """
    listed = splits.listing(root, layout)
    official = {_stem(path) for path in listed["path"]}
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
    listed["file"] = [_choose(path, places.get(_stem(path), [])) for path in listed["path"]]
    extra = [file for file in own if _stem(file) not in official]
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
        relative = Path(folder).relative_to(root).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for name in files:
            if name.lower().endswith(VIDEO_ENDINGS) and not name.startswith("."):
                yield prefix + name, linked


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _choose(path: str, files: list[str]) -> str:
    if len(files) < 2:
        return files[0] if files else ""
    official = PurePosixPath(path)

    def rank(file: str) -> tuple[bool, bool, bool, bool]:
        found = PurePosixPath(file)
        mended = any(part.startswith(REPLACEMENT) for part in found.parts)
        return (
            mended,
            file == path,
            found.with_suffix("") == official.with_suffix(""),
            found.parent.name == official.parent.name,
        )

    return max(files, key=rank)
