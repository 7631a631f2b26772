"""The Snakemake workflow catalogue's way in starts the Snakefile's jobs, in a clone and as a module elsewhere."""

import re
import shutil

import pytest
import yaml
from checkouts import Checkout, call_snakemake


def jobs(folder, *words):
    status, text = call_snakemake(folder, "-n", "-q", "rules", "--cores", "1", "--config", "scale=smoke", *words)
    assert status == 0, text
    return set(re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[1], re.M))


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    return Checkout(root, tmp_path_factory.mktemp("clone"), "smoke")


@pytest.fixture(scope="module")
def plain(clone):
    return {(rule, count) for rule, count in jobs(clone.folder) if rule not in ("all", "total")}


def test_the_catalogues_snakefile_starts_the_same_jobs(clone, plain):
    found = jobs(clone.folder, "--snakefile", "workflow/Snakefile")
    assert {(rule, count) for rule, count in found if rule not in ("everything", "total")} == plain


def test_a_workflow_that_uses_this_one_as_a_module_starts_the_same_jobs(root, clone, plain, tmp_path):
    shutil.copytree(root / "config", tmp_path / "config")
    written = re.search(r"^```\n(.*?)^```$", (root / "config" / "README.md").read_text(), re.M | re.S).group(1)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(written.replace("/path/to/clone", str(clone.folder)))
    assert {(rule, count) for rule, count in jobs(tmp_path) if rule not in ("everything", "total")} == plain


def test_the_catalogue_is_told_how_the_workflow_is_used(root):
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"]["flags"].startswith("--")
    assert any(usage["software-stack-deployment"].values())
