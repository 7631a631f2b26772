"""A copy of the workflow that tests edit and run dry."""

import copy
import io
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

import yaml
from snakemake.cli import main

from benchmarks.copies import check_out, stand_in
from mac import plan
from mac.validation import read_yaml

FORK = multiprocessing.get_context("fork")  # Snakemake's import takes longer than most dry runs


def _call(words, folder, path, told) -> None:
    os.dup2(told, 1)
    os.dup2(told, 2)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
    os.chdir(folder)
    os.environ["PATH"] = f"{path}{os.environ['PATH']}"
    main(list(words))


def call_snakemake(folder: Path, *words: str, path: str = "") -> tuple[int, str]:
    """Status and output of Snakemake in a folder, in a fork of this process, with ``path`` put before PATH."""
    with tempfile.TemporaryFile("w+") as told:
        process = FORK.Process(target=_call, args=(words, folder, path, told.fileno()))
        process.start()
        process.join()
        told.seek(0)
        return process.exitcode, told.read()


class Checkout:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, root: Path, folder: Path, scale: str) -> None:
        self.folder, self.scale = folder, scale
        check_out(root, folder)

    def snakemake(self, *arguments: str, check: bool = True, path: str = "", **settings: int) -> str:
        settings = {"scale": self.scale, "videos_per_job": 300_000} | settings
        words = [*arguments, "--cores", "4", "--config", *(f"{name}={value}" for name, value in settings.items())]
        status, text = call_snakemake(self.folder, *words, path=path)
        assert not check or status == 0, text
        return text

    def jobs(self, *targets: str, **settings: int) -> dict[str, int]:
        """Jobs by rule that a dry run would start."""
        text = self.snakemake(*targets, "-n", "-q", "rules", **settings)
        table = text.split("Job stats:")[-1] if "Job stats:" in text else ""
        return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule not in ("total", "all")}

    def finish(self) -> Self:
        """Run everything with empty files for results."""
        tables = plan.load(self.folder / "config", self.scale).tables
        self.snakemake("-q", "all", path=f"{stand_in(self.folder, tables)}:")
        return self

    def copy(self, folder: Path) -> Self:
        """The same, with all results, in another folder."""
        other = copy.copy(self)
        other.folder = shutil.copytree(self.folder, folder, dirs_exist_ok=True, symlinks=True)
        return other

    def edit(self, name: str, change) -> None:
        path = self.folder / "config" / name
        tree = read_yaml(path)
        change(tree)
        path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
