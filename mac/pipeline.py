"""The table of stages. Whatever goes through all stages, or asks what a stage leaves behind, reads it here.

Every run of a stage has a folder ``RESULTS/STAGE/ID`` with its ``config.yaml``; a pretraining's other files stand there
once for each epoch it is kept at, as ``epoch_E.ENDING``. No torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mac.config import (
    BoxesConfig,
    DatasetConfig,
    FinetuneConfig,
    MaskCheckConfig,
    PretrainConfig,
    ProbeConfig,
    StoreConfig,
    Strict,
)

TESTED = ("predictions.parquet", "journal.jsonl", "metrics.json")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        config: model of its configuration.
        plan: name of the plan's mapping from ids to its runs.
        title: what a report calls it.
        last: the file that is written last; of a pretraining, its ending.
        kept: small files that are recorded in MLflow and kept with a report, in this order; none is neither.
        is_training: whether it holds a lock in its folder ``running…`` while it runs, and can be continued.
        by_epoch: whether it has results at several epochs.
    """

    config: type[Strict]
    plan: str
    title: str
    last: str
    kept: tuple[str, ...] = ()
    is_training: bool = False
    by_epoch: bool = False


STAGES = {
    "dataset": Stage(DatasetConfig, "datasets", "data sets: lists and indices", "index.parquet"),
    "store": Stage(StoreConfig, "stores", "frame stores", "store.json"),
    "boxes": Stage(BoxesConfig, "boxes", "person boxes", "boxes.parquet"),
    "masks": Stage(MaskCheckConfig, "mask_checks", "mask checks", "check.json"),
    "pretrain": Stage(PretrainConfig, "pretrainings", "pretraining", "json", ("jsonl", "json"), True, True),
    "finetune": Stage(FinetuneConfig, "finetunings", "finetuning", "metrics.json", TESTED, is_training=True),
    "probe": Stage(ProbeConfig, "probes", "probes", "metrics.json", TESTED),
}
RECORDED = [name for name, stage in STAGES.items() if stage.kept]  # in MLflow; finetunings stand under pretrainings


def runs_of(plan: Any, stage: str) -> dict[str, Any]:
    """A plan's runs of a stage, by id: configurations, or what the plan says of a training besides."""
    return getattr(plan, STAGES[stage].plan)


def configs_of(plan: Any) -> dict[str, dict[str, Strict]]:
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
    return [f"{result}.{ending}" if stage.by_epoch else f"{result}/{ending}" for ending in stage.kept]
