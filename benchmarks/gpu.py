"""GPU: all that only a GPU can tell, in one command of at most nine minutes: ``make bench-gpu``.

Steps against bare loops and what determinism costs; clips a second of every kind of step of the ``paper`` scale, for
``config/throughput.yaml``; masks and views; reading with several processes; snapshots at the paper's size; memory.
Results are written after each part, so a run that is cut short leaves what it measured. Where no videos are given,
clips come from generated ones.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks import step, throughput
from benchmarks.harness import RESULTS, ROOT, cuda_rate, machine, markdown, save
from benchmarks.sample import real_store
from benchmarks.stand_ins import NoFolder, RandomStore, default_row
from mac import plan
from mac.augment.views import make_views
from mac.costs.throughput import kinds_of
from mac.data import synthetic
from mac.data.store import FrameStore
from mac.masks.frame_difference import foreground_masks
from mac.stages.learners import MacLearner
from mac.training import batches, gpu_memory, processor
from mac.training.batches import Batch
from mac.training.loop import Loop
from mac.training.optim import build_optimiser
from mac.training.snapshots import Snapshots
from mac.training.transfer import send

GPU = torch.device("cuda", 0)
BATCH, STEPS, REPEATS = 32, 6, 3
READERS, FED_BY = (1, 2, 4, 8, 15), 8
READ = 3000  # clips, of each number of readers
PARTS = ("throughput", "snapshots", "views", "reading", "fed", "step")
FILE = RESULTS / "gpu.json"


def main() -> None:
    """Measure what time allows and write the results, or write the page of results measured elsewhere."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with ucf101-originals (default: generated videos)")
    parser.add_argument("--minutes", type=float, default=7.0, help="no part, and no way to step, begins later")
    parser.add_argument("--where", default="", help="the machine, in words")
    parser.add_argument("--out", type=Path, default=FILE, help="results")
    parser.add_argument("--one", action="store_true", help="train two steps, save, and print the host's memory")
    parser.add_argument("--page", action="store_true", help="measure nothing: make the page and throughput of --out")
    arguments = parser.parse_args()
    if arguments.page:
        publish(json.loads(arguments.out.read_text()))
        return
    if not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} sees no GPU here")
    if arguments.one:
        print(json.dumps(_one()))
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    measure(arguments.data, deadline, arguments.where or processor.describe(GPU), arguments.out)


def measure(data: Path | None, deadline: float, where: str, out: Path) -> None:
    """Measure part by part."""
    folder = Path(tempfile.mkdtemp())
    properties = torch.cuda.get_device_properties(GPU)
    known = machine("torch", "numpy", "av", "simplejpeg") | {"gpu": properties.name, "cuda": str(torch.version.cuda)}
    known |= {"memory_gib": f"{properties.total_memory / 2**30:.1f}", "driver": processor._driver(), "where": where}
    facts: dict[str, Any] = {"machine": known, "seconds": {}}
    try:
        began, store = time.monotonic(), _store(data, folder)
        facts["seconds"]["store"] = round(time.monotonic() - began, 1)
        facts["videos"] = "UCF101" if data else "generated"
        parts: dict[str, Callable[[], Any]] = {
            "throughput": lambda: _throughput(where),
            "snapshots": _in_a_process_of_its_own,
            "views": _views,
            "reading": lambda: _reading(store),
            "fed": lambda: _fed(store),
            "step": lambda: _steps(store, deadline),
        }
        for name, work in parts.items():
            if time.monotonic() > deadline:
                break
            began = time.monotonic()
            facts[name] = work()
            facts["seconds"][name] = round(time.monotonic() - began, 1)
            print(name, facts["seconds"][name], json.dumps(facts[name])[:1500], flush=True)
            torch.cuda.empty_cache()
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    finally:
        shutil.rmtree(folder)


def _store(data: Path | None, folder: Path) -> FrameStore:
    if data:
        return real_store(data / "ucf101-originals", folder / "store", 192, 144)
    synthetic.generate(folder, "ucf101", classes=4, videos_per_class=8, num_frames=120, seed=1)
    return real_store(folder, folder / "store", 192, 144)


def _steps(store: FrameStore, deadline: float) -> dict:
    """Clips a second of every way to take a step, one after the other while there is time (a GPU's speed is steady)."""
    found: dict[str, Any] = {"matmul_flops": step._matmul(GPU), "measured": {}}
    for stage, config in zip(("pretrain", "finetune"), default_row("paper"), strict=True):
        rates = found["measured"][f"{stage}, batch of {BATCH}"] = {}
        flops = step._flops(config, store, GPU, BATCH) / BATCH
        for way in step._ways(GPU, config.precision):
            if time.monotonic() > deadline:
                rates[way.name] = {"clips_per_second": None, "flops_per_clip": flops}
                continue
            own = config.model_copy(update={"precision": way.precision})
            speed = step._measure_one(way, own, store, GPU, BATCH, STEPS, REPEATS)
            rates[way.name] = {"clips_per_second": speed, "flops_per_clip": flops}
            torch.cuda.empty_cache()
    torch.backends.cudnn.benchmark = False
    return found


