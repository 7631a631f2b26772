"""Which data sets numbers were measured on, and whether the paper's numbers are of the same data."""

from collections.abc import Iterable

from mac.config import DatasetConfig
from mac.plan import Plan


def datasets(finetunes: Iterable[str], plan: Plan) -> list[DatasetConfig]:
    """Data sets that finetunings and their pretrainings use, each once, by name."""
    used = {}
    for finetune_id in finetunes:
        config = plan.finetunings[finetune_id].config
        used[config.store.dataset.name] = config.store.dataset
        if config.pretrain_id:
            dataset = plan.pretrainings[config.pretrain_id].config.store.dataset
            used[dataset.name] = dataset
    return [used[name] for name in sorted(used)]


def why_incomparable(finetunes: Iterable[str], plan: Plan) -> str | None:
    """Say why numbers of these finetunings can't be held against printed ones; None where they can."""
    used = datasets(finetunes, plan)
    drawn = [dataset.name for dataset in used if dataset.embedded]
    partial = [f"{dataset.subset} for {dataset.name}" for dataset in used if dataset.subset]
    if drawn:
        return f"generated figures stand in for {', '.join(drawn)}"
    return f"parts of the data sets ({', '.join(partial)})" if partial else None
