"""The cost of a plan: device hours by stage and device, done and remaining."""

from collections.abc import Iterable
from dataclasses import dataclass

from mac.costs.throughput import Throughput
from mac.costs.work import RunState, Stage, Work

STAGES: tuple[Stage, ...] = ("pretrain", "finetune", "test")


@dataclass(frozen=True)
class Amount:
    """Work of one stage: clips and optimiser steps (batches, for tests), all and remaining."""

    clips: int
    clips_left: int
    steps: int
    steps_left: int


@dataclass(frozen=True)
class Hours:
    """Device hours of one stage on one device: all of the plan's, and those remaining; None where nothing says so.

    ``sources``: how many of the runs' hours are known in which way, by the names of
    :data:`mac.costs.throughput.SOURCES`.
    """

    device: str
    stage: Stage
    total: float | None
    left: float | None
    sources: dict[str, float]


def amounts(states: Iterable[RunState]) -> dict[Stage, Amount]:
    """Add up the work of each stage."""
    found = {}
    for stage in STAGES:
        work = [w for state in states for w in state.work if w.kind.stage == stage]
        found[stage] = Amount(
            sum(w.clips for w in work),
            sum(w.remaining for w in work),
            sum(w.steps for w in work),
            sum(_steps_left(w) for w in work),
        )
    return found


def hours(
    states: Iterable[RunState], throughput: Throughput, device: str, sharing: int = 1, waiting: float = 0.0
) -> list[Hours]:
    """Estimate each stage's hours on one kind of device.

    Args:
        states: of the runs.
        throughput: of the device.
        device: its name.
        sharing: devices that share each training; all of them are counted.
        waiting: seconds they take to wait for each other once (the batch normalisation is taken over all clips).
    """
    states = list(states)
    lost = sharing * waiting if sharing > 1 else 0.0
    return [_hours([w for s in states for w in s.work if w.kind.stage == stage], throughput, device, stage, lost)
            for stage in STAGES]  # fmt: skip


def _hours(work: list[Work], throughput: Throughput, device: str, stage: Stage, lost: float) -> Hours:
    total = left = 0.0
    sources: dict[str, float] = {}
    for one in work:
        pace = throughput.pace(device, one.kind)
        if pace is None:
            return Hours(device, stage, None, None, {})
        a_step = lost * one.kind.synchronisations if pace.source != "own runs" else 0.0  # those have waited already
        spent = (pace.seconds(one.clips, one.steps) + a_step * one.steps) / 3600
        total += spent
        left += (pace.seconds(one.remaining, _steps_left(one)) + a_step * _steps_left(one)) / 3600
        sources[pace.source] = sources.get(pace.source, 0.0) + spent
    return Hours(device, stage, total, left, sources)


def _steps_left(work: Work) -> int:
    return round(work.steps * work.remaining / work.clips) if work.clips else 0
