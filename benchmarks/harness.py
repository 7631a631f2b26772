"""What every benchmark shares: competitors taking turns, medians, the machine's description, tables of ratios."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Spent:
    """What a command took: wall and CPU seconds, the processes it waited for included, and their peak memory [MB]."""

    wall: float
    cpu: float
    memory: float


def spend(command: list[str], folder: Path, path: str = "") -> Spent:
    """Run a command in a folder, with another folder first in PATH where one is named.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": search}
    log, began = folder / "benchmark.log", time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {log.read_text()[-2000:]}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def median(found: list[Spent]) -> Spent:
    """Take the medians of several turns."""
    return Spent(*(statistics.median(getattr(turn, key) for turn in found) for key in ("wall", "cpu", "memory")))


def exponent(sizes: list[float], values: list[float]) -> float:
    """Fit the power with which values grow with sizes."""
    return round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2)


def alternate(methods: dict[str, Callable[[int], object]], repeats: int) -> dict[str, list[float]]:
    """Run the methods in turn, ``repeats`` times each after one unmeasured turn; returns seconds by method.

    Taking turns lets a machine's changing speed fall on all of them alike. A method gets the number of its turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(repeats + 1):
        for name, run in methods.items():
            began = time.perf_counter()
            run(turn)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def rates(seconds: dict[str, list[float]], units: int) -> dict[str, float]:
    """Units per second of each method, by the median of its turns."""
    return {name: units / statistics.median(values) for name, values in seconds.items()}


def machine(*packages: str) -> dict[str, str]:
    """Describe where a measurement was made: processor, cores, Python, packages, date."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"date": str(date.today()), "processor": model, "cores": str(os.cpu_count()), **versions}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


class Finding(NamedTuple):
    """One number for the overview, and the least (``at_least``) or most it was to be; None without a goal."""

    what: str
    value: float
    goal: float | None = None
    at_least: bool = True


def save(name: str, title: str, facts: dict, tables: list[str], findings: Iterable[Finding]) -> None:
    """Write a benchmark's JSON and its Markdown, and join all Markdown into the folder's README, an overview first."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps(facts | {"findings": list(findings)}, indent=1, ensure_ascii=False) + "\n"
    )
    where = ", ".join(f"{key} {value}" for key, value in facts["machine"].items())
    text = "\n\n".join([f"## {title}", *tables, f"Measured: {where}."])
    (RESULTS / f"{name}.md").write_text(text + "\n")
    write_readme()
    print(text)


def write_readme() -> None:
    """Join what all benchmarks found: their numbers against their goals, then their tables."""
    readme, rows, machines = RESULTS.parent / "README.md", [], set()
    for path in sorted(RESULTS.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        known = facts["machine"]
        machines.add(f"{known['processor']}, {known['cores']} cores")
        for what, value, goal, at_least in facts.get("findings", ()):
            reached = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
            verdict = ["", ""]
            if goal is not None:
                is_met = value >= goal if at_least else value <= goal
                verdict = [f"{'≥' if at_least else '≤'} {goal:g}", "met" if is_met else "missed"]
            rows.append([what, reached, *verdict, known["date"]])
    overview = markdown(["", "reached", "goal", "", "date"], rows)
    note = f"Machines: {'; '.join(sorted(machines))}. What stands behind each line is below."
    intro = readme.read_text(encoding="utf-8").split("\n## ")[0].rstrip()
    parts = [path.read_text(encoding="utf-8").rstrip() for path in sorted(RESULTS.glob("*.md"))]
    readme.write_text("\n\n".join([intro, "## Overview", overview, note, *parts]) + "\n", encoding="utf-8")
