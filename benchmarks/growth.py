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

from benchmarks.harness import exponent, machine, markdown, save
from mac.data import check, index
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
    folder = Path(tempfile.mkdtemp())
    try:
        rows = [_grow(data / "ucf101-originals", folder / str(times), times) for times in TIMES]
        large = _large(folder / "large")
    finally:
        shutil.rmtree(folder)
    exponents = {
        stage: exponent([row["videos"] for row in rows], [row[stage] for row in rows])
        for stage in ("scan", "extract", "read", "memory")
    }
    lines = [
        [
            f"{r['videos']:,} videos, {r['frames']:,} frames",
            *(f"{r[key]:.1f}" for key in ("scan", "extract", "read")),
            f"{r['memory']:.0f}",
        ]
        for r in rows
    ]
    lines.append(["fitted exponent", *(f"{exponents[key]:.2f}" for key in ("scan", "extract", "read", "memory"))])
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
    save(
        "growth", "Growth: the data stages against the number of videos", facts, [markdown(head, lines), note, of_large]
    )


def _grow(root: Path, folder: Path, times: int) -> dict:
    sample = sorted(root.rglob("*.avi"))[:SAMPLE]
    folder.mkdir(parents=True)
    files = []
    for copy in range(times):
        for path in sample:
            files.append(f"{copy}_{path.name}")
            (folder / files[-1]).symlink_to(path.resolve())
    began = time.perf_counter()
    found = index.scan(files, folder, WORKERS)
    scanning = time.perf_counter() - began
    plain = {"label": "x", "group": "", "copy": "", "split_1": "train", "split_2": "unused", "split_3": "unused"}
    table = found.assign(path=[f"v/{file}" for file in files], file=files, **plain)
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
        "videos": len(files),
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

    listed = timed("list the files", lambda: index.take(folder, "kinetics"))
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
