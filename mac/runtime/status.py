"""What happens in a results folder: what runs where, how far it is, what failed and why. It is only read."""

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mac.leftovers import can_hold, size
from mac.pipeline import STAGES, configs_of, writes
from mac.plan import Plan
from mac.runtime import lease
from mac.runtime.jobs import Ending, ending
from mac.runtime.reading import DamagedFileError, read_json
from mac.runtime.training import Progress, progress

# The stage whose result a rule works for.
RULES = dict.fromkeys(("generate", "fetch", "list", "scan", "index"), "dataset")
RULES |= {"extract": "store", "store": "store", "detect": "boxes", "boxes": "boxes", "mask_check": "masks"}
RULES |= {name: name for name in ("pretrain", "finetune", "probe")}
QUIET = 15 * 60.0  # seconds without a sign, after which what may run on another machine counts as ended
PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Work:
    """Work that has begun and has no result yet.

    Attributes:
        rule: of its job; the stage of a training.
        name: a run's id, with the epoch that a pretraining is to reach; of a report's jobs ``SCALE…``.
        rows: that it serves.
        where: machine and device, as far as it is known.
        far: how far a training is.
        end: how it ended; None while it runs.
        since: when it ended, or was last seen to do something [s since 1970].
        log: its own.
        stage: whose result it works for, if any.
    """

    rule: str
    name: str
    rows: list[str]
    where: str = ""
    far: Progress | None = None
    end: Ending | None = None
    since: float = 0.0
    log: Path | None = None
    stage: str | None = None


@dataclass
class Status:
    """All that is known of a results folder.

    Attributes:
        counts: results that are done, and that the scale needs, by stage.
        disk: bytes by stage, and of everything else.
        free: bytes left on the disk.
    """

    running: list[Work] = field(default_factory=list)
    failed: list[Work] = field(default_factory=list)
    interrupted: list[Work] = field(default_factory=list)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    free: int = 0

    def of(self, kind: str, stage: str) -> list[Work]:
        """The work of a stage that is ``running``, ``failed`` or ``interrupted``."""
        return [work for work in getattr(self, kind) if work.stage == stage]


def look(results: Path, plan: Plan, named: list[Plan]) -> Status:
    """Look at a results folder, which may be missing; nothing is written, and no lock kept.

    Failed is work without a result whose own log ends in an error while no process works on it. Interrupted is a
    training or a probe that was ended in another way. ``plan`` says what is to be done; ``named`` knows further rows.
    """
    found, rows = Status(), _rows([plan, *named])
    for work in _all_work(results, rows):
        if work.end is None:
            found.running.append(work)
        elif work.end.is_error:
            found.failed.append(work)
        else:
            found.interrupted.append(work)
    found.counts = _count(results, plan)
    if results.is_dir():
        found.disk = {stage: _size_of(stage, results / stage) for stage in STAGES if (results / stage).is_dir()}
        others = [path for path in results.iterdir() if path.name not in STAGES]
        found.disk["logs, MLflow and others"] = sum(map(size, others))
    there = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.is_dir())
    found.free = shutil.disk_usage(there).free
    return found


def _all_work(results: Path, rows: dict[str, list[str]]) -> Iterator[Work]:
    """Everything that has begun and has no result."""
    at_work = dict(_processes(results))
    seen = set()
    for stage in (name for name, facts in STAGES.items() if facts.is_training):
        for folder in sorted(results.glob(f"{stage}/*/running*")):
            run_id = folder.parent.name
            name = folder.name.replace("running", run_id)
            if not _is_done(stage, name, results):
                seen.add((stage, name))
                yield _training(stage, name, folder, rows.get(run_id, []))
    for (stage, run_id), (command, pid) in at_work.items():
        about = f"{socket.gethostname()}, process {pid}"
        yield Work(command, run_id, rows.get(run_id, []), about, stage=stage)
    for log in sorted(results.glob("logs/*/*.log")):
        rule, name = log.parent.name, log.stem
        stage, run_id = RULES.get(rule), name.split("_")[0]
        if (rule, name) in seen or (stage, run_id) in at_work or (stage and _is_done(stage, name, results)):
            continue
        end = ending(log)
        is_quiet = time.time() - log.stat().st_mtime > QUIET  # else it may run on another machine
        if end.is_error or (rule == "probe" and is_quiet):
            known = next((rows[i] for i in re.findall("[0-9a-f]{10}", name) if i in rows), [])
            yield Work(rule, name, known, end=end, since=log.stat().st_mtime, log=log, stage=stage)


