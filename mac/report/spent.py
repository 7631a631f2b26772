"""What finished runs took: device hours by stage, from the metrics they left. No torch."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

FILES = {"pretraining": "pretrain/*/epoch_*.json", "finetuning": "finetune/*/metrics.json"}


@dataclass(frozen=True)
class Spent:
    """One stage's cost so far.

    Attributes:
        stage: ``pretraining`` or ``finetuning`` (with its test).
        runs: distinct runs with results.
        jobs: finished jobs; a pretraining that keeps several epochs has one for each.
        device_hours: seconds times devices, added up.
        wall_seconds: seconds added up over jobs, whether or not they ran side by side; an interrupted job counts from
            its last start.
        devices: names of the devices, sorted, each with the jobs that ran on it.
    """

    stage: str
    runs: int
    jobs: int
    device_hours: float
    wall_seconds: float
    devices: dict[str, int]


def spent(results: Path, pretrainings: set[str] | None = None, finetunings: set[str] | None = None) -> list[Spent]:
    """Add up what finished runs took.

    Args:
        results: the results folder.
        pretrainings: ids to count; None counts all there are.
        finetunings: likewise.

    Returns:
        One entry a stage, in the order of the work; without runs its numbers are zero.
    """
    wanted = {"pretraining": pretrainings, "finetuning": finetunings}
    return [_spent(results, stage, wanted[stage]) for stage in FILES]


def _spent(results: Path, stage: str, wanted: set[str] | None) -> Spent:
    runs, devices, wall, hours, jobs = set(), {}, 0.0, 0.0, 0
    for path in sorted(results.glob(FILES[stage])):
        if wanted is not None and path.parent.name not in wanted:
            continue
        final = json.loads(path.read_text(encoding="utf-8"))
        several = re.match(r"(\d+) × ", final["device"])
        jobs += 1
        runs.add(path.parent.name)
        wall += final["seconds"]
        hours += final["seconds"] * (int(several[1]) if several else 1) / 3600
        devices[final["device"]] = devices.get(final["device"], 0) + 1
    return Spent(stage, len(runs), jobs, hours, wall, dict(sorted(devices.items())))
