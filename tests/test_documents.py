"""README, environment and pins agree with the tree."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from test_cli import parse

import mac
from benchmarks.pictures import method
from mac import pictures, plan
from mac.models.backbones import BACKBONES, loading_lines

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONDA_NAMES = {"torch": "pytorch"}


def test_the_conda_environment_has_the_packages_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(requirement.split("==") for requirement in project["dependencies"])
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = dict(entry.split("=") for entry in conda)
    python = found.pop("python")
    assert project["requires-python"] == f">={python}"
    assert found == {CONDA_NAMES.get(name, name): version for name, version in pins.items()}


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mac.__version__
    assert citation["references"][0]["title"] == re.search(r"\*(MAC: [^*]+)\*", " ".join(README.split())).group(1)


def test_the_newcomers_commands_are_two_and_real():
    blocks = re.findall(r"^```\n(make \w+)\n```$", README, re.M)
    assert blocks == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`(python -m mac [^`]*)`", README)) - {"python -m mac STAGE"})
)
def test_package_commands_parse(command):
    parse(shlex.split(command)[3:])


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(snakemake [^`]*)`", README))))
def test_workflow_commands_run_dry(command):
    words = shlex.split(command)
    where = words.index("--") if "--" in words else len(words)
    dry = [*words[:where], "-n", "-q", "all", *words[where:]]
    assert subprocess.run(dry, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_the_tree_is_the_one_that_is_described():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.split("## The tree")[1].split("```")[1]
    named = set()
    for line in tree.strip().splitlines():
        head = re.match(r"(  )?((?:[\w./]+ )+) *", line)
        for name in head.group(2).split() if head else []:
            path = ("mac/" if head.group(1) else "") + name
            if (name.endswith("/") or "." in name) and (name[-1] == "/" or name.endswith(".py")):
                named.add(path)
                assert (ROOT / path).exists(), path
    there = {
        f"mac/{path.name}/" if path.is_dir() else f"mac/{path.name}"
        for path in (ROOT / "mac").iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }
    assert there == {path for path in named if path.startswith("mac/") and path != "mac/"}


def test_counts_in_the_readme_are_the_plans():
    planned = plan.load(ROOT / "config", "paper")
    jobs = sum(len(p.epochs) for p in planned.pretrainings.values())
    flat = " ".join(README.split())
    assert f"{len(planned.pretrainings)} pretrainings in {jobs} jobs and {len(planned.finetunings)} finetunings" in flat


def test_links_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_picture_of_the_method_is_what_the_package_draws(tmp_path):
    pictures.save(method(), [tmp_path / "method.png"])
    committed = ROOT / "docs" / "method.png"
    found, shown = (np.asarray(Image.open(path).convert("RGB"), float) for path in (tmp_path / "method.png", committed))
    assert found.shape == shown.shape
    assert abs(found - shown).mean() < 2  # gray levels; texts may differ by their renderer
    assert committed.stat().st_size < 300_000


@pytest.mark.parametrize(
    "path", [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_a_document_begins_with_what_it_is_for(path):
    title, _, purpose = path.read_text(encoding="utf-8").splitlines()[:3]
    assert title.startswith("# ")
    assert purpose.startswith("For whoever ")


def test_the_row_that_the_readme_adds_is_trained_and_nothing_else(folder):
    (row,) = re.findall(r"```yaml\n( +- \{label: λ = 20.*)\n```", README)
    tables = folder / "tables.yaml"
    beside = "    - {label: λ = 30, "
    assert tables.read_text(encoding="utf-8").count(beside) == 1
    before = plan.load(folder, "demo")
    tables.write_text(tables.read_text(encoding="utf-8").replace(beside, f"{row}\n{beside}"), encoding="utf-8")
    after = plan.load(folder, "demo")
    added = [after.pretrainings[i].used_by for i in after.pretrainings.keys() - before.pretrainings.keys()]
    assert added == [["T8: λ = 20"]]
    assert len(after.finetunings) == len(before.finetunings) + 1


def test_the_lines_that_load_a_model_are_the_model_cards():
    page = re.sub(r"\n\n+", "\n", (ROOT / "docs" / "export.md").read_text(encoding="utf-8"))
    fragments = re.findall(r"^```python\n(.*?)```$", page, re.M | re.S)
    networks = [
        (name, width, channels) for name in BACKBONES for width in (8, 64) for channels in ("paper", "torchvision")
    ]
    cards = [
        "\n".join(filter(None, loading_lines((*n, 1e-5), "weights.safetensors", c)))
        for n in networks
        for c in (None, 101)
    ]
    assert len(fragments) == 5
    assert not [fragment for fragment in fragments if not any(fragment in f"{card}\n" for card in cards)]


def test_help_is_quick_to_print_and_names_every_stage():
    run = subprocess.run([sys.executable, "-m", "mac", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for stage in ("plan", "generate", "index", "store", "masks", "pretrain", "finetune", "track", "report", "ui"):
        assert re.search(rf"^  {stage} ", run.stdout, re.M)
    code = "import sys, mac.cli; sys.exit(any(m in sys.modules for m in ('torch', 'mlflow', 'pandas', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
