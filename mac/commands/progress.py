"""``progress``: run Snakemake with its output in a log file, and show a person how far the work is."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mac import plan as planning
from mac.runtime.progress import Bar, bars, share

# Seconds one unit takes at demo scale on one core; only their ratios matter, for the estimate of the time left.
WEIGHTS = {"data sets": 60.0, "mask cards": 4.0, "pretraining": 7.0, "finetuning": 1.0, "tables": 2.0}
TERMINAL_SECONDS, LINE_SECONDS = 1.0, 30.0


def follow(arguments: argparse.Namespace) -> None:
    """Run the command after ``--``, show bars (on a terminal) or a line now and then, and pass its exit status on."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    command = [word for word in arguments.rest if word != "--"]
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Scale {plan.scale}: {len(plan.pretrainings)} pretrainings, {len(plan.finetunings)} finetunings,"
                  f" {len(plan.tables)} tables. Snakemake's own log: {arguments.log}")  # fmt: skip
    began = time.monotonic()
    with arguments.log.open("w") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            watch = _bars if console.is_terminal else _lines
            watch(process, plan, arguments, console)
        except KeyboardInterrupt:
            console.print("Stopping: finished runs are kept, the same command continues.")
            process.wait()
    minutes = (time.monotonic() - began) / 60
    if process.returncode:
        _explain(arguments.log, console)
        sys.exit(process.returncode)
    reports = arguments.reports / plan.scale
    console.print(f"Done in {minutes:.1f} minutes. Report: {reports}/README.md — browse the runs in MLflow: make ui")


def _lines(process: subprocess.Popen, plan: planning.Plan, arguments: argparse.Namespace, console: Console) -> None:
    clock, shown = _Clock(), ""
    while True:
        measured = bars(plan, arguments.results, arguments.reports / plan.scale)
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


def _bars(process: subprocess.Popen, plan: planning.Plan, arguments: argparse.Namespace, console: Console) -> None:
    clock = _Clock()
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g} {task.fields[unit]}"),
    )
    with Progress(*columns, console=console) as display:
        measured = bars(plan, arguments.results, arguments.reports / plan.scale)
        tasks = {b.name: display.add_task(b.name, total=b.total, completed=b.done, unit=b.unit) for b in measured}
        whole = display.add_task("whole", total=100, unit="%")
        running = True
        while running:
            running = process.poll() is None  # asked first: what ended meanwhile is shown once more
            measured = bars(plan, arguments.results, arguments.reports / plan.scale)
            for b in measured:
                display.update(tasks[b.name], completed=b.done)
            left = f" — {clock.left(measured)}" if running else ""
            display.update(whole, completed=round(100 * share(measured, WEIGHTS)), unit=f"%{left}")
            if running:
                time.sleep(TERMINAL_SECONDS)


class _Clock:
    """Estimates the time left from how fast the share done has grown since the start."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def left(self, measured: list[Bar]) -> str:
        now, done = time.monotonic(), share(measured, WEIGHTS)
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
