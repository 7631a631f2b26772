"""Results that no table refers to any more, and how to delete them without touching anything else.

Only files that carry a run's id in their name are listed: folders ``STAGE/ID``, receipts ``tracking/STAGE/ID…``, logs
``logs/RULE/ID…``. MLflow's database and artifacts, and all other files of a results folder, are never listed.
"""

import fcntl
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mac import plan as planning
from mac.overrides import NO_OVERRIDES, Overrides
from mac.pipeline import STAGES, configs_of
from mac.plan import Plan
from mac.validation import ConfigError, collect, read_yaml, validate

TRAINED = [name for name, stage in STAGES.items() if stage.is_training]
RECORDS = ("tracking", "logs")
RECENT = 24 * 3600.0  # seconds; an unfinished run that was changed within this time may still be running, see `at_work`
_ID = re.compile(r"[0-9a-f]{10}")


class NoResultsError(Exception):
    """The folder isn't a results folder; the message names it."""


@dataclass(frozen=True)
class Leftover:
    """Paths that belong together and may be deleted, and why."""

    name: str
    paths: tuple[Path, ...]
    why: str

    @cached_property
    def size(self) -> int:
        """Bytes of the files in the paths; links are not followed."""
        return sum(map(size, self.paths))


class Folder:
    """A results folder: its runs and their records by id; links are never followed."""

    def __init__(self, results: Path) -> None:
        """Check that ``results`` is a results folder.

        Raises:
            NoResultsError: it is no folder, or has no folder of any stage.
        """
        if not results.is_dir() or not any((results / stage).is_dir() for stage in STAGES):
            raise NoResultsError(f"{results}: no results folder (it would hold {', '.join(STAGES)}); see --results")
        self.results = results

    def links(self) -> list[str]:
        """Symbolic links to stages and to runs; their targets are never deleted."""
        tops = [self.results / name for name in (*STAGES, *RECORDS)]
        parts = [*tops, *(path for top in tops if _is_own(top) for path in sorted(top.iterdir()))]
        return [str(path.relative_to(self.results)) for path in parts if path.is_symlink()]

    def ids(self, stage: str) -> list[str]:
        """Ids of the folders of a stage."""
        top = self.results / stage
        found = top.iterdir() if _is_own(top) else ()
        return sorted(path.name for path in found if _ID.fullmatch(path.name) and _is_own(path))

    def records(self) -> dict[str, list[Path]]:
        """Receipts and logs, by the id with which their names begin."""
        found = defaultdict(list)
        for top in (self.results / name for name in RECORDS):
            for path in sorted(top.glob("*/*")) if _is_own(top) else ():
                run_id = re.split("[._]", path.name)[0]
                if _ID.fullmatch(run_id) and path.is_file() and not path.is_symlink() and _is_own(path.parent):
                    found[run_id].append(path)
        return found

    def at_work(self) -> Iterator[tuple[str, str, str]]:
        """Stage, id and reason of the runs that a process is working on.

        Locks may not work between machines, so a run that was changed recently counts, too.
        """
        records = self.records()
        for stage, facts in STAGES.items():
            for run_id in self.ids(stage):
                run = self.results / stage / run_id
                is_done = facts.is_training or (run / facts.last).exists()
                if facts.is_training and (not can_hold(_locks(run)) or any(map(_was_changed, run.glob("running*")))):
                    yield stage, run_id, "is being trained now, or was within a day"
                elif not is_done and _was_changed(run, *records.get(run_id, [])):
                    yield stage, run_id, "not finished and changed within a day: something may be making it"


def load_plans(config_dir: Path, scales: tuple[str, ...], overrides: Overrides = NO_OVERRIDES) -> list[Plan]:
    """Plan the scales whose results stay, all of them if none is named, each with the command line's rows.

    Raises:
        ConfigError: a scale has a problem or doesn't exist; with such a configuration nothing may be deleted.
    """
    names = scales or planning.scales(config_dir)
    plans, problems = [], [] if names else [f"{config_dir}/scales: no scale, so nothing says what is needed"]
    for scale in names:
        with collect(problems, f"scale {scale}"):
            plans.append(planning.load(config_dir, scale, overrides))
    if problems:
        raise ConfigError([*problems, "nothing was deleted: mend it, or name the scales that count with --scale"])
    return plans


def find(folder: Folder, plans: list[Plan]) -> tuple[list[Leftover], dict[str, str]]:
    """List what no plan refers to, and by name what stays all the same, with the reason.

    What is being made or trained stays, with all it was made from.
    """
    referred, live = _referred(plans), set()
    kept = dict.fromkeys(folder.links(), "a link: what it leads to is left alone")
    for stage, run_id, why in folder.at_work():
        live |= {run_id, *_upstream(folder.results / stage / run_id / "config.yaml", stage)}
        if run_id not in referred:
            kept[f"{stage}/{run_id}"] = f"{why}; so what it is made from stays too"
    records, stay, listed = folder.records(), referred | live, []
    for stage in STAGES:
        for run_id in folder.ids(stage):
            paths = (folder.results / stage / run_id, *records.pop(run_id, []))
            if run_id not in stay:
                listed.append(Leftover(f"{stage}/{run_id}", paths, "no table refers to it"))
    gone = sorted(records.keys() - stay)
    listed += [Leftover(f"records of {run_id}", tuple(records[run_id]), "no table refers to it") for run_id in gone]
    for run_id, epochs in _epochs(plans).items():
        if run_id in folder.ids("pretrain") and run_id not in live:
            listed += _surplus(folder.results / "pretrain" / run_id, epochs)
    return listed, kept


