"""``keep`` and ``recall``: results that are committed with a report, and how they come back."""

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from mac import kept as kept_results
from mac import plan as planning
from mac.commands.files import write_json
from mac.report.results import Results, from_folder
from mac.runtime.atomic import replace

MADE_ON = ("device", "commit", "torch", "index_digest")


def keep(arguments: argparse.Namespace) -> None:
    """Copy the small files of a scale's finished runs into REPORTS/SCALE/kept, with digests and where they ran."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    results, kept = Results(plan, from_folder(arguments.results)), arguments.out / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    folder = os.open(kept, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the provenance is read, added to and written
        path = kept / kept_results.PROVENANCE
        listed = kept_results.read_provenance(kept) if path.is_file() else {"runs": {}, "report": {}}
        _drop(kept, listed["runs"], set(_planned(plan)))
        for run in _finished(results):
            digests = {}
            for name in kept_results.files_of(run):
                content = (arguments.results / name).read_bytes()
                _write(kept / name, content)
                digests[name.rsplit("/", 1)[1]] = kept_results.digest(content)
            listed["runs"][run] = digests
        runs = dict(sorted(listed["runs"].items()))
        about = {"scale": plan.scale, "kept": str(date.today()), "made_on": _made_on(kept, runs)}
        write_json(path, about | {"report": kept_results.made(plan, arguments.out, listed["report"]), "runs": runs})
    finally:
        os.close(folder)
    for key, reason in results.problems.items():
        print(f"mac keep: {key} is left out: {reason}", file=sys.stderr)
    print(f"{kept}: {len(runs)} of {len(list(_planned(plan)))} runs and segments")


def recall(arguments: argparse.Namespace) -> None:
    """Put a kept run's files into a results folder, after checking them."""
    for name, content in kept_results.checked(arguments.kept, arguments.run).items():
        _write(arguments.results / name, content)


def _planned(plan: planning.Plan) -> Iterator[str]:
    """All runs of a plan, pretrainings by segment."""
    yield from (f"finetune/{i}" for i in plan.finetunings)
    yield from (f"probe/{i}" for i in plan.probes)
    yield from (f"pretrain/{i}/epoch_{epoch}" for i, p in plan.pretrainings.items() for epoch in p.epochs)


def _drop(kept: Path, runs: dict[str, Any], planned: set[str]) -> None:
    """Leave out what the plan no longer has."""
    for run in [run for run in runs if run not in planned]:
        for name in kept_results.files_of(run):
            (kept / name).unlink(missing_ok=True)
        del runs[run]


def _made_on(kept: Path, runs: dict[str, Any]) -> dict[str, list[str]]:
    """Devices, commits, torch versions and contents of the data that the kept runs say of themselves, each once."""
    files = (next(name for name in kept_results.files_of(run) if name.endswith(".json")) for run in runs)
    facts = [json.loads((kept / name).read_text(encoding="utf-8")) for name in files]
    return {name: sorted({str(run[name]) for run in facts if name in run}) for name in MADE_ON}


def _finished(results: Results) -> Iterator[str]:
    """Runs whose results can be used, pretrainings by segment."""
    yield from (f"finetune/{i}" for i in results.finetunes)
    yield from (f"probe/{i}" for i in results.probes)
    yield from (f"pretrain/{i}/epoch_{epoch}" for i, epoch in results.pretrains)


def _write(path: Path, content: bytes) -> None:
    replace(path, lambda partial: partial.write_bytes(content))
