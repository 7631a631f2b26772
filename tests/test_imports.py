"""Who may import whom, read off the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mac"

# A part of the package, what it must not import (own modules by their full name), and why.
RULES = [
    (
        (
            "config",
            "validation.py",
            "experiment.py",
            "tables.py",
            "overrides.py",
            "plan.py",
            "planned.py",
            "kept.py",
            "leftovers.py",
            "report",
            "runtime",
        ),
        ("torch", "torchvision"),
        "fast to plan",
    ),
    (
        ("stages", "data", "masks", "augment", "models", "methods", "training"),
        ("mlflow", "snakemake"),
        "run on a bare GPU machine",
    ),
    (
        ("data", "masks", "augment", "models", "methods", "training"),
        ("mac.config", "mac.experiment", "mac.plan"),
        "plain arguments",
    ),
    (
        ("data", "masks", "augment", "models", "methods", "training", "tracking", "report"),
        ("mac.stages", "mac.cli"),
        "leaves",
    ),
    (("stages",), ("mac.plan", "mac.experiment", "mac.tables", "mac.cli", "mac.report"), "know one stage config"),
    (("tracking/journal.py",), ("mlflow",), "all a training imports for tracking"),
    ((".",), ("snakemake",), "the package knows nothing of Snakemake"),
]


def sources(part: str) -> list[Path]:
    path = PACKAGE / part
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(("parts", "forbidden", "reason"), RULES, ids=[rule[2] for rule in RULES])
def test_import_rules(parts, forbidden, reason):
    found = [
        f"{path.relative_to(ROOT)} imports {name} ({reason})"
        for part in parts
        for path in sources(part)
        for name in imported(path)
        if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden)
    ]
    assert not found


def test_stages_do_not_import_each_other():
    names = {path.stem for path in sources("stages")} - {"__init__"}
    found = [
        f"{path.stem} imports {name}"
        for path in sources("stages")
        for name in imported(path)
        if name.removeprefix("mac.stages.").split(".")[0] in names and name.startswith("mac.stages.")
    ]
    assert not found


def test_only_the_command_line_reads_arguments():
    readers = {path.relative_to(PACKAGE).as_posix() for path in sources(".") if "sys.argv" in path.read_text()}
    assert readers <= {"cli/__init__.py", "__main__.py"}  # the latter hands them to the warm process


def test_modules_stay_small():
    long = {p.relative_to(ROOT).as_posix(): n for p in sources(".") if (n := len(p.read_text().splitlines())) > 250}
    assert not long


def test_the_rules_can_fail():
    """A rule that no import could break would prove nothing."""
    everything = set().union(*(imported(path) for path in sources(".")))
    assert {"torch", "mac.config", "mac.tracking.journal"} <= everything
    assert any(name.startswith("mlflow") for name in everything)
