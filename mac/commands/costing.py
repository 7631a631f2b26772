"""``plan``: what a scale trains, which rows share it, what is done, and what the rest costs."""

import argparse
import json
from dataclasses import asdict, dataclass

from mac import plan as planning
from mac.costs import throughput as pace
from mac.costs.disk import Disk, disk
from mac.costs.estimate import Hours, amounts, hours
from mac.costs.sizes import Sizes
from mac.costs.work import RunState, states
from mac.validation import ConfigError

STAGES = {"pretrain": "pretraining", "finetune": "finetuning", "test": "testing"}


@dataclass(frozen=True)
class Costs:
    """All that is printed of a plan."""

    plan: planning.Plan
    states: list[RunState]
    hours: dict[str, list[Hours]]
    disk: list[Disk]
    origins: dict[str, str]


def show(arguments: argparse.Namespace) -> None:
    """Print what a scale needs and what it costs."""
    costs = reckon(arguments)
    print(_json(costs) if arguments.json else "\n".join(_runs(costs) + _totals(costs)))


def reckon(arguments: argparse.Namespace) -> Costs:
    """Estimate a scale's costs.

    Raises:
        ConfigError: a file of the configuration is wrong, or nothing is known of the device asked for.
    """
    plan = planning.load(arguments.config_dir, arguments.scale)
    results = arguments.results if arguments.results and arguments.results.is_dir() else None
    sizes = Sizes(arguments.config_dir, results)
    path = arguments.config_dir / "throughput.yaml"
    listed = pace.load(path)
    known = pace.Throughput(list(pace.own_rates(results)) if results else [], listed)
    devices = [name for name in known.devices if (arguments.device or "").lower() in name.lower()]
    if not devices:
        found = ", ".join(known.devices)
        raise ConfigError(
            [f"--device {arguments.device}: nothing is known of it. Known: {found}; measure it and add it to {path}"]
        )
    runs = list(states(plan, results, sizes.sides))
    waiting = listed.sharing.seconds if listed.sharing else 0.0
    return Costs(
        plan,
        runs,
        {device: hours(runs, known, device, arguments.gpus_per_run, waiting) for device in devices},
        disk(plan, results, sizes, listed.frames),
        {f"{d.name} ({d.subset})" if d.subset else d.name: sizes.find(d).origin for d in plan.datasets.values()},
    )


def _runs(costs: Costs) -> list[str]:
    plan = costs.plan
    segments = sum(len(p.epochs) for p in plan.pretrainings.values())
    lines = [
        f"Scale {plan.scale}: {len(plan.tables)} tables and curves",
        f"{len(plan.datasets)} data sets, {len(plan.cards)} mask cards, {len(plan.probes)} probes",
    ]
    by_id = {state.run: state for state in costs.states}
    rows = []
    for run_id, p in plan.pretrainings.items():
        kept = ", ".join(map(str, sorted(p.epochs)))
        network, data = _network(p.config), p.config.store.dataset.name
        rows.append([run_id, network, data, f"epochs {kept}", *_work(by_id[run_id]), "; ".join(p.used_by)])
    lines += [f"{len(plan.pretrainings)} pretrainings ({segments} jobs):", *_aligned(rows)]
    rows = []
    for run_id, f in plan.finetunings.items():
        start = f"from {f.config.pretrain_id} at {f.config.epoch}" if f.config.pretrain_id else f.config.initial
        network, data = _network(f.config), f.config.store.dataset.name
        rows.append([run_id, network, data, start, *_work(by_id[run_id]), "; ".join(f.used_by)])
    return [*lines, f"{len(plan.finetunings)} finetunings:", *_aligned(rows), ""]


def _network(config: object) -> str:
    return f"{config.model.backbone}/{config.model.width}" if config.model.width != 64 else config.model.backbone


def _work(state: RunState) -> list[str]:
    return [f"{state.work[0].steps:,} steps", state.words]


