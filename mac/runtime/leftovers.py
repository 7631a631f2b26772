"""Results that no table refers to any more, and how to delete them without touching anything else.

Only what a run's id names is listed: folders ``STAGE/ID``, receipts ``tracking/STAGE/ID…``, logs ``logs/RULE/ID…``.
MLflow's database and artifacts, and whatever else lies in a results folder, are none of it.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

STAGES = ("dataset", "store", "boxes", "masks", "pretrain", "finetune", "probe")
TRAINED = ("pretrain", "finetune")
FINISHED = {
    "dataset": "index.parquet",
    "store": "store.json",
    "boxes": "boxes.parquet",
    "masks": "card.json",
    "probe": "metrics.json",
}
RECENT = 24 * 3600.0  # seconds: what was changed later and isn't finished may be at work, whatever locks say
_ID = re.compile(r"([0-9a-f]{10})(?=[._]|$)")


class NoResultsError(Exception):
    """The folder isn't a results folder; the message names it."""


@dataclass(frozen=True)
class Leftover:
    """What may go: some paths that belong together, their bytes, and why."""

    name: str
    paths: tuple[Path, ...]
    size: int
    why: str


@dataclass(frozen=True)
class Kept:
    """Something nobody refers to that stays nevertheless, and why."""

    name: str
    why: str


class Folder:
    """A results folder as its runs' ids divide it up."""

    def __init__(self, results: Path) -> None:
        """Look at ``results``.

        Raises:
            NoResultsError: it is no folder, or has none of a results folder's parts.
        """
        if not results.is_dir() or not any((results / stage).is_dir() for stage in STAGES):
            raise NoResultsError(f"{results}: no results folder (it would hold {', '.join(STAGES)}); see --results")
        self.results = results
        self.links = [
            Kept(name, "a link: what it leads to is left alone")
            for path in self._parts()
            if path.is_symlink() and (name := str(path.relative_to(results)))
        ]

    def ids(self, stage: str) -> list[str]:
        """Ids of the folders of a stage, links left out."""
        top = self.results / stage
        if top.is_symlink() or not top.is_dir():
            return []
        found = [path for path in top.iterdir() if re.fullmatch(r"[0-9a-f]{10}", path.name)]
        return sorted(path.name for path in found if path.is_dir() and not path.is_symlink())

    def records(self) -> dict[str, list[Path]]:
        """Receipts and logs by the id in their name, links left out."""
        found: dict[str, list[Path]] = {}
        for top in ("tracking", "logs"):
            if (self.results / top).is_symlink():
                continue
            for path in sorted((self.results / top).glob("*/*")):
                named = _ID.match(path.name)
                if named and path.is_file() and not path.is_symlink() and not path.parent.is_symlink():
                    found.setdefault(named[1], []).append(path)
        return found

    def trained_now(self) -> dict[str, str]:
        """Runs some process is training right now (or was within a day, where locks don't reach): stage by id."""
        return {
            run_id: stage
            for stage in TRAINED
            for run_id in self.ids(stage)
            if any(not _is_free(lock) for lock in locks(self.results / stage / run_id))
            or any(_changed(path) for path in (self.results / stage / run_id).glob("running*"))
        }

    def made_now(self) -> dict[str, str]:
        """Data sets, stores, boxes and cards that may be in the making: begun, not finished, changed of late."""
        return {
            run_id: stage
            for stage, last in FINISHED.items()
            for run_id in self.ids(stage)
            if not (self.results / stage / run_id / last).exists() and _changed(self.results / stage / run_id)
        }

    def _parts(self) -> Iterator[Path]:
        for name in (*STAGES, "tracking", "logs"):
            yield self.results / name
            if (self.results / name).is_dir() and not (self.results / name).is_symlink():
                yield from sorted((self.results / name).iterdir())


def unreferred(folder: Folder, referred: set[str], why: str) -> list[Leftover]:
    """List all that belongs to ids outside ``referred``, one entry an id.

    Args:
        folder: the results.
        referred: ids that must stay.
        why: what to say of the others.
    """
    records = folder.records()
    found = []
    for stage in STAGES:
        for run_id in folder.ids(stage):
            paths = [folder.results / stage / run_id, *records.pop(run_id, [])]
            if run_id not in referred:
                found.append(leftover(f"{stage}/{run_id}", paths, why))
    for run_id, paths in records.items():
        if run_id not in referred:
            found.append(leftover(f"records of {run_id}", paths, why))
    return found


def leftover(name: str, paths: Iterable[Path], why: str) -> Leftover:
    """Weigh paths: bytes of the files in them, links not followed."""
    paths = tuple(paths)
    return Leftover(name, paths, sum(map(size, paths)), why)


def remove(found: Leftover, results: Path) -> bool:
    """Delete what was listed; False, and nothing deleted, if some process has begun to train it since.

    Raises:
        ValueError: a path leads out of the results folder (nothing is deleted).
        OSError: something can't be deleted.
    """
    root = results.resolve()
    for path in found.paths:
        inside = path.parent.resolve()
        if not inside.is_relative_to(root) or inside == root:
            raise ValueError(f"{path}: not within {root}, left alone")
    with ExitStack() as held:
        for path in found.paths:
            for lock in locks(path):
                if not _hold(lock, held):
                    return False
        for path in found.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return True


def locks(path: Path) -> list[Path]:
    """Lock files of the trainings in a run's folder, or of the running folder itself."""
    if path.is_symlink() or not path.is_dir():
        return []
    return [lock for lock in (path / "lock", *sorted(path.glob("running*/lock"))) if lock.is_file()]


def _is_free(lock: Path) -> bool:
    with ExitStack() as held:
        return _hold(lock, held)


def _changed(folder: Path) -> bool:
    """Whether a folder's files were changed within ``RECENT``."""
    newest = max((path.lstat().st_mtime for path in folder.rglob("*") if path.name != "config.yaml"), default=0.0)
    return time.time() - newest < RECENT


def _hold(lock: Path, held: ExitStack) -> bool:
    """Take a training's lock (a POSIX record lock, :mod:`mac.training.run_folder`) for as long as ``held`` lasts."""
    file = held.enter_context(lock.open("r+b"))
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # held, or a file system without locks, where nobody can tell
    return True


def size(path: Path) -> int:
    """Weigh a file, or the files of a folder, in bytes; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
