"""How far a scale's work is, read off the files its runs leave behind, and shown while Snakemake does it."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mac.plan import Plan
from mac.tracking import journal

# Seconds one unit takes at demo scale on one core; only their ratios matter, for the estimate of the time left.
WEIGHTS = {"data sets": 60.0, "mask cards": 4.0, "pretraining": 7.0, "finetuning": 1.0, "tables": 2.0}
TERMINAL_SECONDS, LINE_SECONDS = 1.0, 30.0


@dataclass(frozen=True)
class Bar:
    """One stage's progress: ``done`` of ``total`` units (which may be fractional)."""

    name: str
    unit: str
    done: float
    total: float


def bars(plan: Plan, results: Path, reports: Path) -> list[Bar]:
    """Measure each stage: stores, mask cards, pretraining epochs, finetuning epochs, tables."""
    stores = sum((results / "store" / i / "store.json").exists() for i in plan.stores)
    cards = sum((results / "masks" / i / "card.json").exists() for i in plan.cards)
    pretrained = sum(_pretrained_epochs(results / "pretrain" / i, p.epochs) for i, p in plan.pretrainings.items())
    to_pretrain = sum(max(p.epochs) for p in plan.pretrainings.values())
    finetuned = sum(
        f.config.optimiser.epochs
        if (results / "finetune" / i / "metrics.json").exists()
        else _last_epoch(results / "finetune" / i / "running" / "journal.jsonl")
        for i, f in plan.finetunings.items()
    )
    to_finetune = sum(f.config.optimiser.epochs for f in plan.finetunings.values())
    tables = sum((reports / "tables" / f"{name}.md").exists() for name in plan.tables)
    return [
        Bar("data sets", "sets", stores, len(plan.stores)),
        Bar("mask cards", "cards", cards, len(plan.cards)),
        Bar("pretraining", "epochs", pretrained, to_pretrain),
        Bar("finetuning", "epochs", finetuned, to_finetune),
        Bar("tables", "tables", tables, len(plan.tables)),
    ]


def follow(plan: Plan, results: Path, reports: Path, log: Path, command: list[str]) -> int:
    """Run a command, its output in a log file, and show bars (on a terminal) or a line now and then.

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
    began = time.monotonic()
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            watch = _show_bars if console.is_terminal else _print_lines
            watch(process, lambda: bars(plan, results, reports), console)
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


def _print_lines(process: subprocess.Popen, measure: Callable[[], list[Bar]], console: Console) -> None:
    clock, shown = _Clock(), ""
    while True:
        measured = measure()
        text = ", ".join(
            f"{b.name} {b.done:g}/{b.total:g} {b.unit}" for b in measured if b.done or b.name == "data sets"
        )
        if text != shown:
            console.print(f"{time.strftime('%H:%M:%S')}  {text} — {clock.left(measured)}")
            shown = text
        try:
            process.wait(LINE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _show_bars(process: subprocess.Popen, measure: Callable[[], list[Bar]], console: Console) -> None:
    clock = _Clock()
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g} {task.fields[unit]}"),
    )
    with Progress(*columns, console=console) as display:
        tasks = {b.name: display.add_task(b.name, total=b.total, completed=b.done, unit=b.unit) for b in measure()}
        whole = display.add_task("whole", total=100, unit="%")
        running = True
        while running:
            running = process.poll() is None  # asked first: what ended meanwhile is shown once more
            measured = measure()
            for b in measured:
                display.update(tasks[b.name], completed=b.done)
            left = f" — {clock.left(measured)}" if running else ""
            display.update(whole, completed=round(100 * _share(measured)), unit=f"%{left}")
            if running:
                time.sleep(TERMINAL_SECONDS)


class _Clock:
    """Estimates the time left from how fast the share done has grown since the start."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def left(self, measured: list[Bar]) -> str:
        now, done = time.monotonic(), _share(measured)
        if self._began is None:
            self._began = (now, done)
        since, before = self._began
        if done >= 1:
            return "nothing left to train"
        if done - before < 0.005:
            return "estimating the time left"
        minutes = (now - since) * (1 - done) / (done - before) / 60
        return f"about {minutes:.0f} minutes left" if minutes >= 1.5 else "about a minute left"


def _explain(log: Path, console: Console) -> None:
    """Show what matters of a failed run: the lines around Snakemake's errors, or the end of its log."""
    lines = log.read_text(errors="replace").splitlines()
    marked = [i for i, line in enumerate(lines) if "rror" in line]
    start = max(min(marked, default=len(lines) - 15) - 2, 0)
    console.print("\n".join(lines[start : start + 40]), markup=False, highlight=False)
    console.print(f"Snakemake failed; its whole log is {log}. Finished runs are kept: mend the cause and run again.")


def _share(measured: list[Bar]) -> float:
    """Share of the whole work that is done, in [0, 1]."""
    total = sum(bar.total * WEIGHTS[bar.name] for bar in measured)
    return sum(bar.done * WEIGHTS[bar.name] for bar in measured) / total if total else 1.0


def _pretrained_epochs(folder: Path, epochs: set[int]) -> int:
    done = 0
    for epoch in sorted(epochs):
        if (folder / f"epoch_{epoch}.json").exists():
            done = epoch
        else:
            return max(done, _last_epoch(folder / f"running_{epoch}" / "journal.jsonl"))
    return done


def _last_epoch(path: Path) -> int:
    if not path.exists():
        return 0
    return max((event.get("epoch", 0) for event in journal.read(path)), default=0)
