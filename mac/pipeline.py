"""The table of stages: all code that needs the list of stages, or the files of a run, reads it here.

Every run of a stage has a folder ``RESULTS/STAGE/ID`` with its ``config.yaml``. A pretraining has its other files there
for each epoch that is kept, as ``epoch_E.ENDING``. No torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mac import config as stages

TESTED = {"predictions": "predictions.parquet", "journal": "journal.jsonl", "metrics": "metrics.json"}


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        config: model of its configuration.
        plan: name of the plan's mapping from ids to its runs.
        title: what a report calls it.
        files: what a run writes, by the option of its command that names the file, the last one last; of a pretraining
            the endings.
        is_training: whether it holds a lock in its folder ``running…`` while it runs, and can be continued.
        by_epoch: whether it has results at several epochs.
    """

    config: type[stages.Strict]
    plan: str
    title: str
    files: dict[str, str]
    is_training: bool = False
    by_epoch: bool = False

    @property
    def last(self) -> str:
        """The file that is written last: without it, a run is not finished."""
        return list(self.files.values())[-1]

    @property
    def kept(self) -> list[str]:
        """Small files that are recorded in MLflow and kept with a report."""
        return [name for option, name in self.files.items() if option in TESTED]


SEGMENT = {"backbone": "safetensors", "state": "state.pt", "journal": "jsonl", "metrics": "json"}
CLASSIFIER = {"classifier": "classifier.safetensors"}
STAGES = {
    "dataset": Stage(stages.DatasetConfig, "datasets", "data sets: lists and indices", {"out": "index.parquet"}),
    "store": Stage(stages.StoreConfig, "stores", "frame stores", {"out": "store.json"}),
    "boxes": Stage(stages.BoxesConfig, "boxes", "person boxes", {"out": "boxes.parquet"}),
    "masks": Stage(stages.MaskCheckConfig, "mask_checks", "mask checks", {"picture": "check.png", "out": "check.json"}),
    "pretrain": Stage(stages.PretrainConfig, "pretrainings", "pretraining", SEGMENT, is_training=True, by_epoch=True),
    "finetune": Stage(stages.FinetuneConfig, "finetunings", "finetuning", CLASSIFIER | TESTED, is_training=True),
    "probe": Stage(stages.ProbeConfig, "probes", "probes", TESTED),
}
RECORDED = [name for name, stage in STAGES.items() if stage.kept]  # in MLflow; finetunings stand under pretrainings


def runs_of(plan: Any, stage: str) -> dict[str, Any]:
    """A plan's runs of a stage, by id: configurations of data and mask checks, :class:`mac.planned.Run` of others."""
    return getattr(plan, STAGES[stage].plan)


def configs_of(plan: Any) -> dict[str, dict[str, stages.Strict]]:
    """The configuration of every run of a plan, by stage and id."""
    return {
        stage: {run_id: getattr(run, "config", run) for run_id, run in runs_of(plan, stage).items()} for stage in STAGES
    }


def results_of(plan: Any) -> Iterator[str]:
    """All recorded results of a plan, as ``STAGE/ID``, or ``STAGE/ID/epoch_E`` of a stage that has several epochs."""
    for stage in RECORDED:
        for run_id, run in runs_of(plan, stage).items():
            if STAGES[stage].by_epoch:
                yield from (f"{stage}/{run_id}/epoch_{epoch}" for epoch in sorted(run.epochs))
            else:
                yield f"{stage}/{run_id}"


def files_of(result: str) -> list[str]:
    """Names, below a results folder, of the small files of a result that :func:`results_of` names."""
    stage = STAGES[result.split("/")[0]]
    return [f"{result}.{name}" if stage.by_epoch else f"{result}/{name}" for name in stage.kept]


def writes(stage: str, run_id: str, results: Path, epoch: int | None = None) -> dict[str, Path]:
    """The files a run writes (a pretraining: up to an epoch), by the option that names them to its command."""
    folder, files = results / stage / run_id, STAGES[stage].files
    return {option: folder / (f"epoch_{epoch}.{name}" if epoch else name) for option, name in files.items()}


def reads(config: Any, results: Path) -> dict[str, Path]:
    """The files that a run on frames reads, by the option that names them to its command.

    Left out are its configuration and, of a pretraining, the state it continues from.
    """

    def made(stage: str, config: stages.Strict) -> Path:
        return results / stage / config.identify() / STAGES[stage].last

    files = {"store": made("store", config.store)}
    if getattr(config, "boxes", None):
        files["boxes"] = made("boxes", config.boxes)
    if (start := getattr(config, "initial", "random")) == "pretrained":
        files["backbone"] = writes("pretrain", config.pretrain_id, results, config.epoch)["backbone"]
    elif start != "random":
        files["backbone"] = results / "weights" / f"{config.model.backbone}.safetensors"
    return files
