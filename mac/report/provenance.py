"""Where numbers come from: data and machines; for a finetuning or probe, how it differs from the default."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mac.config import DatasetConfig, StartConfig
from mac.plan import Plan
from mac.report.results import Results


class Change(NamedTuple):
    """A value that differs from the default row's."""

    key: str
    default: str
    here: str


def changes(plan: Plan, run_id: str) -> list[Change]:
    """List what a finetuning and its pretraining have otherwise than the default row; repeats left out.

    Of a probe, which has no training of its own, it lists what it starts from and is tested on.
    """
    config, ignored = plan.tested[run_id].config, {"pretrain_id", "epoch", "label_draw"}
    default = plan.experiment.finetuning(config.seed, config.split, "pretrained").canonical()
    if run_id in plan.probes:
        ignored |= (default.keys() | type(config).model_fields.keys()) - StartConfig.model_fields.keys()
    found = differences("", default, config.canonical())
    found = [change for change in found if change.key.split(".")[0] not in ignored]
    if config.pretrain_id:
        own = plan.pretrainings[config.pretrain_id].config
        base = plan.experiment.pretraining(config.seed, config.split).canonical()
        pretraining = differences("pretrain", base, own.canonical())
        found += [change for change in pretraining if not change.key.startswith("pretrain.model.")]
        if config.epoch != own.optimiser.epochs:
            found.append(Change("epoch of the checkpoint", str(own.optimiser.epochs), str(config.epoch)))
    return found


def differences(key: str, default: Any, here: Any, into_data: bool = False) -> Iterator[Change]:
    """Yield what differs under a dotted key; a section that one side lacks is one difference.

    Another data set is one difference, too, unless ``into_data`` asks for each of its values.
    """
    if default == here:
        return
    are_sections = isinstance(default, dict) and isinstance(here, dict)
    if are_sections and (into_data or not key.endswith("dataset")):
        for name in dict.fromkeys([*default, *here]):
            own = f"{key}.{name}" if key else name
            yield from differences(own, default.get(name), here.get(name), into_data)
    else:
        yield Change(key, _text(default), _text(here))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("subset") or value.get("name", "present")
        return f"{name} (synthetic)" if value.get("embedded") else name
    return "none" if value is None else str(value)


def _datasets(runs: Iterable[str], plan: Plan) -> list[DatasetConfig]:
    """Data sets that finetunings, probes and their pretrainings use, each once, by name."""
    tested = plan.tested
    configs = [tested[i].config for i in runs]
    configs += [plan.pretrainings[config.pretrain_id].config for config in configs if config.pretrain_id]
    used = {config.store.dataset.name: config.store.dataset for config in configs}
    return [used[name] for name in sorted(used)]


def _not_the_papers(used: Iterable[DatasetConfig]) -> tuple[str, str]:
    """Name the data sets that are generated instead of real, and those of which only a part is used."""
    generated = sorted({dataset.name for dataset in used if dataset.synthetic})
    partial = sorted({f"{dataset.subset} for {dataset.name}" for dataset in used if dataset.subset})
    return ", ".join(generated), ", ".join(partial)


def why_incomparable(runs: Iterable[str], plan: Plan) -> str | None:
    """Say why numbers of these finetunings or probes can't be held against printed ones; None where they can."""
    generated, partial = _not_the_papers(_datasets(runs, plan))
    if generated:
        return f"generated figures stand in for {generated}"
    return f"only parts of the data sets are used ({partial})" if partial else None


def data_note(plan: Plan) -> str:
    """Say what kind of data a scale's numbers come from."""
    generated, partial = _not_the_papers(plan.datasets.values())
    if generated:
        return (
            f"**The data are generated figures that stand in for {generated}: these numbers can show that the pipeline"
            " works, and nothing about real video. They are not comparable with the printed ones.**"
        )
    if partial:
        return (
            f"**The data are real, but only parts of the data sets are used ({partial}): these numbers are not"
            " comparable with the printed ones.**"
        )
    return "All data sets are the real ones."


def measured_on(runs: Iterable[str], results: Results) -> str:
    """Say what the numbers of runs were measured on: seeds, splits, devices, commits, torch versions, lock and data."""
    planned, metrics = tuple(runs), results.metrics["finetune"] | results.metrics["probe"]
    found = [metrics[i] for i in planned if i in metrics]
    facts = [f"scale {results.plan.scale}"]
    for name, known in (("finetunings", results.plan.finetunings), ("probes", results.plan.probes)):
        if own := [i in metrics for i in planned if i in known]:
            facts.append(f"{sum(own)} of {len(own)} {name} done")
    for shown in ("seeds", "splits", "device", "commit", "torch"):
        values = sorted({str(run[shown.removesuffix("s")]) for run in found})
        facts.append(f"{shown} {', '.join(values) or 'pending'}")
    if any("lock" in run for run in found):  # a report of runs that are older than the lock stays as it is
        facts.append("lock " + " and ".join(sorted({str(run.get("lock", "not recorded")) for run in found})))
    names = [dataset.name for dataset in _datasets(planned, results.plan) if dataset.name in results.digests]
    facts.append("data " + (", ".join(f"{name} ({results.digests[name]})" for name in names) or "pending"))
    return f"Measured on: {'; '.join(facts)}."
