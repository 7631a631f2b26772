"""Feed: clips per second from disk to tensor of each core that reads, as a training's loader does it."""

import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Finding, machine, markdown, save
from benchmarks.sample import real_store
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.training import processor
from mac.training.batches import in_turn, of_one_epoch, read
from mac.training.usage import cpu_seconds

SIZES = ((171, 128), (192, 144))
FRAMES, STRIDES, BATCH, BATCHES, REPEATS = 16, [1, 2, 3, 4], 32, 9, 5
RATES = (250, 500, 1000, 2000)
GOAL = 250.0  # clips a core-second


def run(data: Path) -> None:
    """Measure reading in the training's own process and in one worker, by the clock and by processor time."""
    processor.prepare("cpu", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        stores = {size: real_store(data / "ucf101-originals", Path(folder) / f"{size[0]}", *size) for size in SIZES}
        ways = [(size, workers) for size in SIZES for workers in (0, 1)]
        turns = [{way: _feed(stores[way[0]], way[1], turn) for way in ways} for turn in range(REPEATS + 1)]
    measured = {way: [statistics.median(turn[way][i] for turn in turns[1:]) for i in (0, 1)] for way in ways}
    rows = [
        [f"{width}×{height}, {'one worker' if workers else 'no worker'}", f"{rate:.0f}", f"{per_core:.0f}"]
        + [str(math.ceil(wanted / per_core)) for wanted in RATES]
        for ((width, height), workers), (rate, per_core) in measured.items()
    ]
    head = ["clips of 16 stored frames, strides 1 to 4", "clips/s", "clips per core-second"]
    note = (
        f"Batches of {BATCH}, from the first to arrive to the last of {BATCHES}. A core-second is a second of processor"
        " time of the reading process and of the one that receives (which other load on the machine doesn't lengthen"
        " much); the last columns are the reading cores that a training of so many clips a second needs. Files lie in"
        f" the system's cache. Goal: ≥ {GOAL:g} clips a second for each core."
    )
    facts = {
        "machine": machine("simplejpeg", "torch", "numpy"),
        "goal": GOAL,
        "measured": [
            {"size": size, "workers": workers, "clips_per_second": rate, "clips_per_core_second": per_core}
            for (size, workers), (rate, per_core) in measured.items()
        ],
    }
    table = markdown([*head, *(f"cores for {wanted:,}/s" for wanted in RATES)], rows)
    findings = [
        Finding(f"feed, clips a core-second, {w}×{h}, {'through a' if workers else 'without a'} worker", per_core, GOAL)
        for ((w, h), workers), (_, per_core) in measured.items()
    ]
    save("feed", "Feed: from disk to tensor", facts, [table, note], findings)


def _feed(store: FrameStore, workers: int, turn: int) -> tuple[float, float]:
    """Read some batches; returns clips per second by the clock and per second of processor time."""
    videos = np.random.default_rng(turn).integers(0, len(store.lengths), BATCHES * BATCH)
    batches = read(store, of_one_epoch(turn, in_turn(videos, BATCH)), _choose, workers=workers)
    next(batches)
    began, before = time.perf_counter(), cpu_seconds()
    for batch in batches:
        assert batch.frames.dtype == torch.uint8
        seconds, spent = time.perf_counter() - began, cpu_seconds() - before
    return (BATCHES - 1) * BATCH / seconds, (BATCHES - 1) * BATCH / spent


def _choose(lengths: np.ndarray, turn: int, videos: np.ndarray) -> np.ndarray:
    return training_frames(lengths, FRAMES, STRIDES, ("feed", turn, videos))
