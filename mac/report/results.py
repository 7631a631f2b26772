"""Results of finished runs, wherever they come from: a results folder or an MLflow store."""

from collections import Counter
from typing import Any
from urllib.parse import quote

import pandas as pd

from mac.plan import Cell, Plan
from mac.report.reading import (
    DamagedError,
    Read,
    content_of_store,
    finetuning,
    from_folder,
    from_mapping,
    pretraining,
    probe,
)
from mac.report.scores import Sample, Score, sample, score

__all__ = ["Read", "Results", "Score", "from_folder", "from_mapping"]


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
        self.finetunes: dict[str, dict[str, Any]] = {}
        self.pretrains: dict[tuple[str, int], dict[str, Any]] = {}
        self.probes: dict[str, pd.DataFrame] = {}
        self.problems: dict[str, str] = {}
        self.probe_metrics: dict[str, dict[str, Any]] = {}
        self._predictions: dict[str, pd.DataFrame] = {}
        self._scores: dict[tuple[str, ...], Score | None] = {}
        self._samples: dict[tuple[str, ...], dict[int, Sample]] = {}
        for run_id, planned in plan.finetunings.items():
            self._read_finetuning(read, run_id, planned.config)
        for run_id, planned in plan.pretrainings.items():
            for epoch in sorted(planned.epochs):
                try:
                    if found := pretraining(read, run_id, epoch):
                        self.pretrains[run_id, epoch] = found
                except DamagedError as error:
                    self.problems[f"pretrain/{run_id}/epoch_{epoch}"] = str(error)
        for run_id, planned in plan.probes.items():
            self._read_probe(read, run_id, planned.config)
        self.digests = self._settle_digests(read)
        self._settle_videos()

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
        if cell.finetunes not in self._samples:
            by_split: dict[int, list[pd.DataFrame]] = {}
            for i in cell.finetunes:
                if i in self._predictions:
                    by_split.setdefault(self.plan.finetunings[i].config.split, []).append(self._predictions[i])
            self._samples[cell.finetunes] = {split: sample(found) for split, found in sorted(by_split.items())}
        return self._samples[cell.finetunes]

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

    def provenance(self, runs: list[str]) -> dict[str, list[str]]:
        """What a set of finetunings ran on: seeds, splits, devices, commits, torch versions; each sorted and once."""
        found = [self.finetunes[i] for i in runs if i in self.finetunes]
        return {
            name: sorted({str(run[name]) for run in found}) for name in ("seed", "split", "device", "commit", "torch")
        }

    def _read_finetuning(self, read: Read, run_id: str, config: Any) -> None:
        expected = {
            "finetune_id": run_id,
            "pretrain_id": config.pretrain_id,
            "seed": config.seed,
            "split": config.split,
        }
        try:
            if found := finetuning(read, run_id, expected):
                self.finetunes[run_id], self._predictions[run_id] = found
        except DamagedError as error:
            self.problems[f"finetune/{run_id}"] = str(error)

    def _read_probe(self, read: Read, run_id: str, config: Any) -> None:
        expected = {"probe_id": run_id, "pretrain_id": config.pretrain_id, "seed": config.seed, "split": config.split}
        try:
            if found := probe(read, run_id, expected):
                self.probe_metrics[run_id], self.probes[run_id] = found
        except DamagedError as error:
            self.problems[f"probe/{run_id}"] = str(error)

    def _settle_digests(self, read: Read) -> dict[str, str]:
        """Keep one content of each data set and leave out all runs that saw another.

        It is the one that frames are stored of, if a run saw that; else the one that most runs saw, on a tie none.
        """
        seen: dict[str, Counter[str]] = {}
        runs = [(f"finetune/{i}", self.plan.finetunings[i].config, run) for i, run in self.finetunes.items()]
        runs += [
            (f"pretrain/{i}/epoch_{e}", self.plan.pretrainings[i].config, r) for (i, e), r in self.pretrains.items()
        ]
        runs += [(f"probe/{i}", self.plan.probes[i].config, run) for i, run in self.probe_metrics.items()]
        for _, config, run in runs:
            seen.setdefault(config.store.dataset.identify(), Counter())[run["index_digest"]] += 1
        stored = {store.dataset.identify(): content_of_store(read, i) for i, store in self.plan.stores.items()}
        kept, why = {}, {}
        for dataset_id, counts in seen.items():
            (first, most), *others = counts.most_common(2)
            kept[dataset_id] = None if others and others[0][1] == most else first
            why[dataset_id] = f"most runs saw {first}" if kept[dataset_id] else "no content was seen by most runs"
            if stored.get(dataset_id) in counts:
                kept[dataset_id] = stored[dataset_id]
                why[dataset_id] = f"the stored frames are {stored[dataset_id]}"
        for key, config, run in runs:
            dataset_id, digest = config.store.dataset.identify(), run["index_digest"]
            if digest != kept[dataset_id]:
                name, folder = self.plan.datasets[dataset_id].name, "/".join(key.split("/")[:2])
                reason = (
                    f"made on another content of {name} ({digest}; {why[dataset_id]}); delete {folder} and run again"
                )
                self._leave_out(key, reason)
        left = [(f"finetune/{i}", self.plan.finetunings[i].config) for i in self.finetunes]
        left += [(f"probe/{i}", self.plan.probes[i].config) for i in self.probes]
        for key, config in left:
            under = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}"
            if "another content" in self.problems.get(under, ""):
                self._leave_out(key, f"starts from {under}, which was {self.problems[under]}")
        return {self.plan.datasets[i].name: digest for i, digest in kept.items() if digest}

    def _settle_videos(self) -> None:
        """Leave out finetunings and probes that were tested on other videos than most of their data set and split."""
        seen: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
        tested = [(f"finetune/{i}", self.plan.finetunings[i].config, found) for i, found in self._predictions.items()]
        tested += [(f"probe/{i}", self.plan.probes[i].config, found) for i, found in self.probes.items()]
        for key, config, found in tested:
            paths = tuple(sorted(found["path"]))
            seen.setdefault((config.store.dataset.identify(), config.split), {})[key] = paths
        for alike in seen.values():
            (usual, count), *others = Counter(alike.values()).most_common(2)
            tie = bool(others) and others[0][1] == count
            for key, paths in alike.items():
                if tie or paths != usual:
                    most = "there is no majority" if tie else f"most runs were tested on {len(usual)} others"
                    reason = f"tested on {len(paths)} videos, {most}; delete {key} and run again"
                    self._leave_out(key, reason)

    def _leave_out(self, key: str, reason: str) -> None:
        stage, run_id, *epoch = key.split("/")
        self.problems[key] = reason
        if stage == "finetune":
            del self.finetunes[run_id], self._predictions[run_id]
        elif stage == "probe":
            del self.probe_metrics[run_id], self.probes[run_id]
        else:
            del self.pretrains[run_id, int(epoch[0].removeprefix("epoch_"))]