def _training(stage: str, name: str, folder: Path, rows: list[str]) -> Work:
    """A training that has begun: it runs if its lock is held, or, on another machine, if it did something of late."""
    owner, far, lock = _owner(folder / "lock"), progress(folder), folder / "lock"
    log = folder.parents[2] / "logs" / stage / f"{name}.log"
    is_here, leased = owner.get("host") in (None, socket.gethostname()), (owner.get("gpus") or "").split(",")
    gpus = [lease.describe(gpu) if is_here else gpu for gpu in leased if gpu]
    where = ", ".join(filter(None, [owner.get("host"), *gpus, far and far.device]))
    since = max((path.stat().st_mtime for path in (folder / "journal.jsonl", lock) if path.exists()), default=0.0)
    is_held = lock.is_file() and not can_hold([lock])
    if is_held or (not is_here and time.time() - since < QUIET):
        return Work(stage, name, rows, where, far, None, since, log, stage)
    return Work(stage, name, rows, where, far, ending(log), since, log, stage)


def _owner(lock: Path) -> dict[str, Any]:
    """What the process that holds, or last held, a training's lock wrote into it."""
    try:
        found = json.loads(lock.read_text())
    except (OSError, ValueError):  # an older training's
        return {}
    return found if isinstance(found, dict) else {}


def _processes(results: Path) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Stage and id of what processes of this machine make that hold no lock, with their command and number."""
    for process in PROCESSES.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = Path(os.readlink(process / "cwd"))
        except OSError:  # it has ended, or is another user's
            continue
        if words[1:3] == ["-m", "mac.runtime.lease"] and "--" in words:  # it waits for a GPU
            words = words[words.index("--") + 1 :]
        if words[1:3] != ["-m", "mac"]:
            continue
        for word in words[3:]:
            path = (folder / word).parent
            if path.parent.name in STAGES and path.parent.parent.resolve() == results.resolve():
                if not STAGES[path.parent.name].is_training:
                    yield (path.parent.name, path.name), (words[3], process.name)
                break


def _is_done(stage: str, name: str, results: Path) -> bool:
    run_id, *epoch = name.split("_")
    files = writes(stage, run_id, results, int(epoch[0]) if stage == "pretrain" and epoch else None)
    return list(files.values())[-1].exists()


def _rows(plans: list[Plan]) -> dict[str, list[str]]:
    """The rows that each training and probe serves, by its id."""
    found: dict[str, list[str]] = {}
    for plan in reversed(plans):  # the first plan's rows count most
        for runs in (plan.pretrainings, plan.finetunings, plan.probes):
            found |= {i: run.used_by for i, run in runs.items()}
    return found


def _count(results: Path, plan: Plan) -> dict[str, tuple[int, int]]:
    """How many results of each stage there are, of those a scale needs; a pretraining's epochs count each."""
    counts = {}
    for stage, configs in configs_of(plan).items():
        names = list(configs)
        if STAGES[stage].by_epoch:
            names = [f"{i}_{epoch}" for i in names for epoch in sorted(plan.pretrainings[i].epochs)]
        if names:
            counts[stage] = sum(_is_done(stage, name, results) for name in names), len(names)
    return counts


def _size_of(stage: str, folder: Path) -> int:
    """Bytes of a stage's folder; a finished frame store says its own, as it may hold a hundred thousand files."""
    if stage != "store":
        return size(folder)
    total = 0
    for store in folder.iterdir():
        try:
            total += read_json(store / "store.json")["bytes"]
        except (OSError, DamagedFileError, KeyError, TypeError):
            total += size(store)
    return total
