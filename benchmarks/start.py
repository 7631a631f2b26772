"""Start: what it costs to plan, to start a command, and to run again when nothing is left to do."""

import sys
import tempfile
from pathlib import Path

from benchmarks.copies import check_out, stand_in
from benchmarks.harness import ROOT, Finding, Spent, machine, markdown, median, save, spend
from mac import plan

REPEATS = 3
GOALS = {"dry": 5.0, "again": 5.0, "help": 0.3, "start": 4.0}  # seconds; of a command's start, CPU seconds
CONFIG = ["--cores", "2", "--config", "scale=paper"]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
# A command and the modules that its function imports.
COMMANDS = {
    "plan": ["mac.costs.text"],
    "resolve": ["mac.plan"],
    "report": ["mac.report.pages"],
    "page": ["mac.report.pages"],
    "list": ["mac.data.index"],
    "track run": ["mac.report.pages", "mac.tracking.follow"],
    "masks check": ["mac.plan", "mac.stages.mask_check"],
    "pretrain": ["mac.stages.pretrain"],
    "finetune": ["mac.stages.finetune"],
    "gradcam": ["mac.stages.gradcam"],
}


def run(_: Path | None) -> None:
    """Measure all of it in a copy of the workflow; the machine's other work counts, so say what ran beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = check_out(ROOT, Path(name))
        dry = _repeat([*SNAKEMAKE, "-n", "-q", "all", *CONFIG], folder)
        first = _finish(folder)
        again = _repeat([*SNAKEMAKE, "-q", "all", *CONFIG], folder)
        help_text = _repeat([sys.executable, "-m", "mac", "--help"], folder)
        starts = {command: _repeat(_until_imported(modules), folder) for command, modules in COMMANDS.items()}
        jobs = sum(1 for line in (folder / "benchmark_first.log").read_text().splitlines() if "Finished jobid" in line)
    empty = Spent((first.wall - again.wall) / jobs, (first.cpu - again.cpu) / jobs, first.memory)
    goal = f"{GOALS['start']:g} (CPU)"
    rows = [
        _row("`snakemake -n`, scale `paper`", dry, f"{GOALS['dry']:g}"),
        _row("the same when nothing is left to do, no dry run", again, f"{GOALS['again']:g}"),
        _row("`python -m mac --help`", help_text, f"{GOALS['help']:g}"),
        _row(f"a job that does nothing, one of {jobs}", empty, goal),
        *(_row(f"`mac {command}` until its function is entered", spent, goal) for command, spent in starts.items()),
    ]
    measured = {"dry": dry, "again": again, "help": help_text, "job": empty, **starts}
    facts = {
        "machine": machine("snakemake", "torch", "mlflow", "pandas"),
        "repeats": REPEATS,
        "goals": GOALS,
        "spent": {name: vars(spent) for name, spent in measured.items()},
    }
    note = f"Medians of {REPEATS} turns. What a command imports only where it needs it is part of its work."
    wall = {"dry": "dry run of `paper`", "again": "run with nothing left to do", "help": "`mac --help`"}
    findings = [Finding(f"{what}, s", measured[key].wall, GOALS[key], False) for key, what in wall.items()]
    for key in ("job", "track run", "pretrain", "finetune"):
        what = "a job that does nothing" if key == "job" else f"start of `mac {key}`"
        findings.append(Finding(f"{what}, CPU s", measured[key].cpu, GOALS["start"], False))
    save("start", "Start: planning, starting, running again", facts, [markdown(HEAD, rows), note], findings)


HEAD = ["", "wall, s", "CPU, s", "peak memory, MB", "goal, s"]


def _row(name: str, spent: Spent, goal: str) -> list[str]:
    return [name, f"{spent.wall:.2f}", f"{spent.cpu:.2f}", f"{spent.memory:.0f}", goal]


def _repeat(command: list[str], folder: Path) -> Spent:
    return median([spend(command, folder) for _ in range(REPEATS)])


def _finish(folder: Path) -> Spent:
    """Run the scale with empty files for results."""
    first = stand_in(folder, plan.load(folder / "config", "paper").tables)
    spent = spend([*SNAKEMAKE, *CONFIG], folder, str(first))
    (folder / "benchmark.log").rename(folder / "benchmark_first.log")
    return spent


def _until_imported(modules: list[str]) -> list[str]:
    return [sys.executable, "-c", f"import mac.cli, {', '.join(modules)}"]
