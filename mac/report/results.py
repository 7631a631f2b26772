"""Results of finished runs, wherever they come from: a results folder or an MLflow store."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mac.plan import Cell, Plan
from mac.report.statistics import wilson

Read = Callable[[str], dict[str, Any] | None]


class MixedDataError(Exception):
    """Numbers of one report were measured on different contents of the same data set; the message names both."""


@dataclass(frozen=True)
class Score:
    """A cell's number [percent]: the mean over its finished runs, and the 95 % interval of one run's test videos.

    ``spread`` is the standard deviation over runs (None for one), ``videos`` the test videos of one run, ``runs`` how
    many are finished of ``planned``.
    """

    top1: float
    low: float
    high: float
    spread: float | None
    videos: int
    runs: int
    planned: int


def from_folder(results: Path) -> Read:
    """Read results of a folder by key, e.g. ``finetune/ID/metrics.json``; None where there is none yet."""

    def read(key: str) -> dict[str, Any] | None:
        path = results / key
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    return read


def from_mapping(content: dict[str, dict[str, Any]]) -> Read:
    """Read results out of a mapping from the same keys, as an MLflow store gives them back."""
    return content.get


class Results:
    """What a plan's runs gave so far."""

    def __init__(self, plan: Plan, read: Read, runs_page: str | None = None) -> None:
        """Read every planned run's final results.

        Args:
            plan: what was to be run.
            read: gives results by key.
            runs_page: address of the runs in MLflow's pages, for links; None leaves links out.

        Raises:
            MixedDataError: runs disagree on the content of a data set.
        """
        self.plan, self.runs_page = plan, runs_page
        self.finetunes = {i: found for i in plan.finetunings if (found := read(f"finetune/{i}/metrics.json"))}
        self.pretrains = {
            (i, epoch): found
            for i, planned in plan.pretrainings.items()
            for epoch in sorted(planned.epochs)
            if (found := read(f"pretrain/{i}/epoch_{epoch}.json"))
        }
        self.problems = {}
        self.digests = self._digests()

    def score(self, cell: Cell) -> Score | None:
        """Average a cell's finished runs; None while there is none (or the cell is only cited)."""
        found = [self.finetunes[i] for i in cell.finetunes if i in self.finetunes]
        if not found:
            return None
        values = [run["top1"] for run in found]
        mean = sum(values) / len(values)
        videos = min(run["videos"] for run in found)
        low, high = wilson(mean / 100 * videos, videos)
        spread = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else None
        return Score(mean, 100 * low, 100 * high, spread, videos, len(found), len(cell.finetunes))

    def address(self, run_id: str) -> str | None:
        """Find a run's page in MLflow, by our id; None where no address of the pages was given."""
        if self.runs_page is None:
            return None
        search = quote(f"tags.`mac.id` = '{run_id}'")
        joint = "&" if "?" in self.runs_page else "?"
        return f"{self.runs_page}{joint}searchFilter={search}"

    def link(self, run_id: str) -> str:
        """Name a run, linked to its page in MLflow."""
        address = self.address(run_id)
        return f"[`{run_id}`]({address})" if address else f"`{run_id}`"

    def provenance(self, runs: list[str]) -> dict[str, list[str]]:
        """What a set of finetunings ran on: seeds, splits, devices, commits, torch versions; each sorted and once."""
        found = [self.finetunes[i] for i in runs if i in self.finetunes]
        return {
            name: sorted({str(run[name]) for run in found}) for name in ("seed", "split", "device", "commit", "torch")
        }

    def _digests(self) -> dict[str, str]:
        """Index digest of each data set that finished runs used."""
        seen: dict[str, dict[str, str]] = {}
        runs = [(f"finetuning {i}", self.plan.finetunings[i].config, run) for i, run in self.finetunes.items()]
        runs += [(f"pretraining {i}", self.plan.pretrainings[i].config, run) for (i, _), run in self.pretrains.items()]
        for name, config, run in runs:
            seen.setdefault(config.store.dataset.identify(), {}).setdefault(run["index_digest"], name)
        for dataset_id, digests in seen.items():
            if len(digests) > 1:
                dataset = self.plan.datasets[dataset_id].name
                users = ", ".join(f"{digest} ({name})" for digest, name in digests.items())
                raise MixedDataError(
                    f"data set {dataset}: its content changed between runs — {users}. Restore one content, delete"
                    " the other runs' folders, and run again"
                )
        return {self.plan.datasets[i].name: next(iter(digests)) for i, digests in seen.items()}