def _fed(store: FrameStore) -> dict[str, float]:
    """Clips a second of trainings whose clips other processes read from the store; the first epoch isn't counted."""
    found = {}
    for precision in ("tf32", "bf16"):
        for stage, config in zip(("pretrain", "finetune"), default_row("paper"), strict=True):
            config = config.model_copy(update={"precision": precision})
            processor.prepare("cuda", 1, precision)
            learner, o, folder = step._learner(config, store, GPU), config.optimiser, throughput._Rates()
            optimiser = build_optimiser(learner.trained, o.name, 1e-4, o.sgd_momentum, o.weight_decay)
            loop = Loop("benchmark", learner, optimiser, lambda _: 1e-4, o.gradient_clip, folder)
            order = [np.arange(i, i + BATCH) % len(store.lengths) for i in range(30)]
            read = partial(batches.read, store, choose=partial(step._choose, config), workers=FED_BY, pinned=True)
            loop.train(2, lambda _, order=order: order, read)
            found[f"{stage}, {precision}"] = BATCH * len(order) / (folder.ends[1] - folder.ends[0])
    return found


def _throughput(where: str) -> list[dict]:
    """Clips a second and the memory of every kind of step of the paper's scale, in its precision and in bf16."""
    planned = plan.load(ROOT / "config", "paper")
    runs = [*planned.pretrainings.values(), *planned.finetunings.values()]
    entries, measured = [], set()
    for precision in ("tf32", "bf16"):
        configs = [run.config.model_copy(update={"precision": precision}) for run in runs]
        for config in {kinds_of(config): config for config in configs}.values():
            processor.prepare("cuda", 1, precision)
            torch.cuda.empty_cache()
            for kind, rate, peak in throughput._measure(config, GPU, BATCH, 12, *kinds_of(config), measured):
                clip = config.clip
                views = 2 if kind.passes == 8 else 1
                least = gpu_memory.least_bytes(
                    kind.backbone, kind.width, (BATCH, 3, clip.num_frames, clip.size, clip.size), views, precision
                )
                entry = {"device": processor.describe(GPU), **kind.model_dump(), "batch": BATCH, "threads": 1}
                entry |= {"clips_per_second": float(f"{rate:.4g}"), "date": str(date.today()), "where": where}
                entries.append({"entry": entry, "gpu_memory_gib": peak / 2**10, "least_gib": least / 2**30})
    return entries


