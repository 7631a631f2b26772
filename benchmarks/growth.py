"""Growth: time and memory of the data stages against the number of videos."""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.harness import Finding, exponent, machine, markdown, save
from benchmarks.sample import scanned
from mac.data import check, index, inventory
from mac.data.clips import training_frames
from mac.data.store import FrameStore, extract

TIMES = (1, 10, 100)
SAMPLE, WORKERS = 10, 2
WIDTH, HEIGHT = 192, 144
LARGE = {"train": 220_000, "val": 20_000}
FRAMES = 300  # a video of Kinetics
BATCHES, BATCH = 100, 32


def run(data: Path) -> None:
    """Scan, extract and read a sample of real videos 1, 10 and 100 times over; open an index of 240,000 videos."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_grow(data / "ucf101-originals", Path(folder) / str(times), times) for times in TIMES]
        large = _large(Path(folder) / "large")
    stages = ("scan", "extract", "read", "memory")
    videos = [row["videos"] for row in rows]
    exponents = {stage: exponent(videos, [row[stage] for row in rows]) for stage in stages}
    lines = []
    for row in rows:
        cells = [f"{row[stage]:.{0 if stage == 'memory' else 1}f}" for stage in stages]
        lines.append([f"{row['videos']:,} videos, {row['frames']:,} frames", *cells])
    lines.append(["fitted exponent", *(f"{exponents[stage]:.2f}" for stage in stages)])
    head = ["", "scan, s", "extract, s", f"read {BATCHES * BATCH:,} clips, s", "loader's peak memory, MB"]
    of_large = markdown(
        [f"an index of {sum(LARGE.values()):,} videos, {sum(LARGE.values()) * FRAMES:,} frames", "seconds"],
        [[name, f"{seconds:.1f}"] for name, seconds in large.items()],
    )
    facts = {
        "machine": machine("av", "simplejpeg", "pandas", "numpy"),
        "rows": rows,
        "exponents": exponents,
        "large": large,
    }
    note = f"{WORKERS} processes scan and extract; one reads, clips of 16 frames at random strides, {BATCH} at a time."
    findings = [Finding(f"exponent in videos: {what}", power, 1.0, False) for what, power in exponents.items()]
    tables = [markdown(head, lines), note, of_large]
    save("growth", "Growth: the data stages against the number of videos", facts, tables, findings)


def _grow(root: Path, folder: Path, times: int) -> dict:
    sample = sorted(root.rglob("*.avi"))[:SAMPLE]
    folder.mkdir(parents=True)
    for copy in range(times):
        for path in sample:
            (folder / f"{copy}_{path.name}").symlink_to(path.resolve())
    began = time.perf_counter()
    table = scanned(folder, WORKERS)
    scanning = time.perf_counter() - began
    began = time.perf_counter()
    store = folder / "store"
    store.mkdir()
    extract(folder, table, store, WIDTH, HEIGHT, WORKERS)
    extracting = time.perf_counter() - began
    code = f"from pathlib import Path; from benchmarks.growth import read; read(Path({str(store)!r}))"
    reading = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    shutil.rmtree(folder)
    return {
        "videos": len(table),
        "frames": int(table["num_frames"].sum()),
        "scan": scanning,
        "extract": extracting,
        **reading,
    }


def read(folder: Path) -> None:
    """Read batches of clips as training does and print the seconds and the peak memory in MB (a process of its own)."""
    store, began = FrameStore(folder), time.perf_counter()
    for step in range(BATCHES):
        videos = np.random.default_rng(step).integers(0, len(store.lengths), BATCH)
        store.clips(videos, training_frames(store.lengths[videos], 16, [1, 2, 3, 4], ("growth", step, videos)))
    seconds = time.perf_counter() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"read": seconds, "memory": int(peak.split()[1]) / 1000}))


def _large(folder: Path) -> dict[str, float]:
    """List, index, save, load and open a drawn data set as large as Kinetics-400 (its files are empty)."""
    count = sum(LARGE.values())
    (folder / "annotations").mkdir(parents=True)
    for part, videos in LARGE.items():
        ids = [f"{part}{number:08d}" for number in range(videos)]
        labels = [f"class {number % 400}" for number in range(videos)]
        table = pd.DataFrame({"label": labels, "youtube_id": ids, "time_start": 0, "time_end": 10, "split": part})
        table.to_csv(folder / "annotations" / f"{part}.csv", index=False)
        (folder / part).mkdir()
        for i in ids:
            (folder / part / f"{i}_000000_000010.mp4").touch()
    seconds: dict[str, float] = {}

    def timed(name: str, work):
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    listed = timed("list the files", lambda: inventory.take(folder, "kinetics"))
    finding = check.Finding(num_frames=FRAMES, fps=30.0, width=340, height=256)
    scans = pd.DataFrame([finding.row()] * count).assign(content=[f"{number:032x}" for number in range(count)])
    table = timed("join the scans into an index", lambda: index.assemble(listed, [scans]))
    timed("check it", lambda: index.check(table, folder, 0.0))
    timed("digest it", lambda: index.digest(table))
    timed("save it", lambda: table.to_parquet(folder / "index.parquet"))
    timed("load it", lambda: pd.read_parquet(folder / "index.parquet"))
    videos = index.usable(table).assign(stored="x", first=np.arange(count) * FRAMES)
    videos.to_parquet(folder / "videos.parquet")
    np.save(folder / "offsets.npy", np.zeros(count * FRAMES, np.int64))
    np.save(folder / "sizes.npy", np.zeros(count * FRAMES, np.int32))
    facts = {"index_digest": "x", "labels": [], "width": WIDTH, "height": HEIGHT}
    (folder / "store.json").write_text(json.dumps(facts))
    store = timed("open its store", lambda: FrameStore(folder))
    assert math.prod(store.lengths.shape) == count
    return seconds
