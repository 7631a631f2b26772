"""Results of finished runs, wherever they come from: a results folder or an MLflow store."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import multimode
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from mac.pipeline import RECORDED, STAGES, configs_of, results_of, writes
from mac.plan import Cell, Plan
from mac.report.reading import DamagedError, Read, content_of_store, make_again, read_run, read_shares
from mac.report.scores import Repeat, Sample, Score, clusters, retrieved, sample, score
from mac.tracking import journal


class _Run(NamedTuple):
    """A run's configuration and what it left; a pretraining has no predictions."""

    config: Any
    metrics: dict[str, Any]
    predictions: pd.DataFrame | None


class Focus(NamedTuple):
    """Shares of two models' maps that lie on what moves, of the same videos.

    ``chance`` is the mean share of mass that is spread evenly; ``tested`` counts all test videos.
    """

    first: Sample
    second: Sample
    chance: float
    tested: int


class Results:
    """What a plan's runs gave so far.

    Attributes:
        runs: configuration, metrics and predictions of the results that can be used, by ``finetune/ID``, ``probe/ID``
            or ``pretrain/ID/epoch_E``.
        metrics: their metrics by stage and id; of pretrainings by id and epoch.
        predictions: their test videos by stage and id: ``path``, ``group``, ``label``, ``predicted``; of probes with
            ``first_match`` too.
        problems: why other results can't be used, by the same keys as ``runs``.
        digests: index digest of each data set's content that the numbers were measured on, by name.
    """

    def __init__(self, plan: Plan, read: Read, runs_page: str | None = None, report: Read = lambda key: None) -> None:
        """Read every planned run's final results; a damaged or foreign one is left out and named in ``problems``.

        Args:
            plan: what was to be run.
            read: gives files by key.
            runs_page: address of the runs in MLflow's pages, for links; None leaves links out.
            report: gives files of the scale's report by key: the numbers of figures 2–4.
        """
        self.plan, self.runs_page, self._read, self._report = plan, runs_page, read, report
        self.problems: dict[str, str] = {}
        self._scores: dict[tuple[str, tuple[str, ...]], Score | None] = {}
        self._epochs: dict[str, list[dict[str, Any]]] = {}
        self._samples: dict[tuple[str, tuple[str, ...]], dict[int, Sample]] = {}
        self.runs: dict[str, _Run] = {}
        configs = configs_of(plan)
        for key in sorted(results_of(plan), key=lambda key: key.split("/")[0]):  # problems of finetunings come first
            stage, run_id, *_ = key.split("/")
            config = configs[stage][run_id]
            try:
                if found := read_run(read, key, config):
                    self.runs[key] = _Run(config, *found)
            except DamagedError as error:
                self.problems[key] = str(error)
        self.digests = self._settle_digests(read)
        self._settle_videos()
        self.metrics, self.predictions = ({stage: {} for stage in RECORDED} for _ in range(2))
        for key, run in self.runs.items():
            stage, run_id, *epoch = key.split("/")
            self.metrics[stage][(run_id, run.metrics["epoch"]) if epoch else run_id] = run.metrics
            self.predictions[stage][run_id] = run.predictions

    def print_problems(self, command: str) -> None:
        """Name the results that can't be used on standard error, as a command's messages."""
        for key, reason in self.problems.items():
            print(f"{command}: {key} is left out: {reason}", file=sys.stderr)

    def score(self, cell: Cell) -> Score | None:
        """Average a cell's usable runs; None while there is none (or the cell is only cited)."""
        key = cell.measure, cell.runs
        if key not in self._scores:
            found = self._measured(cell)
            repeats = [self._repeat(i) for i in found]
            self._scores[key] = score(list(found.values()), len(cell.runs), repeats) if found else None
        return self._scores[key]

    def samples(self, cell: Cell) -> dict[int, Sample]:
        """Gather a cell's usable runs by split, for comparisons."""
        key = cell.measure, cell.runs
        if key not in self._samples:
            found, by_split = self._measured(cell), {}
            for i in found:
                by_split.setdefault(self.plan.tested[i].config.split, []).append(i)
            self._samples[key] = {
                split: sample([found[i] for i in by_split[split]], [self._repeat(i) for i in by_split[split]])
                for split in sorted(by_split)
            }
        return self._samples[key]

    def _repeat(self, run_id: str) -> Repeat:
        config = self.plan.tested[run_id].config
        return Repeat(config.seed, getattr(config, "label_draw", None))

    def _measured(self, cell: Cell) -> dict[str, pd.DataFrame]:
        """Test videos of a cell's usable runs, by id; ``predicted`` is right where the cell's measure counts them."""
        tested = self.predictions[cell.stage]
        found = {i: tested[i] for i in cell.runs if i in tested}
        return {i: retrieved(part, 1) for i, part in found.items()} if cell.measure == "recall@1" else found

    def epochs(self, stage: str, run_id: str) -> list[dict[str, Any]]:
        """Give what a run's journals say of each epoch, from the first on; nothing where one of them is damaged.

        Args:
            stage: ``pretrain``, whose journals of all kept epochs follow each other, or ``finetune``.
            run_id: of the run.
        """
        key = f"{stage}/{run_id}"
        if key not in self._epochs:
            epochs = sorted(self.plan.pretrainings[run_id].epochs) if STAGES[stage].by_epoch else [None]
            try:
                raw = [self._read(str(writes(stage, run_id, Path(), epoch)["journal"])) for epoch in epochs]
                events = [event for content in raw for event in journal.parse(content or b"")]
                self._epochs[key] = [e for e in events if e["event"] == "metrics" and "loss" in e]
            except (DamagedError, ValueError, KeyError, TypeError):
                self._epochs[key] = []
        return self._epochs[key]

    def focus(self, first: str, second: str) -> Focus | str:
        """Give how much of two finetunings' maps lies on what moves, or say why that can't be used.

        Args:
            first: id of a finetuning with predictions.
            second: another one's, of the same data set and split.
        """
        try:
            found = read_shares(self._report, (first, second), self.metrics["finetune"][first]["index_digest"])
        except DamagedError as error:
            return str(error)
        tested = self.predictions["finetune"][first].set_index("path")
        if found is None:
            return "figures 2–4 are not drawn yet"
        if found.empty:
            return "no test video that was looked at has both a foreground and maps"
        if not found["path"].isin(tested.index).all():
            return f"gradcam.json names videos that were not tested; {make_again('figures/gradcam.json')}"
        names = clusters(tested.loc[found["path"]]).to_numpy(dtype=str)
        ours, theirs = (Sample(names, found[i].to_numpy(dtype=float)[None]) for i in (first, second))
        return Focus(ours, theirs, float(found["chance"].mean()), len(tested))

    def reasons(self, cell: Cell) -> list[str]:
        """Say why runs of a cell can't be used, each with its id."""
        keys = [f"{cell.stage}/{i}" for i in cell.runs]
        return [f"{key}: {self.problems[key]}" for key in keys if key in self.problems]

    def address(self, run_id: str) -> str | None:
        """Find a run's page in MLflow, by our id; None where no address of the pages was given."""
        search = quote(f"tags.`mac.id` = '{run_id}'")
        return self._in_mlflow(f"searchFilter={search}")

    def compared(self, table: str) -> str | None:
        """Find the page in MLflow that compares the rows of a table, likewise."""
        return self._in_mlflow(f"viewStateShareKey={quote(self.plan.view(table))}&compareRunsMode=CHART")

    def _in_mlflow(self, query: str) -> str | None:
        return self.runs_page and f"{self.runs_page}{'&' if '?' in self.runs_page else '?'}{query}"

    def link(self, run_id: str) -> str:
        """Name a run, linked to its page in MLflow."""
        address = self.address(run_id)
        return f"[`{run_id}`]({address})" if address else f"`{run_id}`"

    def _leave_out(self, key: str, reason: str) -> None:
        self.problems[key] = reason
        del self.runs[key]

    def _settle_digests(self, read: Read) -> dict[str, str]:
        """Keep one content of each data set and leave out all runs that saw another; give the kept digests by name.

        The content that is kept is the one that frames are stored of, if a run saw that; else the one that most runs
        saw; on a tie none.
        """
        seen, kept = {}, {}
        for run in self.runs.values():
            seen.setdefault(run.config.store.dataset.identify(), []).append(run.metrics["index_digest"])
        stored = {store.dataset.identify(): content_of_store(read, i) for i, store in self.plan.stores.items()}
        for dataset_id, digests in seen.items():
            most = _majority(digests)
            kept[dataset_id] = most, f"most runs saw {most}" if most else "no content was seen by most runs"
            if stored.get(dataset_id) in digests:
                kept[dataset_id] = stored[dataset_id], f"the stored frames are {stored[dataset_id]}"
        for key, run in list(self.runs.items()):
            dataset, digest = run.config.store.dataset, run.metrics["index_digest"]
            usual, why = kept[dataset.identify()]
            if digest != usual:
                self._leave_out(key, f"made on another content of {dataset.name} ({digest}; {why}); {make_again(key)}")
        for key, run in list(self._tested()):
            under = f"pretrain/{run.config.pretrain_id}/epoch_{run.config.epoch}"
            if "another content" in self.problems.get(under, ""):
                self._leave_out(key, f"starts from {under}, which was {self.problems[under]}")
        return {self.plan.datasets[i].name: digest for i, (digest, _) in kept.items() if digest}

    def _settle_videos(self) -> None:
        """Leave out finetunings and probes that were tested on other videos than most of their data set and split."""
        seen: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
        for key, run in self._tested():
            paths = tuple(sorted(run.predictions["path"]))
            seen.setdefault((run.config.store.dataset.identify(), run.config.split), {})[key] = paths
        for alike in seen.values():
            usual = _majority(alike.values())
            most = f"most runs were tested on {len(usual)} others" if usual else "there is no majority"
            for key in (key for key, paths in alike.items() if paths != usual):
                self._leave_out(key, f"tested on {len(alike[key])} videos, {most}; {make_again(key)}")

    def _tested(self) -> Iterator[tuple[str, _Run]]:
        return ((key, run) for key, run in self.runs.items() if run.predictions is not None)


def _majority(values: Iterable) -> Any:
    """The most frequent value; None on a tie."""
    modes = multimode(values)
    return modes[0] if len(modes) == 1 else None
