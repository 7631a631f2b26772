"""One line that says how far the work of a scale is, shown while Snakemake runs; and what to do where it failed."""

import re
import signal
import subprocess
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mac.pipeline import STAGES
from mac.plan import Plan
from mac.runtime.forecast import Forecast, of_plan, running_folder
from mac.runtime.jobs import Job, Jobs, ending
from mac.runtime.stale_lock import is_left_behind
from mac.runtime.training import progress

TERMINAL_SECONDS, LINE_SECONDS = 1.0, 30.0
MOST = 4  # jobs that are named in the line
DOING = {  # by the name of a rule or command
    "generate": "generating videos",
    "fetch": "fetching",
    "list": "listing videos",
    "scan": "reading every video",
    "index": "indexing",
    "extract": "extracting frames",
    "store": "putting frames together",
    "detect": "finding persons",
    "boxes": "putting person boxes together",
    "describe": "describing data",
    "mask_check": "checking masks",
    "masks": "checking masks",
    "pretrain": "pretraining",
    "finetune": "finetuning",
    "probe": "probing",
    "track_pretraining": "recording in MLflow",
    "track": "recording in MLflow",
    "gradcam": "drawing figures 2–4",
    "sweep": "drawing masks",
    "table": "writing a table",
    "curve": "drawing a curve",
    "learning": "drawing learning curves",
    "summary": "writing the summary",
    "page": "writing the page",
}


def rows_text(rows: list[str], most: int = 1) -> str:
    """Name the rows that a run serves, e.g. ``T4: Cross-entropy (and 3 more rows)``."""
    if not rows:
        return "of no row"
    more = len(rows) - most
    return "; ".join(rows[:most]) + (f" (and {more} more row{'s' if more > 1 else ''})" if more > 0 else "")


def time_text(seconds: float | None) -> str:
    """Phrase a time left."""
    if seconds is None:
        return "time left known after the first epochs"
    minutes = seconds / 60
    if minutes < 1.5:
        return "about a minute left"
    if minutes < 90:
        return f"about {minutes:.0f} minutes left"
    return f"about {minutes / 60:.1f} hours left" if minutes < 48 * 60 else f"about {minutes / 60 / 24:.1f} days left"


class Watch:
    """What a person is told of a Snakemake that runs."""

    def __init__(self, plan: Plan, results: Path, jobs: Jobs, forecast: Forecast) -> None:
        """Take the scale's plan, the results folder, Snakemake's jobs and the forecast of the time that they take."""
        self._plan, self._results, self._jobs, self._forecast = plan, results, jobs, forecast

    def line(self, now: float) -> str:
        """Say in one line how far it is, how long it still takes, and what runs."""
        if not self._jobs.planned:
            return "Snakemake works out what is to be done"
        running = sorted(self._jobs.running, key=lambda job: (job.rule not in STAGES, job.began))
        doing = list(dict.fromkeys(map(self.describe, running)))
        doing = doing if len(doing) <= MOST else [*doing[:MOST], f"and {len(doing) - MOST} more"]
        whole = f"{len(self._jobs.done)} of {sum(self._jobs.planned.values())} jobs"
        failed = sum(job.has_failed for job in self._jobs.begun.values())
        return "".join(
            (
                f"{whole}{f', {failed} failed' if failed else ''}",
                f", {time_text(self._forecast.seconds_left(self._jobs, now))}" if running else "",
                f": {'; '.join(doing)}" if doing else "",
            )
        )

    def describe(self, job: Job) -> str:
        """Say what a job does, of which row or data set, and which epoch it is at."""
        doing = self._doing(job)
        is_training = job.rule in STAGES and STAGES[job.rule].is_training
        seen = progress(running_folder(job, self._results)) if is_training else None
        if not seen:
            return doing
        return f"{doing}, epoch {seen.epoch + 1} of {seen.until}" if seen.epoch < seen.until else f"{doing}, testing"

    def tell_failure(self, job: Job) -> str:
        """Name a job that failed, with the last lines of its own log and the way out."""
        end, clock = ending(job.log), time.strftime("%H:%M:%S", time.localtime(job.ended))
        what = "Interrupted" if end.kind in ("saved", "stopped") else "Failed"
        told = [f"{what} at {clock}: {self._doing(job, most=3)} — {job.rule} {job.name}".rstrip()]
        if end.lines:
            told += [f"  Its own log, {job.log}, ends:", *(f"    {line}" for line in end.lines)]
        elif job.log:
            told.append(f"  Its own log, {job.log}, is empty.")
        return "\n".join([*told, f"  {end.way_out}"])

    def _doing(self, job: Job, most: int = 1) -> str:
        """Say what a job does, and for which rows or data set; of a report's jobs for which part of it."""
        doing = DOING.get(job.rule, job.rule)
        plan, ids = self._plan, re.findall(r"[0-9a-f]{10}", job.name)
        data = plan.datasets | {i: one.dataset for i, one in (plan.stores | plan.boxes).items()}
        for runs in (plan.pretrainings, plan.finetunings, plan.probes):
            if ids and ids[0] in runs:
                return f"{doing} {rows_text(runs[ids[0]].used_by, most)}"
        name = job.name.removeprefix(plan.scale).removeprefix("_")
        if ids:
            name = data[ids[0]].name if ids[0] in data else ""
        return f"{doing} ({name})" if name else doing


