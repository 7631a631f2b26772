"""The status of a results folder as text for a terminal."""

import time
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from mac.pipeline import STAGES
from mac.runtime.progress import DOING, rows_text, time_text
from mac.runtime.status import Status, Work

MOST = 3  # rows that are named of a run


def write(found: Status, results: Path, scale: str, now: float | None = None) -> str:
    """Write all that is known of a results folder, what needs a person last but one."""
    now = now or time.time()
    lines = [f"{results}, scale {scale}" if results.is_dir() else f"{results}: not there yet. Scale {scale}", ""]
    lines += [_counts(found), ""]
    lines += _section("Running", found.running, lambda work: _running(work, now))
    lines += _section("Failed", found.failed, lambda work: _ended(work, now))
    lines += _section("Interrupted", found.interrupted, lambda work: _ended(work, now))
    used = ", ".join(f"{title(name)} {_bytes(size)}" for name, size in found.disk.items() if size)
    total = f"; in all {_bytes(sum(found.disk.values()))}" if used else "nothing"
    lines.append(f"Disk: {used}{total}, free {_bytes(found.free)}")
    return "\n".join(lines)


def title(stage: str) -> str:
    """Name a stage in a few words."""
    return STAGES[stage].title.split(":")[0] if stage in STAGES else stage


def _counts(found: Status) -> str:
    """How many results of each stage are done, and what becomes of the others."""
    rows = []
    for stage, (done, planned) in found.counts.items():
        own = [len({w.name for w in found.of(kind, stage)}) for kind in ("running", "failed", "interrupted")]
        rows.append([title(stage), done, *own, max(planned - done - sum(own), 0)])
    return tabulate(rows, headers=["", "done", "running", "failed", "interrupted", "waiting"])


def _section(name: str, every: list[Work], tell: Callable[[Work], list[str]]) -> list[str]:
    told = [line for work in every for line in tell(work)]
    return [f"{name}: {len(every)}", *(f"  {line}" for line in told), ""] if every else [f"{name}: nothing", ""]


def _running(work: Work, now: float) -> list[str]:
    facts = [work.where]
    if far := work.far:
        facts.append(f"epoch {far.epoch + 1} of {far.until}" if far.epoch < far.until else "testing")
        facts += [f"{far.clips_per_second:g} clips/s"] if far.clips_per_second else []
        facts += [time_text(far.seconds_left(now))] if far.epoch < far.until else []
    return [f"{_name(work)}: {', '.join(filter(None, facts))}"]


def _ended(work: Work, now: float) -> list[str]:
    """Say which work ended, when and where, with the last lines of its own log and the way out."""
    at = f", after epoch {work.far.epoch} of {work.far.until}" if work.far else ""
    where = f" on {work.where}" if work.where else ""
    told = [f"{_name(work)}{at}, {_ago(now - work.since)}{where}"]
    if work.end.lines:
        told += [f"  {work.log} ends:", *(f"    {line}" for line in work.end.lines)]
    return [*told, f"  {work.end.way_out}"]


def _name(work: Work) -> str:
    rows = f" {rows_text(work.rows, MOST)}" if work.rows else ""
    return f"{DOING.get(work.rule, work.rule)}{rows} ({work.name})"


def _ago(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} minutes ago"
    return f"{minutes / 60:.0f} hours ago" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} days ago"


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
