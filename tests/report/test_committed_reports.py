"""A committed report is what its kept results give, by the workflow's own rules, without data or checkpoints."""

import shutil
from pathlib import Path

import pytest
from checkouts import Checkout

from mac import plan
from mac.kept import PROVENANCE, products

pytestmark = pytest.mark.full
MADE = ("README.md", "claims.md", "index.html", "tables", "figures")
REPORTS = Path(__file__).resolve().parents[2] / "reports"
COMMITTED = sorted(path.parent.parent.name for path in REPORTS.glob(f"*/kept/{PROVENANCE}"))


def contents(folder, planned):
    """What is made of results alone, by name."""
    standing = {name for product in products(planned).values() for name in product.files}
    files = (path for name in MADE for path in [folder / name, *folder.glob(f"{name}/*")] if path.is_file())
    return {name: path.read_bytes() for path in files if (name := str(path.relative_to(folder))) not in standing}


def test_there_is_one():
    assert COMMITTED


@pytest.fixture(scope="module", params=COMMITTED)
def made_again(request, root, tmp_path_factory):
    """The committed report and the same made again, in a folder without data, by name."""
    scale, folder = request.param, tmp_path_factory.mktemp("again")
    checkout, planned = Checkout(root, folder, scale), plan.load(root / "config", scale)
    shutil.copytree(REPORTS / scale, folder / "reports" / scale)
    before = contents(folder / "reports" / scale, planned)
    for name in before:
        (folder / "reports" / scale / name).unlink()
    targets = [f"reports/{scale}/{name}" for name in before]
    assert not {"pretrain", "finetune", "probe", "gradcam", "fetch", "extract"} & checkout.jobs(*targets).keys()
    checkout.snakemake(*targets)
    return before, contents(folder / "reports" / scale, planned)


def test_its_numbers_are_those_of_the_kept_results(made_again):
    before, after = made_again
    numbers = [name for name in before if name.endswith((".md", ".csv", ".tex"))]
    assert len(numbers) > 10
    for name in numbers:
        assert before[name] == after[name], name


def test_all_else_is_the_same_to_the_byte(made_again):
    before, after = made_again
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name] != after[name]]
