"""A copy of the workflow that tests edit and run dry."""

import os
import re
import subprocess
from pathlib import Path

import yaml

from benchmarks.copies import check_out, stand_in
from mac import plan
from mac.validation import read_yaml


class Checkout:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, root: Path, folder: Path, scale: str) -> None:
        self.folder, self.scale = folder, scale
        check_out(root, folder)

    def snakemake(self, *arguments: str, check: bool = True, path: str = "", **settings: int) -> str:
        settings = {"scale": self.scale, "videos_per_job": 300_000} | settings
        command = ["snakemake", *arguments, "--cores", "4", "--config"]
        command += [f"{name}={value}" for name, value in settings.items()]
        environment = os.environ | {"PATH": f"{path}{os.environ['PATH']}"}
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, env=environment)
        text = run.stdout + run.stderr
        assert not check or run.returncode == 0, text
        return text

    def jobs(self, *targets: str, **settings: int) -> dict[str, int]:
        """Jobs by rule that a dry run would start."""
        text = self.snakemake(*targets, "-n", "-q", "rules", **settings)
        table = text.split("Job stats:")[-1] if "Job stats:" in text else ""
        return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule not in ("total", "all")}

    def finish(self) -> None:
        """Run everything with empty files for results."""
        tables = plan.load(self.folder / "config", self.scale).tables
        self.snakemake("-q", "all", path=f"{stand_in(self.folder, tables)}:")

    def edit(self, name: str, change) -> None:
        path = self.folder / "config" / name
        tree = read_yaml(path)
        change(tree)
        path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
