"""The smoke scale in a checkout, a home, and folders for data and results whose names no command line likes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from benchmarks.copies import check_out
from mac import plan
from mac.validation import read_yaml

AWKWARD = """it's "so" #1 $HOME ~ & ; * [é] 100%"""
LONG = "long " + "x" * 190 + " "  # beginning and ending with blanks is legal too


@pytest.mark.full
def test_the_smoke_scale_runs_wherever_it_lies(root, tmp_path):
    place = tmp_path / AWKWARD / LONG
    home = place / "home"
    home.mkdir(parents=True)
    check_out(root, place)
    (tmp_path / "link").symlink_to(place)
    written = {"data_root": f"~/my data; #2 {AWKWARD}/", "results": "./my results 'a' \"b\" #3//", "reports": "r $x"}
    settings = read_yaml(root / "config" / "config.yaml") | written
    (place / "config" / "config.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    before = {path for folder in (tmp_path, place.parent, place, home) for path in folder.iterdir()}

    words = ["--cores", str(os.cpu_count()), "--resources", "gpu=4", "--config", "scale=smoke"]
    run = subprocess.run(
        ["snakemake", *words],
        cwd=tmp_path / "link",
        env=os.environ | {"HOME": str(home), "PWD": str(tmp_path / "link")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    count = len(plan.load(root / "config", "smoke").finetunings)
    assert f"{count} of {count} finetunings done" in (place / "r $x" / "smoke" / "README.md").read_text()
    made = {path for folder in (tmp_path, place.parent, place, home) for path in folder.iterdir()} - before
    expected = {place / name for name in (".snakemake", "my results 'a' \"b\" #3", "r $x")}
    assert {path for path in made if path.name not in (".cache", ".config", ".mlflow")} == expected | {
        home / Path(f"my data; #2 {AWKWARD}")
    }
    shutil.rmtree(tmp_path / AWKWARD, ignore_errors=True)  # what sends runs to MLflow may still write its log
