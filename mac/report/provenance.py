"""Where numbers come from: data, machines and time; for a finetuning, its files and how it differs from the default."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mac.config import DatasetConfig
from mac.costs.throughput import split_device
from mac.plan import Plan
from mac.report.results import Results

MACHINE = ("device", "arithmetic", "commit", "torch")  # earlier runs noted no arithmetic
TOLD = ("device", "commit", "torch")


class Change(NamedTuple):
    """A value that differs from the default row's."""

    key: str
    default: str
    here: str


def origin(results: Results, run_id: str) -> dict[str, Any]:
    """Trace a planned finetuning.

    Returns:
        ``start`` (the weights it started from, in words), ``changes`` (of :func:`changes`), ``files`` (what a file is →
        its path below the results folder) and ``facts`` (what the run itself wrote: device, commit, …; as text).
    """
    config, found = results.plan.finetunings[run_id].config, results.finetunes.get(run_id)
    names = {"configuration": "config.yaml", "predictions": "predictions.parquet"}
    names |= {"metrics": "metrics.json", "journal": "journal.jsonl"}
    files = {what: f"finetune/{run_id}/{name}" for what, name in names.items()}
    start = "random weights" if config.initial == "random" else "torchvision's Kinetics-400 weights"
    if config.pretrain_id:
        start = f"pretraining {config.pretrain_id}, epoch {config.epoch}"
        files["checkpoint"] = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}.safetensors"
        files["pretraining's configuration"] = f"pretrain/{config.pretrain_id}/config.yaml"
    facts = {"seed": str(config.seed), "split": str(config.split), "data": config.store.dataset.name}
    if found:
        facts |= {"index digest": found["index_digest"]} | {name: str(found[name]) for name in MACHINE if name in found}
        facts["finetuning took"] = f"{found['seconds']:.0f} s"
    if pretrained := results.pretrains.get((config.pretrain_id, config.epoch)):
        facts["pretraining on"] = f"{pretrained['device']}, commit {pretrained['commit']}"
    return {"start": start, "changes": changes(results.plan, run_id), "files": files, "facts": facts}


def changes(plan: Plan, run_id: str) -> list[Change]:
    """List what a finetuning and its pretraining have otherwise than the default row; seeds and splits left out."""
    config = plan.finetunings[run_id].config
    default = plan.experiment.finetuning(config.seed, config.split, "pretrained").canonical()
    ignored = ("pretrain_id", "epoch")
    found = [change for change in _differences("", default, config.canonical()) if change.key not in ignored]
    if config.pretrain_id:
        own = plan.pretrainings[config.pretrain_id].config
        base = plan.experiment.pretraining(config.seed, config.split).canonical()
        pretraining = _differences("pretrain", base, own.canonical())
        found += [change for change in pretraining if not change.key.startswith("pretrain.model.")]
        if config.epoch != own.optimiser.epochs:
            found.append(Change("epoch of the checkpoint", str(own.optimiser.epochs), str(config.epoch)))
    return found


def _differences(key: str, default: Any, here: Any) -> Iterator[Change]:
    """Yield what differs; a section that one side lacks, or another data set, is one difference."""
    if default == here:
        return
    if isinstance(default, dict) and isinstance(here, dict) and not key.endswith("dataset"):
        for name in dict.fromkeys([*default, *here]):
            yield from _differences(f"{key}.{name}" if key else name, default.get(name), here.get(name))
    else:
        yield Change(key, _text(default), _text(here))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("subset") or value.get("name", "present")
        return f"{name} (synthetic)" if value.get("embedded") else name
    return "none" if value is None else str(value)


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


def _stand_ins(used: Iterable[DatasetConfig]) -> tuple[str, str]:
    """Name the data sets that generated figures stand in for, and those of which only a part is used."""
    generated = sorted({dataset.name for dataset in used if dataset.synthetic})
    partial = sorted({f"{dataset.subset} for {dataset.name}" for dataset in used if dataset.subset})
    return ", ".join(generated), ", ".join(partial)


def why_incomparable(finetunes: Iterable[str], plan: Plan) -> str | None:
    """Say why numbers of these finetunings can't be held against printed ones; None where they can."""
    generated, partial = _stand_ins(datasets(finetunes, plan))
    if generated:
        return f"generated figures stand in for {generated}"
    return f"only parts of the data sets are used ({partial})" if partial else None


def data_note(plan: Plan) -> str:
    """Say what kind of data a scale's numbers come from."""
    generated, partial = _stand_ins(plan.datasets.values())
    if partial:
        return (
            f"**The data are real, but only parts of the data sets are used ({partial}): these numbers are not"
            " comparable with the printed ones.**"
        )
    if generated:
        return (
            f"**The data are generated figures that stand in for {generated}: these numbers show that the pipeline"
            " works and learns. They are not comparable with the printed ones.**"
        )
    return "All data sets are the real ones."


def measured_on(finetunes: tuple[str, ...], results: Results) -> str:
    """Say what numbers were measured on: seeds, splits, devices, commits, torch versions and data."""
    found = [results.finetunes[i] for i in finetunes if i in results.finetunes]
    facts = [f"scale {results.plan.scale}", f"{len(found)} of {len(finetunes)} finetunings done"]
    for name, shown in zip(("seed", "split", *TOLD), ("seeds", "splits", *TOLD), strict=True):
        facts.append(f"{shown} {', '.join(sorted({str(run[name]) for run in found})) or 'pending'}")
    names = [dataset.name for dataset in datasets(finetunes, results.plan) if dataset.name in results.digests]
    facts.append("data " + (", ".join(f"{name} ({results.digests[name]})" for name in names) or "pending"))
    return f"Measured on: {'; '.join(facts)}."


@dataclass(frozen=True)
class Spent:
    """One stage's cost so far; an interrupted job counts from its last start."""

    stage: str  # pretraining, finetuning (with its test) or probes
    runs: int  # distinct runs with results
    jobs: int  # finished jobs; a pretraining that keeps several epochs has one for each
    device_hours: float  # seconds times devices, added up
    wall_seconds: float  # added up over jobs, whether or not they ran side by side
    devices: dict[str, int]  # names of the devices, sorted, each with the jobs that ran on it


def spent(results: Results) -> list[Spent]:
    """Add up what the finished runs of a scale took, by stage; those that can't be used are left out."""
    stages = {"pretraining": [(run_id, found) for (run_id, _), found in results.pretrains.items()]}
    stages |= {"finetuning": list(results.finetunes.items()), "probes": list(results.probe_metrics.items())}
    entries = []
    for stage, finished in stages.items():
        hours = sum(final["seconds"] * split_device(final["device"])[0] / 3600 for _, final in finished)
        wall = sum(final["seconds"] for _, final in finished)
        devices = Counter(final["device"] for _, final in finished)
        runs = len({run_id for run_id, _ in finished})
        entries.append(Spent(stage, runs, len(finished), hours, wall, dict(sorted(devices.items()))))
    return entries
