"""Growth: plans and dry runs against rows and seeds, reports against finished runs."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.copies import check_out
from benchmarks.harness import ROOT, Finding, Spent, exponent, machine, markdown, save, spend
from mac import plan as planning

ROWS, SEEDS, FINISHED = (20, 200, 2000), (1, 10, 100), (20, 200, 2000)
OF_A_TABLE = 5  # rows
GOAL = 20.0  # seconds for 2,000 rows
VIDEOS, GROUPS, CLASSES = 260, 65, 10
MAC, SNAKEMAKE = [sys.executable, "-m", "mac"], [sys.executable, "-m", "snakemake", "-n", "-q", "all", "--cores", "2"]


def run(_: Path | None) -> None:
    """Measure once each: what takes minutes varies less than what takes one."""
    found = {"rows": [], "seeds": [], "finished runs": []}
    for rows in ROWS:
        found["rows"].append((rows, _plan(rows, 1)))
    for seeds in SEEDS:
        found["seeds"].append((seeds, _plan(OF_A_TABLE * 4, seeds)))
    for runs in FINISHED:
        found["finished runs"].append((runs, _report(runs)))
    lines, exponents = [], {}
    for what, cases in found.items():
        for size, measured in cases:
            lines += [_line(f"{name}, {size:,} {what}", spent) for name, spent in measured.items()]
        for name in cases[0][1]:
            powers = [
                exponent([size for size, _ in cases], [getattr(measured[name], key) for _, measured in cases])
                for key in ("wall", "cpu", "memory")
            ]
            exponents[f"{name}, {what}"] = powers
            lines.append([f"**{name}, exponent in {what}**", *(f"{power:.2f}" for power in powers)])
    facts = {
        "machine": machine("snakemake", "pandas", "pydantic"),
        "spent": {
            what: {size: {name: vars(spent) for name, spent in measured.items()} for size, measured in cases}
            for what, cases in found.items()
        },
        "exponents": exponents,
    }
    note = (
        f"Each row overrides one value and has a pretraining and a finetuning of its own a seed; {OF_A_TABLE} rows a"
        f" table. Seeds: {OF_A_TABLE * 4} rows. Finished runs: one a row, of {VIDEOS} test videos. Goal for 2,000 rows:"
        f" {GOAL:g} s each for plan and dry run. Peak memory is at least this benchmark's own (about 120 MB)."
        " Exponents are fitted over all three sizes, of which the first is mostly start-up."
    )
    head = ["", "wall, s", "CPU, s", "peak memory, MB"]
    largest = found["rows"][-1][1].items()
    findings = [Finding(f"{command} of 2,000 rows, CPU s", spent.cpu, GOAL, False) for command, spent in largest]
    findings += [Finding(f"exponent of seconds: {what}", wall, 1.0, False) for what, (wall, *_) in exponents.items()]
    save("planning", "Growth: plans, dry runs and reports", facts, [markdown(head, lines), note], findings)


def _line(name: str, spent: Spent) -> list[str]:
    return [name, f"{spent.wall:.1f}", f"{spent.cpu:.1f}", f"{spent.memory:.0f}"]


def _draw(folder: Path, rows: int, seeds: int) -> Path:
    """A copy of the workflow whose tables have so many rows."""
    check_out(ROOT, folder)
    tables = {}
    for first in range(0, rows, OF_A_TABLE):
        drawn = [_row(number) for number in range(first, min(first + OF_A_TABLE, rows))]
        tables[f"X{first // OF_A_TABLE}"] = {"title": "Drawn.", "columns": [{"label": "UCF101"}], "rows": drawn}
    (folder / "config" / "tables.yaml").write_text(yaml.safe_dump(tables, sort_keys=False))
    (folder / "config" / "scales" / "paper.yaml").write_text(yaml.safe_dump({"seeds": list(range(1, seeds + 1))}))
    return folder


def _row(number: int) -> dict:
    rate = round(0.02 + 1e-5 * number, 6)
    return {"label": f"rate {rate:g}", "printed": [80.0], "set": {"pretrain.optimiser.lr": rate}}


def _plan(rows: int, seeds: int) -> dict[str, Spent]:
    with tempfile.TemporaryDirectory() as name:
        folder = _draw(Path(name), rows, seeds)
        return {
            "`mac plan`": spend([*MAC, "plan", "--scale", "paper"], folder),
            "`snakemake -n`": spend([*SNAKEMAKE, "--config", "scale=paper"], folder),
        }


def _report(runs: int) -> dict[str, Spent]:
    with tempfile.TemporaryDirectory() as name:
        folder = _draw(Path(name), runs, 1)
        _finish(folder)
        scale = ["--scale", "paper", "--results", "results", "--out", "out"]
        return {
            "`mac report`": spend([*MAC, "report", *scale], folder),
            "`mac report --table`, one": spend([*MAC, "report", *scale, "--table", "X0"], folder),
        }


def _finish(folder: Path) -> None:
    """Write made-up results of every finetuning."""
    plan = planning.load(folder / "config", "paper")
    label = np.arange(VIDEOS) % CLASSES
    paths, groups = [f"v{number:04d}" for number in range(VIDEOS)], np.arange(VIDEOS) % GROUPS
    for number, (run_id, planned) in enumerate(plan.finetunings.items()):
        right = np.random.default_rng(number).random(VIDEOS) < 0.7
        predicted = np.where(right, label, (label + 1) % CLASSES)
        own = folder / "results" / "finetune" / run_id
        own.mkdir(parents=True)
        table = pd.DataFrame({"path": paths, "group": groups.astype(str), "label": label, "predicted": predicted})
        table.to_parquet(own / "predictions.parquet", index=False)
        facts = {"finetune_id": run_id, "top1": 100 * float(right.mean()), "videos": VIDEOS, "index_digest": "made-up"}
        facts |= {
            "seed": planned.config.seed,
            "split": planned.config.split,
            "device": "none",
            "commit": "",
            "torch": "",
        }
        (own / "metrics.json").write_text(json.dumps(facts))
