"""Plans that reports are made of, and results folders."""

import shutil

import pytest
import yaml

from mac import plan
from mac.experiment import merge
from mac.validation import read_yaml


@pytest.fixture(scope="module")
def demo(request):
    return plan.load(request.config.rootpath / "config", "demo")


@pytest.fixture(scope="module")
def paper(request):
    return plan.load(request.config.rootpath / "config", "paper")


@pytest.fixture(scope="module")
def smoke(request):
    return plan.load(request.config.rootpath / "config", "smoke")


@pytest.fixture
def changed(root, tmp_path):
    """Plans a scale with some of its settings, or of the tables, changed."""

    def change(scale="paper", tables=None, **override):
        shutil.copytree(root / "config", tmp_path / "config", dirs_exist_ok=True)
        for name, part in ((f"scales/{scale}.yaml", override), ("tables.yaml", tables or {})):
            tree = merge(read_yaml(root / "config" / name), part)
            (tmp_path / "config" / name).write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
        return plan.load(tmp_path / "config", scale)

    return change


@pytest.fixture(scope="session")
def write_results():
    """Writes made-up results into a folder, as runs leave them."""

    def write(found, folder):
        for key, value in found.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(value)
        return folder

    return write
