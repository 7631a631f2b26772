"""A copy of the workflow in a folder of its own."""

import shutil
from pathlib import Path


def check_out(source: Path, folder: Path, *names: str) -> None:
    """Copy the workflow (and what else is named) into a folder."""
    for name in ("config", "workflow", *names):
        shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
    (folder / "docs").mkdir()
    for name in ("Snakefile", "environment.yml", "docs/discrepancies.md"):
        shutil.copy(source / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
