"""Where a number comes from: for each finetuning behind it, what it ran on and how its configuration differs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mac.config import Strict
from mac.plan import Finetuning, Plan
from mac.report.results import Results

MACHINE = ("device", "arithmetic", "commit", "torch")  # earlier runs noted no arithmetic


@dataclass(frozen=True)
class Change:
    """A value that differs from the default row's."""

    key: str
    default: str
    here: str


@dataclass(frozen=True)
class RunOrigin:
    """A finetuning: the rows that use it, its checkpoint, its files below the results folder, and its facts.

    ``files`` maps what a file is to its path; ``facts`` are what the run itself wrote (device, commit, …), as text.
    """

    run_id: str
    used_by: tuple[str, ...]
    start: str
    changes: tuple[Change, ...]
    files: dict[str, str]
    facts: dict[str, str]
    is_finished: bool


def origins(results: Results) -> dict[str, RunOrigin]:
    """Trace every planned finetuning, by its id."""
    return {i: _origin(results, i, planned) for i, planned in results.plan.finetunings.items()}


def _origin(results: Results, run_id: str, planned: Finetuning) -> RunOrigin:
    config, found = planned.config, results.finetunes.get(run_id)
    folder = f"finetune/{run_id}"
    files = {"configuration": f"{folder}/config.yaml", "predictions": f"{folder}/predictions.parquet"}
    files |= {"metrics": f"{folder}/metrics.json", "journal": f"{folder}/journal.jsonl"}
    start = "random weights" if config.initial == "random" else "torchvision's Kinetics-400 weights"
    if config.pretrain_id:
        start = f"pretraining {config.pretrain_id}, epoch {config.epoch}"
        files["checkpoint"] = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}.safetensors"
        files["pretraining's configuration"] = f"pretrain/{config.pretrain_id}/config.yaml"
    facts = {"seed": str(config.seed), "split": str(config.split), "data": config.store.dataset.name}
    if found:
        facts |= {"index digest": found["index_digest"]} | {name: str(found[name]) for name in MACHINE if name in found}
        facts["finetuning took"] = f"{found['seconds']:.0f} s"
    pretrained = results.pretrains.get((config.pretrain_id, config.epoch))
    if pretrained:
        facts["pretraining on"] = f"{pretrained['device']}, commit {pretrained['commit']}"
    return RunOrigin(
        run_id, tuple(planned.used_by), start, changes(results.plan, run_id), files, facts, found is not None
    )


def changes(plan: Plan, run_id: str) -> tuple[Change, ...]:
    """List what a finetuning and its pretraining have otherwise than the default row; seeds and splits left out."""
    config = plan.finetunings[run_id].config
    default = plan.experiment.finetuning(config.seed, config.split, "pretrained")
    found = [(key, a, b) for key, a, b in _differences(default, config) if key not in ("pretrain_id", "epoch")]
    if config.pretrain_id:
        own = plan.pretrainings[config.pretrain_id].config
        base = plan.experiment.pretraining(config.seed, config.split)
        found += [(f"pretrain.{key}", a, b) for key, a, b in _differences(base, own) if not key.startswith("model.")]
        if config.epoch != own.optimiser.epochs:
            found.append(("epoch of the checkpoint", str(own.optimiser.epochs), str(config.epoch)))
    return tuple(Change(*entry) for entry in found)


def _differences(default: Strict, here: Strict) -> list[tuple[str, str, str]]:
    return list(_compare("", default.canonical(), here.canonical()))


def _compare(key: str, default: Any, here: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what differs; a section that one side lacks, or another data set, is one difference."""
    if default == here:
        return
    if isinstance(default, dict) and isinstance(here, dict) and not key.endswith("dataset"):
        for name in dict.fromkeys([*default, *here]):
            yield from _compare(f"{key}.{name}" if key else name, default.get(name), here.get(name))
    else:
        yield key, _text(default), _text(here)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("subset") or value.get("name", "present")
        return f"{name} (embedded)" if value.get("embedded") else name
    return "none" if value is None else str(value)
