"""Results of finished runs, wherever they come from: a results folder or an MLflow store."""

from collections.abc import Iterable
from statistics import multimode
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from mac.pipeline import configs_of, results_of
from mac.plan import Cell, Plan
from mac.report.reading import DamagedError, Read, content_of_store, from_folder, from_mapping, read_run
from mac.report.scores import Sample, Score, sample, score

__all__ = ["Read", "Results", "Score", "from_folder", "from_mapping"]


class _Run(NamedTuple):
    """A run's configuration and what it left; a pretraining has no predictions."""

    config: Any
    metrics: dict[str, Any]
    predictions: pd.DataFrame | None


class Results:
    """What a plan's runs gave so far.

    Attributes:
        finetunes: metrics of the finetunings that can be used, by id.
        pretrains: what pretrainings that can be used said of themselves, by id and epoch.
        probe_metrics: metrics of the probes that can be used, by id.
        probes: what probes that can be used predicted, by id; with ``first_match``.
        problems: why others can't be used, by ``finetune/ID``, ``probe/ID`` or ``pretrain/ID/epoch_E``.
        digests: index digest of each data set's content that the numbers were measured on, by name.
    """

    def __init__(self, plan: Plan, read: Read, runs_page: str | None = None) -> None:
        """Read every planned run's final results; a damaged or foreign one is left out and named in ``problems``.

        Args:
            plan: what was to be run.
            read: gives files by key.
            runs_page: address of the runs in MLflow's pages, for links; None leaves links out.
        """
        self.plan, self.runs_page = plan, runs_page
        self.problems: dict[str, str] = {}
        self._scores: dict[tuple[str, ...], Score | None] = {}
        self._samples: dict[tuple[str, ...], dict[int, Sample]] = {}
        runs: dict[str, _Run] = {}
        configs = configs_of(plan)
        for key in sorted(results_of(plan), key=lambda key: key.split("/")[0]):  # problems of finetunings come first
            stage, run_id, *_ = key.split("/")
            config = configs[stage][run_id]
            try:
                if found := read_run(read, key, config):
                    runs[key] = _Run(config, *found)
            except DamagedError as error:
                self.problems[key] = str(error)
        self.digests = self._settle_digests(runs, read)
        self._settle_videos(runs)
        left = [(*key.split("/"), run) for key, run in runs.items()]
        self.finetunes = {i: run.metrics for stage, i, *_, run in left if stage == "finetune"}
        self._predictions = {i: run.predictions for stage, i, *_, run in left if stage == "finetune"}
        self.probe_metrics = {i: run.metrics for stage, i, *_, run in left if stage == "probe"}
        self.probes = {i: run.predictions for stage, i, *_, run in left if stage == "probe"}
        self.pretrains = {(i, run.metrics["epoch"]): run.metrics for stage, i, *_, run in left if stage == "pretrain"}

    def predictions(self, finetune_id: str) -> pd.DataFrame | None:
        """Give a finetuning's test videos: ``path``, ``group``, ``label``, ``predicted``; None without usable ones."""
        return self._predictions.get(finetune_id)

    def score(self, cell: Cell) -> Score | None:
        """Average a cell's usable runs; None while there is none (or the cell is only cited)."""
        if cell.finetunes not in self._scores:
            found = [self._predictions[i] for i in cell.finetunes if i in self._predictions]
            self._scores[cell.finetunes] = score(found, len(cell.finetunes)) if found else None
        return self._scores[cell.finetunes]

    def samples(self, cell: Cell) -> dict[int, Sample]:
        """Give a cell's usable runs by split, for comparisons."""
        return self.samples_of(cell.finetunes, self.plan.finetunings, self._predictions)

    def samples_of(self, ids: tuple[str, ...], planned: dict[str, Any], found: dict[str, pd.DataFrame]) -> dict:
        """Gather the usable ones among some finetunings or probes by split: int → :class:`Sample`."""
        if ids not in self._samples:
            splits = sorted({planned[i].config.split for i in ids if i in found})
            self._samples[ids] = {
                split: sample([found[i] for i in ids if i in found and planned[i].config.split == split])
                for split in splits
            }
        return self._samples[ids]

    def reasons(self, cell: Cell) -> list[str]:
        """Say why runs of a cell can't be used, each with its id."""
        keys = [f"finetune/{i}" for i in cell.finetunes]
        return [f"{key}: {self.problems[key]}" for key in keys if key in self.problems]

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

    def _settle_digests(self, runs: dict[str, _Run], read: Read) -> dict[str, str]:
        """Keep one content of each data set and leave out all runs that saw another.

        The content that is kept is the one that frames are stored of, if a run saw that; else the one that most runs
        saw; on a tie none.
        """
        seen, kept, why = {}, {}, {}
        for run in runs.values():
            seen.setdefault(run.config.store.dataset.identify(), []).append(run.metrics["index_digest"])
        stored = {store.dataset.identify(): content_of_store(read, i) for i, store in self.plan.stores.items()}
        for dataset_id, digests in seen.items():
            kept[dataset_id] = most = _majority(digests)
            why[dataset_id] = f"most runs saw {most}" if most else "no content was seen by most runs"
            if stored.get(dataset_id) in digests:
                kept[dataset_id] = stored[dataset_id]
                why[dataset_id] = f"the stored frames are {stored[dataset_id]}"
        for key, run in list(runs.items()):
            dataset, digest = run.config.store.dataset, run.metrics["index_digest"]
            if digest != kept[dataset.identify()]:
                reason = f"made on another content of {dataset.name} ({digest}; {why[dataset.identify()]})"
                self.problems[key] = f"{reason}; delete {'/'.join(key.split('/')[:2])} and run again"
                del runs[key]
        for key, run in [(key, run) for key, run in runs.items() if run.predictions is not None]:
            under = f"pretrain/{run.config.pretrain_id}/epoch_{run.config.epoch}"
            if "another content" in self.problems.get(under, ""):
                self.problems[key] = f"starts from {under}, which was {self.problems[under]}"
                del runs[key]
        return {self.plan.datasets[i].name: digest for i, digest in kept.items() if digest}

    def _settle_videos(self, runs: dict[str, _Run]) -> None:
        """Leave out finetunings and probes that were tested on other videos than most of their data set and split."""
        seen: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
        for key, run in runs.items():
            if run.predictions is not None:
                paths = tuple(sorted(run.predictions["path"]))
                seen.setdefault((run.config.store.dataset.identify(), run.config.split), {})[key] = paths
        for alike in seen.values():
            usual = _majority(alike.values())
            most = f"most runs were tested on {len(usual)} others" if usual else "there is no majority"
            for key, paths in alike.items():
                if paths != usual:
                    self.problems[key] = f"tested on {len(paths)} videos, {most}; delete {key} and run again"
                    del runs[key]


def _majority(values: Iterable) -> Any:
    """The most frequent value; None on a tie."""
    modes = multimode(values)
    return modes[0] if len(modes) == 1 else None
