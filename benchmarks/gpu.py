"""GPU: all that only a GPU can tell, in one command of at most nine minutes: ``make bench-gpu``.

Steps against bare loops and what determinism costs; clips a second of every kind of step of the ``paper`` scale, for
``config/throughput.yaml``; masks and views; reading with several processes; snapshots at the paper's size; memory.
Results are written after each part, so a run that is cut short leaves what it measured. Where no videos are given,
clips come from generated ones.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks import step, throughput
from benchmarks.harness import RESULTS, ROOT, Finding, machine, markdown, save
from benchmarks.sample import real_store
from benchmarks.stand_ins import RandomStore, default_row, learner_of, loop_of
from mac.augment.views import make_views
from mac.data import synthetic
from mac.data.store import FrameStore
from mac.masks.frame_difference import foreground_masks
from mac.training import batches, processor
from mac.training.batches import Batch
from mac.training.checkpoint import load_state, save_state
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
    properties = torch.cuda.get_device_properties(GPU)
    known = machine("torch", "numpy", "av", "simplejpeg") | {"gpu": properties.name, "cuda": str(torch.version.cuda)}
    known |= {"memory_gib": f"{properties.total_memory / 2**30:.1f}", "driver": processor._driver(), "where": where}
    facts: dict[str, Any] = {"machine": known, "seconds": {}, "videos": "UCF101" if data else "generated"}
    with tempfile.TemporaryDirectory() as folder:
        root = data / "ucf101-originals" if data else Path(folder)
        if not data:
            synthetic.generate(root, "ucf101", classes=4, videos_per_class=8, num_frames=120, seed=1)
        store = real_store(root, Path(folder) / "store", 192, 144)
        parts: dict[str, Callable[[], Any]] = {
            "throughput": lambda: _throughput(where),
            "snapshots": _in_a_process_of_its_own,
            "views": _views,
            "reading": lambda: _reading(store),
            "fed": lambda: _fed(store),
            "step": lambda: _steps(store, deadline),
        }
        for name in PARTS:
            if time.monotonic() > deadline:
                break
            began = time.monotonic()
            facts[name] = parts[name]()
            facts["seconds"][name] = round(time.monotonic() - began, 1)
            print(name, facts["seconds"][name], json.dumps(facts[name])[:1500], flush=True)
            torch.cuda.empty_cache()
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _stages(precision: str) -> dict[str, step.Config]:
    """The paper's default row, by stage."""
    configs = (config.model_copy(update={"precision": precision}) for config in default_row("paper"))
    return dict(zip(("pretrain", "finetune"), configs, strict=True))


def _steps(store: FrameStore, deadline: float) -> dict:
    """Clips a second of every way to take a step."""
    stages = _stages("tf32").items()
    found = {f"{s}, batch of {BATCH}": step.measure(c, store, GPU, BATCH, STEPS, REPEATS, deadline) for s, c in stages}
    return {"matmul_flops": step.matmul_rate(GPU), "measured": found}


def _fed(store: FrameStore) -> dict[str, float]:
    """Clips a second of trainings whose clips other processes read from the store; the first epoch isn't counted."""
    found = {}
    for precision in ("tf32", "bf16"):
        for stage, config in _stages(precision).items():
            processor.prepare("cuda", 1, precision)
            folder = throughput.Rates()
            loop = loop_of(config, learner_of(config, store, GPU), folder)
            order = [np.arange(i, i + BATCH) % len(store.lengths) for i in range(30)]
            read = partial(batches.read, store, choose=partial(step.choose, config), workers=FED_BY, pinned=True)
            loop.train(2, lambda _, order=order: order, read)
            found[f"{stage}, {precision}"] = BATCH * len(order) / (folder.ends[1] - folder.ends[0])
    return found


def _throughput(where: str) -> list[dict]:
    """Clips a second and the memory of every kind of step of the paper's scale, in its precision and in bf16."""
    found = []
    for precision in ("tf32", "bf16"):
        for entry, _, peak in throughput.entries("paper", precision, "cuda", 1, BATCH, 12, where):
            found.append({"entry": entry, "gpu_memory_gib": peak / 2**10})
            torch.cuda.empty_cache()
    return found


