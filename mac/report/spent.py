"""What finished runs took: device hours by stage, from the metrics they left. No torch."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from mac.costs.throughput import split_device
from mac.report.results import Results


@dataclass(frozen=True)
class Spent:
    """One stage's cost so far.

    Attributes:
        stage: ``pretraining``, ``finetuning`` (with its test) or ``probes``.
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


def spent(results: Results) -> list[Spent]:
    """Add up what the finished runs of a scale took; those that can't be used are left out.

    Returns:
        One entry a stage, in the order of the work; without runs its numbers are zero.
    """
    pretrainings = [(run_id, found) for (run_id, _), found in results.pretrains.items()]
    tested = {"finetuning": results.finetunes, "probes": results.probe_metrics}
    return [_spent("pretraining", pretrainings), *(_spent(stage, list(runs.items())) for stage, runs in tested.items())]


def _spent(stage: str, finished: list[tuple[str, dict[str, Any]]]) -> Spent:
    hours, devices = 0.0, Counter()
    for _, final in finished:
        hours += final["seconds"] * split_device(final["device"])[0] / 3600
        devices[final["device"]] += 1
    wall = sum(final["seconds"] for _, final in finished)
    return Spent(stage, len({run for run, _ in finished}), len(finished), hours, wall, dict(sorted(devices.items())))
