"""What docs/your-own.md says, done in a copy of this repository: a new method becomes a trained row of X3, and a new
backbone a row of the plan."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.full
EDITED = ("mac/methods/__init__.py", "mac/methods/__init__.py", "config/default.yaml", "config/scales/smoke.yaml")
PARTS = ("mac", "config", "workflow", "docs")


def blocks(root, kind):
    """The page's blocks of code of a kind, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", (root / "docs" / "your-own.md").read_text(encoding="utf-8"), re.DOTALL)


def patched(text, diff):
    """Put a diff's new lines beside the line that stands with them; alone, at the end."""
    lines = diff.splitlines()
    added = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
    beside = [f"{line[1:]}\n" for line in lines if not line.startswith("+")]
    if not beside:
        return text + added
    assert text.count(beside[0]) == 1, beside[0]
    comes_first = lines[0].startswith("+")
    return text.replace(beside[0], added + beside[0] if comes_first else beside[0] + added)


@pytest.fixture(scope="module")
def grown(root, tmp_path_factory):
    """A copy of the repository, changed as the page says."""
    folder = tmp_path_factory.mktemp("own")
    for part in PARTS:
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml", "pyproject.toml"):
        shutil.copy(root / name, folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    (module,), diffs = blocks(root, "python"), blocks(root, "diff")
    (folder / "mac" / "methods" / "arrow.py").write_text(module, encoding="utf-8")
    for name, diff in zip(EDITED, diffs, strict=True):
        path = folder / name
        path.write_text(patched(path.read_text(encoding="utf-8"), diff), encoding="utf-8")
    (network,), (line,) = blocks(root, "py"), blocks(root, "text")
    backbones = folder / "mac" / "models" / "backbones"
    (backbones / "tiny.py").write_text(network, encoding="utf-8")
    table = (backbones / "__init__.py").read_text(encoding="utf-8")
    last = '    "s3d": Backbone("s3d", is_published=True),\n'
    assert table.count(last) == 1
    (backbones / "__init__.py").write_text(table.replace(last, last + line), encoding="utf-8")
    return folder


def run_code(folder, code):
    environment = os.environ | {"PYTHONPATH": str(folder)}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def run(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_method_of_ones_own_is_a_trained_row_of_x3(grown):
    listed = run(grown, "mac", "plan", "--scale", "smoke")
    mine = [line.split() for line in listed.splitlines() if line.endswith("X3: Arrow of time")]
    (pretraining,), (finetuning, *_) = ([words[0] for words in mine if sign in words] for sign in ("epochs", "from"))
    target = f"results/finetune/{finetuning}/metrics.json"
    run(grown, "snakemake", "--cores", "2", "--config", "scale=smoke", "--", target)
    (metrics,) = (grown / "results" / "pretrain").glob("*/epoch_*.json")  # no other was trained
    assert metrics.parent.name == pretraining
    found = json.loads(metrics.read_text(encoding="utf-8"))
    assert found["pretext_chance"] == 50.0
    assert 0 <= found["pretext_top1_held_out"] <= 100
    run(grown, "mac", "report", "--scale", "smoke", "--results", "results", "--out", "reports/smoke", "--table", "X3")
    table = (grown / "reports" / "smoke" / "tables" / "X3.md").read_text(encoding="utf-8")
    assert re.search(r"\| Arrow of time \| \*\*\d", table)


def test_a_backbone_of_ones_own_is_planned_and_maps_clips_to_features(grown):
    listed = run(grown, "mac", "plan", "--scale", "smoke", "--set", "model.backbone=tiny")
    assert re.search(r"^  \w{10}  tiny/\d+ .* S1: model.backbone = tiny$", listed, re.M)
    built = (
        "import torch; from mac.models.backbones import build; net = build('tiny', 8); clip = torch.rand(2, 3, 8, 9, 9)"
    )
    shapes = run_code(grown, f"{built}; print(*net(clip).shape, net.num_features, *net.activations(clip).shape)")
    assert shapes.split() == ["2", "32", "32", "2", "32", "1", "2", "2"]
