"""What a run has left in its folder, as a record for MLflow."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mac.config import FinetuneConfig, PretrainConfig, ProbeConfig, read_config
from mac.pipeline import RECORDED, STAGES, runs_of, writes
from mac.plan import Plan
from mac.runtime.reading import read_json, read_table
from mac.tracking import journal
from mac.tracking.replay import RunRecord
from mac.tracking.views import NAME, labels

Config = PretrainConfig | FinetuneConfig | ProbeConfig


class RunFiles:
    """The files of one run: its journals, results and pictures so far."""

    def __init__(self, plan: Plan, results: Path, stage: str, run_id: str) -> None:
        """Look into ``RESULTS/STAGE/ID``."""
        self._plan, self._results, self.stage, self.run_id = plan, results, stage, run_id
        self._folder = results / stage / run_id
        if STAGES[stage].by_epoch:
            epochs = sorted(int(path.stem.removeprefix("epoch_")) for path in self._folder.glob("epoch_*.json"))
            self._finals = {epoch: self._folder / f"epoch_{epoch}.json" for epoch in epochs}
            self._journals = [path.with_suffix(".jsonl") for path in self._finals.values()]
            self.is_finished = plan.pretrainings[run_id].epochs <= self._finals.keys()
        else:
            final = self._folder / "metrics.json"
            self._finals = {0: final} if final.exists() else {}
            self._journals = [self._folder / "journal.jsonl"] if self._finals else []
            self.is_finished = bool(self._finals)
        self._running = sorted(self._folder.glob("running*/journal.jsonl"))

    @property
    def has_results(self) -> bool:
        """Whether a report can be made of it already."""
        return bool(self._finals)

    @property
    def written(self) -> float:
        """When it last wrote to a running journal, seconds since 1970; 0 if it has none."""
        return max((os.stat(path).st_mtime for path in self._running), default=0.0)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """All its journals' events that are final."""
        done = [event for path in self._journals for event in journal.read(path)]
        return done + [event for path in self._running for event in journal.read_final(path)]

    def record(self, drawings: Path | None = None) -> RunRecord:
        """Describe the run; with a folder for ``drawings``, its pictures too."""
        config = read_config(self._folder / "config.yaml", STAGES[self.stage].config)
        tags = labels(self._plan, self.stage, self.run_id)
        start = next(event for event in self.events if event["event"] == "start")
        facts = start["facts"]
        checkpoint = None
        if not isinstance(config, PretrainConfig) and config.pretrain_id:
            checkpoint = (config.pretrain_id, config.epoch)
        return RunRecord(
            run_id=self.run_id,
            stage=self.stage,
            name=tags[NAME],
            params=_flatten(config.canonical()),
            tags={
                **tags,
                "git_commit": facts.get("commit", "unknown"),
                "index_digest": start["index_digest"],
                "dataset": config.store.dataset.name,
                "device": start["device"],
                **{name: facts[name] for name in ("lock", "arithmetic") if name in facts},
            },
            events=self.events,
            files=self._artifacts(),
            pictures=self._pictures(config, drawings) if drawings else [],
            parent=checkpoint[0] if checkpoint else None,
            dataset=(config.store.dataset.name, start["index_digest"], {"training_videos": start["videos"]}),
            checkpoints={
                e: str(path) for e, p in self._finals.items() if e and (path := p.with_suffix(".safetensors")).exists()
            },
            start=checkpoint,
            is_finished=self.is_finished,
        )

    def _artifacts(self) -> list[Path]:
        files = [self._folder / "config.yaml", *self._journals, *self._finals.values()]
        return [*files, self._folder / "predictions.parquet"] if self.stage != "pretrain" and self._finals else files

    def _pictures(self, config: Config, drawings: Path) -> list[Path]:
        """The confusion matrix of a finetuning or a probe; the mask check's picture of a pretraining."""
        if not isinstance(config, PretrainConfig):
            return [self._confusion(drawings)]
        check = config.mask_check
        picture = check and writes("masks", check.identify(), self._results)["picture"]
        return [picture] if picture and picture.exists() else []

    def _confusion(self, drawings: Path) -> Path:
        from mac.report.figures import draw_confusion  # matplotlib: only where a picture is drawn

        final = read_json(self._finals[0])
        predictions = read_table(self._folder / "predictions.parquet")
        path = drawings / "confusion_matrix.png"
        draw_confusion(predictions, final["classes"], f"top-1 {final['top1']:.1f} % of {final['videos']} videos", path)
        return path


def planned_runs(plan: Plan, results: Path) -> Iterator[RunFiles]:
    """Look into every run of a plan; pretrainings come first, because MLflow shows the others under them."""
    for stage in RECORDED:
        for run_id in runs_of(plan, stage):
            yield RunFiles(plan, results, stage, run_id)


def _flatten(tree: dict, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat
