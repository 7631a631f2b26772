"""Rows without Snakemake, MLflow or a network: the same ids, places and files as the workflow's."""

import json
import os
import subprocess
import sys

import pytest
from checkouts import Checkout

from mac import plan
from mac.cli import main

ROWS = ["T2: MAC-S-2", "X3: random init"]
FORBIDDEN = ("mlflow", "snakemake")


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """A checkout in which two rows have run where what is forbidden can't be imported."""
    checkout = Checkout(root, tmp_path_factory.mktemp("row"), "smoke")
    for name in FORBIDDEN:
        (checkout.folder / "bare" / name).mkdir(parents=True)
        (checkout.folder / "bare" / name / "__init__.py").write_text(f"raise ImportError('{name} was imported')\n")
    return checkout, row(root, checkout.folder, *ROWS)


def row(root, folder, *rows, more=()):
    words = ["rows", "--scale", "smoke", "--data-root", "data", "--results", "results", "--out", "reports/smoke"]
    environment = os.environ | {"PYTHONPATH": f"{folder / 'bare'}:{root}"}
    command = [sys.executable, "-m", "mac", *words, *(["--rows", *rows] if rows else []), "--device", "cpu", *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_it_runs_where_neither_snakemake_nor_mlflow_is(run):
    assert run[1].returncode == 0, run[1].stdout + run[1].stderr


def test_the_workflow_finds_its_results(run, root):
    checkout, _ = run
    planned = plan.load(root / "config", "smoke")
    for name in ROWS:
        table, label = name.split(": ")
        for cell in next(r for r in planned.tables[table].rows if r.label == label).cells:
            wanted = [f"results/{cell.stage}/{i}/metrics.json" for i in cell.runs]
            if cell.stage == "finetune":
                wanted += [f"results/probe/{planned.finetunings[i].probe}/metrics.json" for i in cell.runs]
            assert not {"pretrain", "finetune", "probe", "extract", "mask_check"} & checkout.jobs(*wanted).keys()


def test_its_small_files_are_kept(run):
    kept = run[0].folder / "reports" / "smoke" / "kept"
    listed = json.loads((kept / "provenance.json").read_text())
    stages = [name.split("/")[0] for name in listed["runs"]]
    assert {stage: stages.count(stage) for stage in stages} == {"finetune": 3, "probe": 2, "pretrain": 1}
    assert listed["report"] == {}
    assert all(len(listed["made_on"][fact]) == 1 for fact in ("device", "commit", "torch", "lock"))


def test_a_second_call_does_nothing_again(run, root):
    folder = run[0].folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*") if path.is_file()}
    again = row(root, folder, *ROWS)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*") if path.is_file()} == before


# What T2's first row overrides: it has run.
SETS = ["pretrain.contrast=null", "pretrain.pretext.weight=1", "pretrain.colour.jitter_probability=0"]
SETS = ["--set", *SETS, "pretrain.colour.gray_probability=0"]


def test_a_row_from_the_command_line_is_the_run_of_an_equal_row_and_has_a_table(run, root, monkeypatch, capsys):
    folder = run[0].folder
    before = {path for path in (folder / "results").rglob("*") if path.is_file()}
    found = row(root, folder, more=SETS)
    assert found.returncode == 0, found.stderr
    assert {path for path in (folder / "results").rglob("*") if path.is_file()} == before
    monkeypatch.chdir(folder)
    main(["report", "--scale", "smoke", *SETS, "--results", "results", "--out", "again", "--table", "S1"])
    (planned,) = plan.load(root / "config", "smoke").tables["T2"].rows[0].cells[0].runs
    text = (folder / "again" / "tables" / "S1.md").read_text()
    assert text.startswith("# Table S1. Set on the command line\n")
    assert f"`{planned}`" in text
    assert "pending" not in text


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (["T2: MAC-S-3"], [], "no row 'T2: MAC-S-3' that trains — did you mean 'T2: MAC-S-2'?"),
        ([], ["--set", "pretrain.mask.treshold=20"], "pretrain.mask.treshold: unknown key"),
        (ROWS, ["--seeds", "7"], "--seeds: these rows have none of [7], but [1]"),
    ],
)
def test_what_can_not_run_is_refused_before_anything_runs(run, root, rows, more, message):
    found = row(root, run[0].folder, *rows, more=more)
    assert found.returncode == 1
    assert message in found.stderr
