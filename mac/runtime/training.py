"""How far a training is that runs or was stopped, by the journal in its folder ``running…``."""

import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mac.tracking import journal


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        begun: the epoch it set out from.
        epoch: epochs done.
        until: the epoch it ends at.
        device: its name.
        clips_per_second: in the newest epoch; None before the first has ended.
        seconds_per_epoch: the median of the newest five; None before one has ended.
        last: when an epoch, or else the training, last ended or began [s since 1970].
    """

    begun: int
    epoch: int
    until: int
    device: str
    clips_per_second: float | None
    seconds_per_epoch: float | None
    last: float

    @property
    def share(self) -> float:
        """How much of the training is done, in [0, 1]."""
        return (self.epoch - self.begun) / max(self.until - self.begun, 1)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until its last epoch ends; None while nobody knows."""
        if self.seconds_per_epoch is None:
            return None
        into = min(now - self.last, self.seconds_per_epoch)
        return max((self.until - self.epoch) * self.seconds_per_epoch - max(into, 0.0), 0.0)


def progress(folder: Path, before: float = float("inf")) -> Progress | None:
    """Read how far the training in a folder ``running…`` is; None where nothing can be read of it.

    Args:
        folder: has the training's ``journal.jsonl``.
        before: how far it was at this time [s since 1970].
    """
    try:
        events = [event for event in journal.read(folder / "journal.jsonl") if event["time"] < before]
        start = next(event for event in events if event["event"] == "start")
        return _progress(start, events)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):  # being written, or cut off by a crash
        return None


def _progress(start: dict[str, Any], events: list[dict[str, Any]]) -> Progress:
    epochs = [event for event in events if "clips_per_second" in event]
    marks = [event for event in events if "clips_per_second" in event or event["event"] in ("start", "continued")]
    took = [
        event["time"] - previous["time"]
        for previous, event in pairwise(marks)
        if event["epoch"] == previous["epoch"] + 1 and previous["event"] != "continued"
    ]
    return Progress(
        begun=start["epoch"],
        epoch=marks[-1]["epoch"],
        until=start["until"],
        device=start["device"],
        clips_per_second=epochs[-1]["clips_per_second"] if epochs else None,
        seconds_per_epoch=statistics.median(took[-5:]) if took else None,
        last=marks[-1]["time"],
    )
