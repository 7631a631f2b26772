"""``page`` and ``learning``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mac import plan as planning
from mac.report import pages
from mac.report.provenance import spent
from mac.report.results import Results, from_folder
from mac.runtime.atomic import write_text
from mac.runtime.leftovers import size
from mac.tracking import journal


def learning(arguments: argparse.Namespace) -> None:
    """Draw ``learning_TABLE.png`` of every table; with ``--svg`` also ``.svg``."""
    from mac import pictures  # matplotlib: only where a picture is drawn
    from mac.report.figures import draw_learning

    plan = planning.load(arguments.config_dir, arguments.scale)
    arguments.out.mkdir(parents=True, exist_ok=True)

    def events(stage: str, run_id: str) -> list[dict[str, Any]]:
        epochs = plan.pretrainings[run_id].epochs if stage == "pretrain" else set()
        return _events(arguments.results, epochs, stage, run_id)

    for name, table in plan.tables.items():
        paths = pictures.formats(arguments.out / f"learning_{name}", arguments.svg)
        draw_learning(plan, table, events, paths)


def _events(results: Path, epochs: set[int], stage: str, run_id: str) -> list[dict[str, Any]]:
    """Read a run's journals: of all its segments in order, or its only one; a damaged one is named and left out."""
    names = [f"epoch_{epoch}.jsonl" for epoch in sorted(epochs)] if stage == "pretrain" else ["journal.jsonl"]
    events = []
    for path in (results / stage / run_id / name for name in names):
        try:
            events += [event for event in journal.read(path) if event["event"]] if path.is_file() else []
        except (ValueError, KeyError, TypeError) as error:
            print(f"{path}: left out, damaged ({type(error).__name__}: {error})", file=sys.stderr)
    return events


def page(arguments: argparse.Namespace) -> None:
    """Write REPORTS/SCALE/index.html from results and what the report holds already."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    results = Results(plan, from_folder(arguments.results), arguments.runs_page)
    ledger = arguments.ledger.read_text(encoding="utf-8")
    content = pages.page(results, arguments.out, str(arguments.results), _cost(results, arguments.results), ledger)
    write_text(arguments.out / "index.html", content)


def _cost(results: Results, root: Path) -> dict[str, Any]:
    """Tabulate device hours, wall time and disk of a scale's runs, by stage."""
    plan = results.plan
    disk = {
        "data sets: lists and indices": _size(root / "dataset", plan.datasets),
        "frame stores": _size(root / "store", plan.stores),
        "person boxes": _size(root / "boxes", plan.boxes),
        "mask cards": _size(root / "masks", plan.cards),
        "pretraining": _size(root / "pretrain", plan.pretrainings),
        "finetuning": _size(root / "finetune", plan.finetunings),
        "probes": _size(root / "probe", plan.probes),
    }
    took = {stage.stage: stage for stage in spent(results)}
    rows = []
    for name, held in disk.items():
        stage, numbers = took.get(name), ["", "", "", ""]
        if stage:
            devices = ", ".join(f"{device} ({jobs} jobs)" for device, jobs in stage.devices.items())
            numbers = [stage.runs, f"{stage.device_hours:.2f}", f"{stage.wall_seconds / 3600:.2f}", devices]
        rows.append([name, *numbers[:3], f"{held / 1e6:,.0f} MB", numbers[3]])
    note = (
        "Hours are summed over jobs, whether or not they ran side by side; an interrupted job counts from its last"
        " start. Runs are shared by rows and scales; each is counted once."
    )
    return {"heads": ["stage", "runs", "device hours", "wall hours", "disk", "devices"], "rows": rows, "note": note}


def _size(folder: Path, ids: Iterable[str]) -> int:
    """Add up the bytes of runs' folders."""
    return sum(size(folder / i) for i in ids if (folder / i).is_dir())