def _in_a_process_of_its_own() -> dict:
    command = [sys.executable, "-m", "benchmarks.gpu", "--one"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _one() -> dict:
    """Train the default pretraining for two steps and save it: seconds and bytes of a snapshot, the host's memory."""
    config, store = _stages("tf32")["pretrain"], RandomStore(2 * BATCH, 192, 144)
    processor.prepare("cuda", 1, config.precision)
    loop = loop_of(config, learner_of(config, store, GPU))
    loop.train(1, lambda _: [np.arange(BATCH), np.arange(BATCH, 2 * BATCH)], partial(_random_batches, store))
    memory, seconds = {"training": _peak()}, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.pt"
        for _ in range(4):
            torch.cuda.synchronize()
            began = time.monotonic()
            save_state(path, "benchmark", loop.state())
            seconds.append(time.monotonic() - began)
        memory["saving"] = _peak()
        loop.restore(load_state(path, "benchmark"))
        memory["restoring"] = _peak()
        size = path.stat().st_size
    return {"seconds": seconds, "bytes": size, "host_megabytes": memory}


def _random_batches(store: RandomStore, planned: batches.Plan) -> Generator[Batch]:
    frames = np.broadcast_to(np.arange(16), (BATCH, 16))
    for _, videos in planned:
        yield Batch(videos, torch.from_numpy(store.clips(videos, frames)), None).pin_memory()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _reading(store: FrameStore) -> dict[str, float]:
    """Clips a second that so many processes read, when all of them have started."""
    choose, rates = partial(step.choose, _stages("tf32")["pretrain"]), {}
    for readers in READERS:
        planned = batches.of_one_epoch(0, [np.arange(i, i + BATCH) % len(store.lengths) for i in range(READ // BATCH)])
        found = batches.read(store, planned, choose, workers=readers, pinned=True)
        for _ in range(2 * readers + 1):
            next(found)
        began, clips = time.monotonic(), sum(len(batch.videos) for batch in found)
        rates[str(readers)] = clips / (time.monotonic() - began)
    return rates


def _views() -> dict[str, float]:
    """Clips a second of masks, and of both views of a step."""
    config, store = _stages("tf32")["pretrain"], RandomStore(BATCH, 192, 144)
    learner = learner_of(config, store, GPU)
    batch = next(_random_batches(store, [(0, np.arange(BATCH))])).to(GPU)
    clips = torch.rand(BATCH, 3, 16, 112, 112, device=GPU)

    def both() -> None:
        drawn = send(learner.draw(batch.videos, 0), GPU)
        learner.method.view(batch, drawn, learner.recipe)
        make_views(batch.frames, drawn["natural"], learner.recipe)

    works = {"both views": both}
    for preset in ("paper", "release"):
        works[f"{preset} masks"] = partial(foreground_masks, clips, 0.5, 30.0, preset)
    return {name: BATCH / statistics.median(_seconds(work) for _ in range(23)) for name, work in works.items()}


def _seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def publish(facts: dict) -> None:
    """Write the page, and put the measured rates into ``config/throughput.yaml``, in place of older ones."""
    tables, findings, gpu = [], [], facts["machine"]["gpu"]
    if found := facts.get("step"):
        tables += [step.table(title, ways, found["matmul_flops"]) for title, ways in found["measured"].items()]
        tables.append(
            "A bare loop is a plain script over the same network and views, with cuDNN free to choose by trying"
            " (`cudnn.benchmark`); ours repeats bit for bit but where “any algorithm” is said. Matrix products"
            f" of 4,096² in bfloat16 reach {found['matmul_flops'] / 1e12:.0f} TFLOP/s."
        )
    if entries := facts.get("throughput"):
        rows = []
        for one, memory in ((e["entry"], e["gpu_memory_gib"]) for e in entries):
            what = f"{one['stage']}, {one['backbone']}, {one['passes']} passes, {one['precision']}"
            rows.append([what, f"{one['clips_per_second']:.4g}", f"{memory:.1f}" if memory else "–"])
            if one["backbone"] == "r2plus1d_18" and one["stage"] != "test":
                findings.append(Finding(f"{what}, on one {gpu}, clips/s", one["clips_per_second"]))
        head = [f"every kind of step of `paper`, batch of {entries[0]['entry']['batch']}", "clips/s", "GPU memory, GiB"]
        tables.append(markdown(head, rows))
        _update(ROOT / "config" / "throughput.yaml", [e["entry"] for e in entries])
    heads = {
        "reading": f"reading processes; clips of 16 frames of 192×144 ({facts['videos']}), pinned",
        "fed": f"a training fed by {FED_BY} reading processes, batch of {BATCH}",
        "views": f"16 frames of 112×112, batch of {BATCH}",
    }
    for name, head in heads.items():
        if found := facts.get(name):
            rows = [[what, f"{rate:,.4g}" if rate < 1000 else f"{rate:,.0f}"] for what, rate in found.items()]
            tables.append(markdown([head, "clips/s"], rows))
    if found := facts.get("snapshots"):
        seconds, memory = statistics.median(found["seconds"]), found["host_megabytes"]
        findings.append(Finding(f"a snapshot of the default pretraining, on one {gpu}, s", seconds))
        tables.append(
            f"A snapshot of the default pretraining has {found['bytes'] / 1e6:.0f} MB and takes {seconds:.2f} s from"
            f" the GPU to the disk, so ends of epochs leave one every {100 * seconds:.0f} s at most. The process that"
            f" made them had at most {memory['training']:,.0f} MB of the host's memory before,"
            f" {memory['saving']:,.0f} with saving and {memory['restoring']:,.0f} with restoring."
        )
    missing = [name for name in PARTS if name not in facts]
    if missing:
        tables.append(f"Not measured in this run: {', '.join(missing)}.")
    save("gpu", "GPU", facts, tables, findings)


def _update(path: Path, entries: list[dict]) -> None:
    """Put entries into the list ``measured`` of a file of text, over older ones of the same device and kind."""

    def key(entry: dict) -> tuple:
        left_out = ("clips_per_second", "date", "where", "batch")
        return tuple(value for name, value in entry.items() if name not in left_out)

    new, lines = {key(entry) for entry in entries}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        is_entry = line.startswith("- {device:") and "clips_per_second" in line
        if not (is_entry and key(yaml.safe_load(line)[0]) in new):
            lines.append(line)
        if line == "measured:":
            lines += ["- " + throughput.in_one_line(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