def _in_a_process_of_its_own() -> dict:
    command = [sys.executable, "-m", "benchmarks.gpu", "--one"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _one() -> dict:
    """Train the default pretraining for two steps and save it: seconds and bytes of a snapshot, the host's memory."""
    config, _ = default_row("paper")
    processor.prepare("cuda", 1, config.precision)
    store, frames = RandomStore(2 * BATCH, 192, 144), np.broadcast_to(np.arange(16), (BATCH, 16))
    learner, o = MacLearner(config, store.videos["label_index"].to_numpy(), GPU), config.optimiser
    optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
    loop = Loop("benchmark", learner, optimiser, lambda _: 1e-4, o.gradient_clip, NoFolder())

    def read(planned: batches.Plan) -> Generator[Batch]:
        for _, videos in planned:
            yield Batch(videos, torch.from_numpy(store.clips(videos, frames)), None).pin_memory()

    loop.train(1, lambda _: [np.arange(BATCH), np.arange(BATCH, 2 * BATCH)], read)
    memory, seconds = {"training": _peak()}, []
    with tempfile.TemporaryDirectory() as folder:
        snapshots = Snapshots(Path(folder), "benchmark")
        for _ in range(4):
            torch.cuda.synchronize()
            began = time.monotonic()
            snapshots.save(loop.state())
            seconds.append(time.monotonic() - began)
        memory["saving"] = _peak()
        loop.restore(Snapshots(Path(folder), "benchmark").load())
        memory["restoring"] = _peak()
        size = max(path.stat().st_size for path in Path(folder).iterdir())
    return {"seconds": seconds, "bytes": size, "host_megabytes": memory}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _reading(store: FrameStore) -> dict[str, float]:
    """Clips a second that so many processes read, when all of them have started."""
    config, _ = default_row("paper")
    rates = {}
    for readers in READERS:
        planned = batches.of_one_epoch(0, [np.arange(i, i + BATCH) % len(store.lengths) for i in range(READ // BATCH)])
        choose = partial(step._choose, config)
        found = batches.read(store, planned, choose, workers=readers, pinned=True)
        for _ in range(2 * readers + 1):
            next(found)
        began, clips = time.monotonic(), sum(len(batch.videos) for batch in found)
        rates[str(readers)] = clips / (time.monotonic() - began)
    return rates


def _views() -> dict[str, float]:
    """Clips a second of masks, and of both views of a step."""
    config, _ = default_row("paper")
    learner, store = MacLearner(config, np.zeros(1, np.int64), GPU), RandomStore(BATCH, 192, 144)
    frames = np.broadcast_to(np.arange(16), (BATCH, 16))
    batch = Batch(np.arange(BATCH), torch.from_numpy(store.clips(np.arange(BATCH), frames)), None).to(GPU)
    clips = torch.rand(BATCH, 3, 16, 112, 112, device=GPU)

    def both(_: torch.device) -> None:
        drawn = send(learner.draw(batch.videos, 0), GPU)
        learner._attenuated(batch, drawn)
        make_views(batch.frames, drawn["natural"], 112)

    masks = {
        preset: cuda_rate(lambda _, p=preset: foreground_masks(clips, 0.5, 30.0, p), BATCH)
        for preset in ("paper", "release")
    }
    return {"both views": cuda_rate(both, BATCH)} | {f"{preset} masks": rate for preset, rate in masks.items()}


def publish(facts: dict) -> None:
    """Write the page, and put the measured rates into ``config/throughput.yaml``, in place of older ones."""
    tables = []
    if found := facts.get("step"):
        for title, ways in found["measured"].items():
            tables.append(step._table(title, ways, found["matmul_flops"]))
        tables.append(
            "A bare loop is a plain script over the same network and views, with cuDNN free to choose by trying"
            " (`cudnn.benchmark`); ours repeats bit for bit but where “any algorithm” is said. Matrix products"
            f" of 4,096² in bfloat16 reach {found['matmul_flops'] / 1e12:.0f} TFLOP/s."
        )
    if entries := facts.get("throughput"):
        rows = []
        for e in entries:
            one = e["entry"]
            what = f"{one['stage']}, {one['backbone']}, {one['passes']} passes, {one['precision']}"
            memory = f"{e['gpu_memory_gib']:.1f}" if e["gpu_memory_gib"] else "–"
            rows.append([what, f"{one['clips_per_second']:.4g}", memory])
        head = [f"every kind of step of `paper`, batch of {entries[0]['entry']['batch']}", "clips/s", "GPU memory, GiB"]
        tables.append(markdown(head, rows))
        _update(ROOT / "config" / "throughput.yaml", [e["entry"] for e in entries])
    if found := facts.get("reading"):
        rows = [[f"{readers} reading processes", f"{rate:.0f}"] for readers, rate in found.items()]
        tables.append(markdown([f"clips of 16 frames of 192×144 ({facts['videos']}), pinned", "clips/s"], rows))
    if found := facts.get("fed"):
        rows = [[name, f"{rate:.4g}"] for name, rate in found.items()]
        head = [f"a training fed by {FED_BY} reading processes, batch of {BATCH}", "clips/s"]
        tables.append(markdown(head, rows))
    if found := facts.get("views"):
        rows = [[name, f"{rate:,.0f}"] for name, rate in found.items()]
        tables.append(markdown([f"16 frames of 112×112, batch of {BATCH}", "clips/s"], rows))
    if found := facts.get("snapshots"):
        seconds = statistics.median(found["seconds"])
        tables.append(
            f"A snapshot of the default pretraining has {found['bytes'] / 1e6:.0f} MB and takes {seconds:.2f} s from"
            f" the GPU to the disk, so ends of epochs leave one every {100 * seconds:.0f} s at most. The process that"
            f" made them had at most {found['host_megabytes']['training']:,.0f} MB of the host's memory before,"
            f" {found['host_megabytes']['saving']:,.0f} with saving and {found['host_megabytes']['restoring']:,.0f}"
            " with restoring."
        )
    missing = [name for name in PARTS if name not in facts]
    if missing:
        tables.append(f"Not measured in this run: {', '.join(missing)}.")
    save("gpu", "GPU", facts, tables)


def _update(path: Path, entries: list[dict]) -> None:
    """Put entries into the list ``measured`` of a file of text, over older ones of the same device and kind."""

    def key(entry: dict) -> tuple:
        return tuple(
            value for name, value in entry.items() if name not in ("clips_per_second", "date", "where", "batch")
        )

    new = {key(entry) for entry in entries}
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("- {device:") and "clips_per_second" in line and key(yaml.safe_load(line)[0]) in new:
            continue
        lines.append(line)
        if line == "measured:":
            lines += [
                "- "
                + yaml.safe_dump(e, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True).strip()
                for e in entries
            ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
