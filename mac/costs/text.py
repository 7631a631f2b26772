"""What a scale trains, which rows share it, what is done, and what the rest costs: as text, or as JSON."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from mac import plan as planning
from mac.costs import estimate, throughput
from mac.overrides import NO_OVERRIDES, Overrides
from mac.validation import ConfigError

STAGES = {"pretrain": "pretraining", "finetune": "finetuning", "test": "testing", "probe": "probing"}


@dataclass(frozen=True)
class Costs:
    """All that is printed of a plan: its work, the hours by device, the disk, and by what its videos were counted.

    ``repeated`` are the costs of the scale ``NAME-3-seeds``, where there is one and this one has a single seed.
    """

    plan: planning.Plan
    work: pd.DataFrame
    hours: dict[str, pd.DataFrame]
    disk: pd.DataFrame
    origins: dict[str, str]
    repeated: "Costs | None" = None


def write(costs: Costs) -> str:
    """Say what a scale needs and what it costs."""
    return "\n".join([*_runs(costs), *_totals(costs), *_three_seeds(costs)])


def reckon(
    config_dir: Path,
    scale: str,
    results: Path | None = None,
    device: str | None = None,
    gpus_per_run: int = 1,
    overrides: Overrides = NO_OVERRIDES,
) -> Costs:
    """Estimate a scale's costs.

    Args:
        config_dir: the configuration folder.
        scale: a file in its ``scales``.
        results: results folder; what is done there is subtracted, and the speed of its runs is used.
        device: only the devices with this in their name.
        gpus_per_run: devices that share each training, at least 1.
        overrides: rows from the command line, in addition.

    Raises:
        ConfigError: a file of the configuration is wrong, or nothing is known of the device asked for.
    """
    plan = planning.load(config_dir, scale, overrides)
    results = results or estimate.NOWHERE
    path = config_dir / "throughput.yaml"
    listed = throughput.load(path)
    known = throughput.own_rates(results) + throughput.measurements(listed)
    every = list(dict.fromkeys([*(o.device for o in known), *(assumption.device for assumption in listed.assumed)]))
    devices = [name for name in every if (device or "").lower() in name.lower()]
    if not devices:
        way_out = f"Known: {', '.join(every)}; measure it and add it to {path}"
        raise ConfigError([f"--device {device}: nothing is known of it. {way_out}"])
    sizes = estimate.sizes(plan, config_dir, results)
    work = estimate.work(plan, sizes, results)
    more, repeated = f"{scale}-3-seeds", None
    if len(plan.experiment.seeds) == 1 and more in planning.scales(config_dir):
        repeated = reckon(config_dir, more, results, device, gpus_per_run)
    return Costs(
        plan,
        work,
        {name: estimate.hours(work, name, known, listed, gpus_per_run) for name in devices},
        estimate.disk(plan, sizes, listed, results),
        {f"{d.name} ({d.subset})" if d.subset else d.name: sizes[i].origin for i, d in plan.datasets.items()},
        repeated,
    )


def _runs(costs: Costs) -> list[str]:
    """Every training with its network, data, length, state and the rows that share it."""
    plan, first = costs.plan, costs.work.drop_duplicates("run").set_index("run")
    segments = sum(len(p.epochs) for p in plan.pretrainings.values())
    starts = {i: f"epochs {', '.join(map(str, sorted(p.epochs)))}" for i, p in plan.pretrainings.items()}
    for i, config in ((i, f.config) for i, f in plan.finetunings.items()):
        starts[i] = f"from {config.pretrain_id} at {config.epoch}" if config.pretrain_id else config.initial
    lines = [
        f"Scale {plan.scale}: {len(plan.tables)} tables and curves",
        f"{len(plan.datasets)} data sets, {len(plan.mask_checks)} mask checks, {len(plan.probes)} probes",
    ]
    heads = f"{len(plan.pretrainings)} pretrainings ({segments} jobs):", f"{len(plan.finetunings)} finetunings:"
    for head, runs in zip(heads, (plan.pretrainings, plan.finetunings), strict=True):
        rows = []
        for run_id, run in runs.items():
            model, data, row = run.config.model, run.config.store.dataset.name, first.loc[run_id]
            network = model.backbone if model.width == 64 else f"{model.backbone}/{model.width}"
            done = (f"{row['steps']:,} steps", row["state"])
            rows.append([run_id, network, data, starts[run_id], *done, "; ".join(run.used_by)])
        lines += [head, _aligned(rows)]
    return lines


def _totals(costs: Costs) -> list[str]:
    """The work by stage, the hours by device, the disk, and where the numbers are from."""
    rows, totals = [["Work", "runs", "done", "begun", "steps", "left", "clips", "left"]], _by_stage(costs.work)
    for stage, total in totals.iterrows():
        is_own = costs.work["run"].isin(list(costs.plan.finetunings)) if stage == "test" else True
        states = costs.work[(costs.work["stage"] == stage) & is_own]["state"]
        done, is_open = (int((states == state).sum()) for state in ("done", "open"))
        work = total[["steps", "steps_left", "clips", "clips_left"]].astype(int)
        rows.append([STAGES[stage], *(f"{n:,}" for n in (len(states), done, len(states) - done - is_open, *work))])
    hours = [["Device hours left (of all)", *(STAGES[stage] for stage in totals.index), "total", "known from"]]
    for device, found in costs.hours.items():
        stages = _by_stage(found)[["left", "hours"]]
        cells = [_hours(*pair) for pair in (*stages.itertuples(index=False), stages.sum(skipna=False))]
        hours.append([device, *cells, _sources(found)])
    disk = [*costs.disk.itertuples(index=False), ("total", *costs.disk[["total", "there"]].sum())]
    disk = [[what, f"{there / 1e9:,.2f}", f"{total / 1e9:,.2f}"] for what, total, there in disk]
    tables = (rows, 7), (hours, len(totals) + 1), ([["Disk, GB", "there", "all"], *disk], 2)
    lines = [line for table, numbers in tables for line in ("", _aligned(table, numbers))]
    lines += ["", "Videos counted by: " + ", ".join(f"{name}: {origin}" for name, origin in costs.origins.items())]
    used = pd.concat(costs.hours.values())["source"].dropna().unique()
    lines += [f"{source}: {throughput.SOURCES[source]}" for source in used]
    left_out = "downloading, decoding and extracting videos, person boxes, start-ups, saving, MLflow"
    return [*lines, f"Not counted: {left_out}."]


def _three_seeds(costs: Costs) -> list[str]:
    """Say in one line what claims about the method need besides this scale."""
    if not (more := _more(costs)):
        return []
    numbers = {device: "?" if left is None else _number(left) for device, left in more["device_hours"].items()}
    hours = ", ".join(f"{number} on {device}" for device, number in numbers.items())
    runs = f"{more['pretrainings']} more pretrainings and {more['finetunings']} more finetunings"
    head = f"Claims about the method need three trainings a side (scale {more['scale']})"
    return ["", f"{head}: {runs}; device hours: {hours}."]


def _more(costs: Costs) -> dict[str, Any] | None:
    """Count the runs that the scale of three seeds still needs besides this one's, and their hours by device."""
    if not costs.repeated:
        return None
    work = costs.repeated.work
    left = work[~work["run"].isin(costs.work["run"]) & (work["state"] != "done")]
    hours = {device: found["left"][left.index].sum(skipna=False) for device, found in costs.repeated.hours.items()}
    return {
        "scale": costs.repeated.plan.scale,
        **{f"{STAGES[stage]}s": int((left["stage"] == stage).sum()) for stage in ("pretrain", "finetune")},
        "device_hours": {device: _or_none(total) for device, total in hours.items()},
    }


