"""The overview: what all benchmarks found against their goals, computed from the results they left."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import goals
from benchmarks.harness import RESULTS, markdown


@dataclass(frozen=True)
class Finding:
    """One number, and the least (``at_least``) or most it was to be."""

    what: str
    value: float
    goal: float | None = None
    at_least: bool = True

    def row(self, date: str) -> list[str]:
        """Spell it out."""
        reached = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.2f}"
        if self.goal is None:
            return [self.what, reached, "", "", date]
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        return [self.what, reached, f"{'≥' if self.at_least else '≤'} {self.goal:g}", "met" if met else "missed", date]


def overview(folder: Path = RESULTS) -> str:
    """Tabulate every benchmark's findings; those without results are left out."""
    rows, machines = [], set()
    for name, find in FINDINGS.items():
        path = folder / f"{name}.json"
        if path.is_file():
            facts = json.loads(path.read_text(encoding="utf-8"))
            known = facts["machine"]
            machines.add(f"{known['processor']}, {known['cores']} cores")
            rows += [finding.row(known["date"]) for finding in find(facts)]
    note = f"Machines: {'; '.join(sorted(machines))}. What stands behind each line is below."
    return "\n\n".join(["## Overview", markdown(["", "reached", "goal", "", "date"], rows), note])


def _clips(facts: dict) -> Iterator[Finding]:
    speed = facts["clips_per_second"]
    others = [speed[name] for name in speed if name.startswith("originals")]
    yield Finding("clips from the store ÷ the fastest decoder of originals", speed["store (JPEG)"] / max(others))


def _feed(facts: dict) -> Iterator[Finding]:
    for one in facts["measured"]:
        where = f"{one['size'][0]}×{one['size'][1]}, {'through a worker' if one['workers'] else 'without a worker'}"
        yield Finding(f"feed, clips a core-second, {where}", one["clips_per_core_second"], goals.FEED)


def _masks(facts: dict) -> Iterator[Finding]:
    for preset, kind, peer, goal in (
        ("release", "soft", "(a)", goals.SOFT_MASKS),
        ("paper", "binary", "(b)", goals.BINARY_MASKS),
    ):
        speed = facts["clips_per_second"][preset]
        other = next(value for name, value in speed.items() if name.startswith(peer))
        against = {"(a)": "OpenCV and NumPy frame by frame", "(b)": "OpenCV's 8-bit operations"}[peer]
        ratio = speed["ours, from the view's clip"] / other
        yield Finding(f"{kind} masks ÷ {against}", ratio, goal)


def _views(facts: dict) -> Iterator[Finding]:
    ours, *peers = facts["clips_per_second"].values()
    yield Finding("views ÷ the better of torchvision and kornia", ours / max(peers), goals.VIEWS)


def _step(facts: dict) -> Iterator[Finding]:
    for what, found in facts["measured"].items():
        ours = found.get("ours", {}).get("clips_per_second")
        if ours:
            bare = max(values["clips_per_second"] for name, values in found.items() if name.startswith("bare loop"))
            yield Finding(f"step on a CPU ÷ the better bare loop: {what}", ours / bare, goals.STEP["÷ bare loop (CPU)"])


def _overhead(facts: dict) -> Iterator[Finding]:
    for name, ratio in facts["ratios"].items():
        if name != "bare loop":
            yield Finding(f"training with {name} ÷ bare", ratio, goals.OVERHEAD)


def _start(facts: dict) -> Iterator[Finding]:
    spent = facts["spent"]
    wall = {"dry": "dry run of `paper`", "again": "run with nothing left to do", "help": "`mac --help`"}
    for key, what in wall.items():
        yield Finding(f"{what}, s", spent[key]["wall"], goals.START[key], at_least=False)
    for key in ("job", "track run", "pretrain", "finetune"):
        what = "a job that does nothing" if key == "job" else f"start of `mac {key}`"
        yield Finding(f"{what}, CPU s", spent[key]["cpu"], goals.START["start"], at_least=False)


def _planning(facts: dict) -> Iterator[Finding]:
    for command, spent in facts["spent"]["rows"]["2000"].items():
        yield Finding(f"{command} of 2,000 rows, CPU s", spent["cpu"], goals.ROWS, at_least=False)
    for what, (wall, *_) in facts["exponents"].items():
        yield Finding(f"exponent of seconds: {what}", wall, goals.GROWTH, at_least=False)


def _growth(facts: dict) -> Iterator[Finding]:
    for what, power in facts["exponents"].items():
        yield Finding(f"exponent in videos: {what}", power, goals.GROWTH, at_least=False)


def _devices(facts: dict) -> Iterator[Finding]:
    yield Finding("exponent of one training's throughput in devices, simulated", facts["simulated"]["exponent"])


def _gpu(facts: dict) -> Iterator[Finding]:
    device = facts["machine"]["gpu"]
    for one in (e["entry"] for e in facts.get("throughput", ())):
        if one["backbone"] == "r2plus1d_18" and one["stage"] != "test":
            what = f"{one['stage']}, {one['backbone']}, {one['passes']} passes, {one['precision']}, on one {device}"
            yield Finding(f"{what}, clips/s", one["clips_per_second"])
    if "snapshots" in facts:
        seconds = statistics.median(facts["snapshots"]["seconds"])
        yield Finding(f"a snapshot of the default pretraining, on one {device}, s", seconds)


FINDINGS = {
    "masks": _masks,
    "views": _views,
    "clips": _clips,
    "feed": _feed,
    "step": _step,
    "overhead": _overhead,
    "start": _start,
    "planning": _planning,
    "growth": _growth,
    "devices": _devices,
    "gpu": _gpu,
}
