"""How far a scale's work is, read off the files its runs leave behind."""

from dataclasses import dataclass
from pathlib import Path

from mac.plan import Plan
from mac.tracking import journal


@dataclass(frozen=True)
class Bar:
    """One stage's progress: ``done`` of ``total`` units (which may be fractional)."""

    name: str
    unit: str
    done: float
    total: float


def bars(plan: Plan, results: Path, reports: Path) -> list[Bar]:
    """Measure each stage: stores, mask cards, pretraining epochs, finetuning epochs, tables."""
    stores = sum((results / "store" / i / "store.json").exists() for i in plan.stores)
    cards = sum((results / "masks" / i / "card.json").exists() for i in plan.cards)
    pretrained = sum(_pretrained_epochs(results / "pretrain" / i, p.epochs) for i, p in plan.pretrainings.items())
    to_pretrain = sum(max(p.epochs) for p in plan.pretrainings.values())
    finetuned = sum(
        f.config.optimiser.epochs
        if (results / "finetune" / i / "metrics.json").exists()
        else _last_epoch(results / "finetune" / i / "running" / "journal.jsonl")
        for i, f in plan.finetunings.items()
    )
    to_finetune = sum(f.config.optimiser.epochs for f in plan.finetunings.values())
    tables = sum((reports / "tables" / f"{name}.md").exists() for name in plan.tables)
    return [
        Bar("data sets", "sets", stores, len(plan.stores)),
        Bar("mask cards", "cards", cards, len(plan.cards)),
        Bar("pretraining", "epochs", pretrained, to_pretrain),
        Bar("finetuning", "epochs", finetuned, to_finetune),
        Bar("tables", "tables", tables, len(plan.tables)),
    ]


def share(measured: list[Bar], weights: dict[str, float]) -> float:
    """Share of the whole work that is done, in [0, 1]; ``weights`` say how long one unit of a stage takes."""
    total = sum(bar.total * weights[bar.name] for bar in measured)
    return sum(bar.done * weights[bar.name] for bar in measured) / total if total else 1.0


def _pretrained_epochs(folder: Path, epochs: set[int]) -> int:
    done = 0
    for epoch in sorted(epochs):
        if (folder / f"epoch_{epoch}.json").exists():
            done = epoch
        else:
            return max(done, _last_epoch(folder / f"running_{epoch}" / "journal.jsonl"))
    return done


def _last_epoch(path: Path) -> int:
    if not path.exists():
        return 0
    return max((event.get("epoch", 0) for event in journal.read(path)), default=0)