def _by_stage(work: pd.DataFrame) -> pd.DataFrame:
    """Sums of each stage that the plan has; missing hours stay missing."""
    sums = work.groupby("stage").sum(numeric_only=True, skipna=False)
    return sums.loc[[stage for stage in STAGES if stage in sums.index]]


def _hours(left: float, total: float) -> str:
    return "?" if pd.isna(total) else f"{_number(left)} ({_number(total)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _sources(found: pd.DataFrame) -> str:
    """The sources with their shares of the hours, the largest first; what is assumed in capitals."""
    shares = 100 * found.groupby("source")["hours"].sum().sort_values(ascending=False) / found["hours"].sum()
    return ", ".join(f"{'ASSUMED' if name == 'assumed' else name} {share:.0f} %" for name, share in shares.items())


def _aligned(rows: list[list[str]], numbers: int = 0) -> str:
    """Rows as columns of one width each; so many columns after the first one are numbers, aligned to the right."""
    align = ["left", *["right"] * numbers, *["left"] * (len(rows[0]) - numbers - 1)]
    return textwrap.indent(tabulate(rows, tablefmt="plain", colalign=align, disable_numparse=True), "  ")


def write_json(costs: Costs) -> str:
    """The same for programs."""
    trained = {**costs.plan.pretrainings, **costs.plan.finetunings, **costs.plan.probes}
    work = costs.work.assign(kind=[kind.model_dump() for kind in costs.work["kind"]])
    runs = {}
    for run, own in work.groupby("run", sort=False):
        state = own["state"].iloc[0]
        runs[run] = {"stage": own["stage"].iloc[0], "state": state, "finished": state == "done"}
        runs[run] |= {"work": own.drop(columns=["run", "state"]).to_dict("records"), "used_by": trained[run].used_by}
    hours = {device: [] for device in costs.hours}
    for device, found in costs.hours.items():
        for stage, total in _by_stage(found).iterrows():
            known = {"total": _or_none(total["hours"]), "left": _or_none(total["left"])}
            sources = found[found["stage"] == stage].groupby("source")["hours"].sum().to_dict()
            hours[device].append({"device": device, "stage": stage, **known, "sources": sources})
    content = {
        "scale": costs.plan.scale,
        "runs": runs,
        "work": _by_stage(costs.work).drop(columns="done").astype(int).to_dict("index"),
        "device_hours": hours,
        "disk_bytes": costs.disk.to_dict("records"),
        "videos_counted_by": costs.origins,
        "three_seeds": _more(costs),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _or_none(value: float) -> float | None:
    return None if pd.isna(value) else value
