"""How far the work of a scale is: read from the files that its runs write, and shown while Snakemake runs."""

import math
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, Task

from mac.costs.estimate import epochs_done
from mac.pipeline import writes
from mac.plan import Plan
from mac.runtime.stale_lock import is_left_behind
from mac.tracking import journal

# Seconds one unit takes at demo scale on one core; only their ratios matter, for the estimate of the time left.
WEIGHTS = {"data sets": 60.0, "mask checks": 4.0, "pretraining": 7.0, "finetuning": 1.0, "tables": 2.0}
TERMINAL_SECONDS, LINE_SECONDS = 1.0, 30.0


@dataclass(frozen=True)
class Bar:
    """One stage's progress: ``done`` of ``total`` units (which may be fractional)."""

    name: str
    unit: str
    done: float
    total: float


def bars(plan: Plan, results: Path, reports: Path) -> list[Bar]:
    """Measure each stage: stores, mask checks, pretraining epochs, finetuning epochs, tables."""

    def there(paths: Iterable[Path]) -> int:
        return sum(path.exists() for path in paths)

    done = epochs_done(plan, results, journal.read)
    stores = there(writes("store", i, results)["out"] for i in plan.stores)
    checks = there(writes("masks", i, results)["out"] for i in plan.mask_checks)
    to_pretrain = sum(max(p.epochs) for p in plan.pretrainings.values())
    to_finetune = sum(f.config.optimiser.epochs for f in plan.finetunings.values())
    return [
        Bar("data sets", "sets", stores, len(plan.stores)),
        Bar("mask checks", "checks", checks, len(plan.mask_checks)),
        Bar("pretraining", "epochs", sum(done[i] for i in plan.pretrainings), to_pretrain),
        Bar("finetuning", "epochs", sum(done[i] for i in plan.finetunings), to_finetune),
        Bar("tables", "tables", there(reports / "tables" / f"{name}.md" for name in plan.tables), len(plan.tables)),
    ]


def follow(plan: Plan, results: Path, reports: Path, log: Path, command: list[str]) -> int:
    """Run a command with its output in a log file, and show bars on a terminal, else a line every half minute.

    Args:
        plan: the scale that the command works on.
        results: the results folder.
        reports: ``REPORTS/SCALE``.
        log: the log file.
        command: Snakemake's words.

    Returns:
        The command's exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    console = Console(soft_wrap=True, highlight=False)
    counts = f"{len(plan.pretrainings)} pretrainings, {len(plan.finetunings)} finetunings, {len(plan.tables)} tables"
    console.print(f"Scale {plan.scale}: {counts}. Snakemake's own log: {log}")
    if is_left_behind(Path()):
        console.print("A Snakemake that was killed left its lock on this folder: it is removed.")
        subprocess.run([command[0], "--unlock", *command[1:]], capture_output=True, check=False)
    began = time.monotonic()
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            _watch(process, lambda: bars(plan, results, reports), console)
        except KeyboardInterrupt:
            console.print("Stopping: finished runs are kept, the same command continues.")
            process.wait()
    minutes = (time.monotonic() - began) / 60
    if process.returncode:
        _explain(log, console)
    else:
        console.print(
            f"Done in {minutes:.1f} minutes. Report: {reports}/README.md — browse the runs in MLflow: make ui"
        )
    return process.returncode


def _watch(process: subprocess.Popen, measure: Callable[[], list[Bar]], console: Console) -> None:
    """Show how far the work is until a process has ended."""
    is_terminal, shown, is_running = console.is_terminal, "", True
    columns = ("{task.description:12}", BarColumn(), "{task.completed:g}/{task.total:g} {task.fields[unit]}")
    with Progress(*columns, console=console, disable=not is_terminal, speed_estimate_period=math.inf) as display:
        measured = measure()
        tasks = {b.name: display.add_task(b.name, total=b.total, completed=b.done, unit=b.unit) for b in measured}
        whole = display.add_task("whole", total=100, completed=_percent(measured), unit="%")
        while is_running:
            is_running = process.poll() is None  # asked before measuring: the final state is always shown
            measured = measure()
            for b in measured:
                display.update(tasks[b.name], completed=b.done)
            left = f" — {_time_left(display.tasks[whole])}" if is_running else ""
            display.update(whole, completed=_percent(measured), unit=f"%{left}")
            begun = [b for b in measured if b.done or b.name == "data sets"]
            text = ", ".join(f"{b.name} {b.done:g}/{b.total:g} {b.unit}" for b in begun)
            if text != shown and not is_terminal:
                console.print(f"{time.strftime('%H:%M:%S')}  {text}{left}")
                shown = text
            with suppress(subprocess.TimeoutExpired):
                process.wait(TERMINAL_SECONDS if is_terminal else LINE_SECONDS)


def _time_left(whole: Task) -> str:
    """Phrase the time left, as the share done has grown since the start."""
    if whole.finished:
        return "nothing left to train"
    if whole.time_remaining is None:
        return "estimating the time left"
    minutes = whole.time_remaining / 60
    return f"about {minutes:.0f} minutes left" if minutes >= 1.5 else "about a minute left"


def _explain(log: Path, console: Console) -> None:
    """Show what matters of a failed run: the lines around Snakemake's errors, or the end of its log."""
    lines = log.read_text(errors="replace").splitlines()
    marked = [i for i, line in enumerate(lines) if "rror" in line]
    start = max(min(marked, default=len(lines) - 15) - 2, 0)
    console.print("\n".join(lines[start : start + 40]), markup=False, highlight=False)
    console.print(f"Snakemake failed; its whole log is {log}. Finished runs are kept: mend the cause and run again.")


def _percent(measured: list[Bar]) -> float:
    """Share of the whole work that is done."""
    total = sum(bar.total * WEIGHTS[bar.name] for bar in measured)
    return round(100 * sum(bar.done * WEIGHTS[bar.name] for bar in measured) / total, 1) if total else 100.0