def follow(plan: Plan, config_dir: Path, results: Path, reports: Path, log: Path, command: list[str]) -> int:
    """Run a command with its output in a log file; show one line on a terminal, else a new one every half minute.

    Args:
        plan: the scale that the command works on.
        config_dir: the configuration folder.
        results: the results folder.
        reports: ``REPORTS/SCALE``.
        log: the log file.
        command: Snakemake's words.

    Returns:
        The command's exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    counts = f"{len(plan.pretrainings)} pretrainings, {len(plan.finetunings)} finetunings, {len(plan.tables)} tables"
    console.print(f"Scale {plan.scale}: {counts}. Snakemake's own log: {log}")
    if is_left_behind(Path()):
        console.print("A Snakemake that was killed left its lock on this folder: it is removed.")
        subprocess.run([command[0], "--unlock", *command[1:]], capture_output=True, check=False)
    began = time.monotonic()
    forecast, asked_to_stop = of_plan(plan, config_dir, results), []
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        jobs = Jobs(log)  # not before: the log of the call before must not be read
        signal.signal(signal.SIGTERM, lambda *_: (asked_to_stop.append(True), process.terminate()))
        try:
            _show(process, Watch(plan, results, jobs, forecast), jobs, console)
        except KeyboardInterrupt:
            asked_to_stop.append(True)
            console.print("Stopping; this takes a moment.")
            process.wait()
    if process.returncode < 0 or (process.returncode and asked_to_stop):
        console.print("Stopped. What is finished or saved is kept; the same command continues.")
    elif process.returncode:
        console.print(_conclude(jobs, log))
    else:
        minutes = (time.monotonic() - began) / 60
        console.print(
            f"Done in {minutes:.1f} minutes. Report: {reports}/README.md — browse the runs in MLflow: make ui"
        )
    return process.returncode


def _show(process: subprocess.Popen, watch: Watch, jobs: Jobs, console: Console) -> None:
    """Show how far the work is until a process has ended, and every failure once."""
    shown, is_running = "", True
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else nullcontext() as live:
        while is_running:
            is_running = process.poll() is None  # asked before reading: the last failure is always shown
            for job in jobs.read():
                console.print(watch.tell_failure(job))
            if is_running and (line := watch.line(time.time())) != shown:
                shown = line
                _write(line, live, console)
            with suppress(subprocess.TimeoutExpired):
                process.wait(TERMINAL_SECONDS if live else LINE_SECONDS)


def _write(line: str, live: Live | None, console: Console) -> None:
    """Show a line in place of the one before on a terminal, cut to its width; else write it with the time."""
    if live:
        room = console.width - 1
        live.update(Text(line if len(line) <= room else f"{line[: room - 1]}…", no_wrap=True), refresh=True)
    else:
        console.print(f"{time.strftime('%H:%M:%S')}  {line}")


def _conclude(jobs: Jobs, log: Path) -> str:
    """Say at the end what failed; where no job did, what Snakemake itself says."""
    whole = f"Snakemake's whole log: {log}. What is finished is kept."
    if failed := [f"{job.rule} {job.name}".strip() for job in jobs.begun.values() if job.has_failed]:
        left = sum(jobs.planned.values()) - len(jobs.done) - len(failed)
        others = f" Not begun or not ended because of it: {left} jobs." if left else ""
        return f"Failed, as told above: {', '.join(failed)}.{others} {whole}"
    lines = log.read_text(errors="replace").splitlines()
    start = min((i for i, line in enumerate(lines) if "rror" in line), default=max(len(lines) - 15, 0))
    return "\n".join([*lines[start : start + 40], f"No job failed, but Snakemake did: mend what it says. {whole}"])