def find_states(folder: Folder, plans: list[Plan]) -> list[Leftover]:
    """List what is referred to but only needed to continue training: states of finished pretrainings, old snapshots."""
    busy, listed = {run_id for _, run_id, _ in folder.at_work()}, []
    referred, epochs = _referred(plans), _epochs(plans)
    for run_id in (i for i in folder.ids("pretrain") if i in epochs and i not in busy):
        kept = [folder.results / "pretrain" / run_id / f"epoch_{epoch}.json" for epoch in sorted(epochs[run_id])]
        states = tuple(path for path in (path.with_suffix(".state.pt") for path in kept) if path.is_file())
        if states and all(path.is_file() for path in kept):
            why = "the pretraining is finished; without it, later epochs would be trained from the first on"
            listed.append(Leftover(f"pretrain/{run_id} states", states, why))
    for stage in TRAINED:
        for run_id in sorted(set(folder.ids(stage)) & referred - busy):
            for path in sorted((folder.results / stage / run_id).glob("running*")):
                if _locks(path):
                    why = "snapshots of a training that nobody continues now; it would begin its segment anew"
                    listed.append(Leftover(f"{stage}/{run_id}/{path.name}", (path,), why))
    return listed


def remove(found: Leftover, results: Path) -> bool:
    """Delete what was listed; returns False and deletes nothing if a process has begun to train it meanwhile.

    Raises:
        ValueError: a path leads out of the results folder (nothing is deleted).
    """
    root = results.resolve()
    for path in found.paths:
        inside = path.parent.resolve()
        if not inside.is_relative_to(root) or inside == root:
            raise ValueError(f"{path}: not within {root}, left alone")
    with ExitStack() as held:
        if not can_hold([lock for path in found.paths for lock in _locks(path)], held):
            return False
        for path in found.paths:
            if _is_own(path):
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return True


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if not _is_own(path):
        return path.lstat().st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def _is_own(path: Path) -> bool:
    """Whether a path is a folder and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _locks(path: Path) -> list[Path]:
    """Lock files of the trainings in a run's folder, or of the running folder itself."""
    found = [path / "lock", *sorted(path.glob("running*/lock"))] if _is_own(path) else []
    return [lock for lock in found if lock.is_file()]


def can_hold(locks: list[Path], held: ExitStack | None = None) -> bool:
    """Take trainings' locks (POSIX record locks, :mod:`mac.training.run_folder`), until ``held`` closes.

    Without ``held`` it is only asked whether a process holds them: for that a file need not be writable.
    """
    mode, kind = ("rb", fcntl.LOCK_SH) if held is None else ("r+b", fcntl.LOCK_EX)
    with ExitStack() as own, suppress(OSError):  # another process holds it, or the file system has no locks
        for lock in locks:
            fcntl.lockf((held or own).enter_context(lock.open(mode)), kind | fcntl.LOCK_NB)
        return True
    return False


def _was_changed(folder: Path, *more: Path) -> bool:
    """Whether a folder's files, or ``more`` of them, were changed within ``RECENT``."""
    paths = (path for path in (*folder.rglob("*"), *more) if path.name != "config.yaml")
    return time.time() - max((path.lstat().st_mtime for path in paths), default=0.0) < RECENT


def _referred(plans: list[Plan]) -> set[str]:
    return {i for plan in plans for configs in configs_of(plan).values() for i in configs}


def _epochs(plans: list[Plan]) -> dict[str, set[int]]:
    """Epochs that any of the plans keeps, by pretraining."""
    found = defaultdict(set)
    for run_id, pretraining in (one for plan in plans for one in plan.pretrainings.items()):
        found[run_id] |= pretraining.epochs
    return found


def _upstream(path: Path, stage: str) -> set[str]:
    """Ids of what a run is made from, by its own configuration, which a training must have."""
    if stage not in TRAINED and not path.exists():
        return set()
    config = validate(STAGES[stage].config, read_yaml(path))
    return {part.identify() for part in config.inner()} | {getattr(config, "pretrain_id", None) or ""}


def _surplus(run: Path, epochs: set[int]) -> list[Leftover]:
    """Checkpoints of epochs that no table asks for."""
    found = defaultdict(list)
    for path in sorted(run.glob("epoch_*.*")):
        named = re.match(r"epoch_(\d+)\.", path.name)
        if named and int(named[1]) not in epochs and path.is_file() and not path.is_symlink():
            found[int(named[1])].append(path)
    why = "no table refers to this epoch"
    return [Leftover(f"pretrain/{run.name} epoch {epoch}", tuple(paths), why) for epoch, paths in sorted(found.items())]