def _totals(costs: Costs) -> list[str]:
    pretrain, finetune = ([s for s in costs.states if s.stage == stage] for stage in ("pretrain", "finetune"))
    counts = {"pretrain": pretrain, "finetune": finetune, "test": finetune}
    rows = [["Work", "runs", "done", "begun", "steps", "left", "clips", "left"]]
    for stage, amount in amounts(costs.states).items():
        runs = counts[stage]
        done, begun = sum(s.finished for s in runs), sum(bool(s.epoch) and not s.finished for s in runs)
        numbers = (len(runs), done, begun, amount.steps, amount.steps_left, amount.clips, amount.clips_left)
        rows.append([STAGES[stage], *(f"{n:,}" for n in numbers)])
    lines = _aligned(rows, numbers=True)
    rows = [["Device hours left (of all)", *STAGES.values(), "total", "known from"]]
    for device, stages in costs.hours.items():
        cells = [_hours(h.left, h.total) for h in stages]
        known = [h for h in stages if h.total is not None]
        whole = _hours(sum(h.left for h in known), sum(h.total for h in known)) if len(known) == len(stages) else "?"
        rows.append([device, *cells, whole, _sources(stages)])
    lines += ["", *_aligned(rows, numbers=True, last_is_text=True)]
    rows = [["Disk, GB", "there", "all"]]
    rows += [[d.what, f"{d.there / 1e9:,.2f}", f"{d.total / 1e9:,.2f}"] for d in costs.disk]
    rows.append(["total", *(f"{sum(getattr(d, n) for d in costs.disk) / 1e9:,.2f}" for n in ("there", "total"))])
    lines += ["", *_aligned(rows, numbers=True)]
    used = dict.fromkeys(source for stages in costs.hours.values() for h in stages for source in h.sources)
    lines += ["", "Videos counted by: " + ", ".join(f"{name}: {origin}" for name, origin in costs.origins.items())]
    lines += [f"{source}: {pace.SOURCES[source]}" for source in used]
    lines += [
        "Not counted: downloading, decoding and extracting videos, person boxes, probes, start-ups, saving, MLflow."
    ]
    return lines


def _hours(left: float | None, total: float | None) -> str:
    if left is None or total is None:
        return "?"
    return f"{_number(left)} ({_number(total)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _sources(stages: list[Hours]) -> str:
    """The sources with their shares of the hours, the largest first."""
    sums: dict[str, float] = {}
    for stage in stages:
        for source, spent in stage.sources.items():
            sums[source] = sums.get(source, 0.0) + spent
    whole = sum(sums.values()) or 1.0
    named = sorted(sums.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{source.upper() if source == 'assumed' else source} {100 * spent / whole:.0f} %" for source, spent in named
    )


def _aligned(rows: list[list[str]], numbers: bool = False, last_is_text: bool = False) -> list[str]:
    """Rows as columns of one width each: text to the left, numbers to the right; the last column of text is ragged."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            is_number = numbers and i and not (last_is_text and i == last)
            cells.append(cell.rjust(width) if is_number else cell if i == last else cell.ljust(width))
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _json(costs: Costs) -> str:
    runs = {
        s.run: {"stage": s.stage, "state": s.words, "finished": s.finished, "work": [asdict(w) for w in s.work]}
        for s in costs.states
    }
    used = {**costs.plan.pretrainings, **costs.plan.finetunings}
    for run_id, run in runs.items():
        run["used_by"] = used[run_id].used_by
    content = {
        "scale": costs.plan.scale,
        "runs": runs,
        "work": {stage: asdict(amount) for stage, amount in amounts(costs.states).items()},
        "device_hours": {device: [asdict(h) for h in stages] for device, stages in costs.hours.items()},
        "disk_bytes": [d._asdict() for d in costs.disk],
        "videos_counted_by": costs.origins,
    }
    return json.dumps(content, indent=1, ensure_ascii=False)
