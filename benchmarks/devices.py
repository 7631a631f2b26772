"""Growth: one training on one to four devices, simulated from measured steps and messages, and checked with two."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from benchmarks.harness import ROOT, alternate, exponent, machine, markdown, save
from benchmarks.stand_ins import NoFolder, RandomStore, default_row
from mac.config import PretrainConfig
from mac.methods import Videos
from mac.methods.learner import Learner
from mac.runtime.ending import end_with
from mac.training import distributed, processor
from mac.training.batches import Batch, Plan
from mac.training.distributed import ALONE, MEETING, STARTER, World
from mac.training.loop import Loop
from mac.training.optim import build_optimiser
from mac.training.transfer import send

COUNTS, STEPS, MESSAGES, REPEATS = (1, 2, 4), 20, 200, 5
# What devices of one machine tell each other by, where it can't be measured: seconds a message, bytes a second.
ASSUMED = {"cuda": (20e-6, 300e9, "assumed: NVLink at 300 GB/s, 20 µs a message")}


def run(_: Path | None) -> None:
    """Measure a step of every part of the batch, messages between two processes, and two processes that train."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config, _ = default_row(_scale(device))
    processor.prepare(device.type, 1, config.precision)
    batch = config.optimiser.batch_size
    steps = {count: _step(config, device, batch // count, ALONE) for count in COUNTS}
    sent = _messages(config, device)
    if device.type in ASSUMED:
        two, (small, large, source) = {}, ASSUMED[device.type]
    else:
        two, source = _together(2), "measured between two processes by gloo"
        small, large = two["seconds_a_message"], sent["gradient_bytes"] / two["seconds_a_gradient"]
    talk = {n: _talk(n, sent["messages"], sent["gradient_bytes"], small, large) for n in COUNTS}
    rates = {n: batch / (steps[n] + talk[n]) for n in COUNTS}
    rows = [
        [str(n), f"{1000 * steps[n]:.1f}", f"{1000 * talk[n]:.1f}", f"{rates[n]:.0f}", f"{rates[n] / rates[1]:.2f}"]
        for n in COUNTS
    ]
    power = exponent(list(COUNTS), list(rates.values()))
    checked = ""
    if two:
        real = batch / two["seconds_a_step"]
        checked = f" Two processes that really train together on two cores reach {real:.0f} clips/s."
    note = (
        f"One pretraining (the default row of `{_scale(device)}`, batch of {batch} in all), its batch shared out: a"
        f" step of the part, measured on one device ({processor.describe(device)}, one thread); messages: the"
        f" gradient's {sent['gradient_bytes'] / 1e6:.2f} MB in a ring, and {sent['messages']} small sums a step for the"
        f" normalisation's statistics, each log2(n) deep; {source} ({1e6 * small:.0f} µs, {large / 1e9:.2g} GB/s)."
        f" Nothing overlaps. Throughput grows with the number of devices to the power {power:.2f}.{checked}"
    )
    head = ["devices", "step of its part, ms", "messages, ms", "clips/s", "÷ one"]
    simulated = {"step_seconds": steps, "message_seconds": talk, "clips_per_second": rates, "exponent": power}
    facts = {"machine": machine("torch"), "simulated": simulated, "measured": sent | two}
    save("devices", "Growth: devices of one training", facts, [markdown(head, rows), note])


def _scale(device: torch.device) -> str:
    return "paper" if device.type == "cuda" else "demo"


def _talk(count: int, messages: float, gradient: int, small: float, large: float) -> float:
    """Seconds of a step's messages among so many: a ring for the gradient, a tree for each small sum."""
    if count == 1:
        return 0.0
    # Measured with two: half a ring's turn carries the whole gradient once.
    return messages * small * np.log2(count) + 2 * (count - 1) / count * gradient / large


def _step(config: PretrainConfig, device: torch.device, size: int, world: World) -> float:
    """Median seconds of a step over ``size`` clips a process."""
    store = RandomStore(size * world.size, config.store.width, config.store.height)
    learner = Learner(config, Videos.of(store), device, world)
    o = config.optimiser
    optimiser = build_optimiser(learner.trained, o.name, 1e-4, o.sgd_momentum, o.weight_decay)
    loop = Loop("benchmark", learner, optimiser, lambda _: 1e-4, o.gradient_clip, NoFolder(), world)
    frames = np.broadcast_to(np.arange(config.clip.num_frames), (size, config.clip.num_frames))
    videos = np.arange(size * world.size)

    def take() -> None:
        def read(planned: Plan) -> Generator[Batch]:
            return (Batch(own, torch.from_numpy(store.clips(own, frames)), None) for _, own in planned)

        loop.train(loop.position.epoch + 1, lambda _: [videos] * STEPS, read)

    return _median_seconds(take) / STEPS


def _median_seconds(call: Callable[[], None]) -> float:
    return statistics.median(alternate({"it": lambda _: call()}, REPEATS)["it"])


def _together(size: int) -> dict[str, float]:
    """Run this module in so many processes; the first tells what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        shared = os.environ | {
            "WORLD_SIZE": str(size),
            MEETING: f"file://{folder}/meeting",
            STARTER: str(os.getpid()),
            "PYTHONPATH": str(ROOT),
        }
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
        command = [sys.executable, "-m", "benchmarks.devices", f"{folder}/found.json"]
        processes = [subprocess.Popen(command, env=shared | rank) for rank in ranks]
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise SystemExit("a process failed; see above")
        return json.loads(Path(folder, "found.json").read_text())


def _measure(out: Path) -> None:
    """What one of several processes on a CPU does: train, and time messages."""
    device = torch.device("cpu")
    config, _ = default_row(_scale(device))
    processor.prepare(device.type, 1, config.precision)
    with distributed.join(device) as world:
        found = {"seconds_a_step": _step(config, device, config.optimiser.batch_size // world.size, world)}
        numbers = _messages(config, device)["gradient_bytes"] // 4
        for name, tensor in {"message": torch.zeros(64), "gradient": torch.zeros(numbers)}.items():
            found[f"seconds_a_{name}"] = _reduce(tensor)
        if world.is_first:
            out.write_text(json.dumps(found))


def _messages(config: PretrainConfig, device: torch.device) -> dict[str, int]:
    """Count what a step of several processes sends: sums of the normalisations, and the gradient's bytes."""
    size, clip, store = 4, config.clip, config.store
    learner, sums = Learner(config, Videos(np.zeros(size, int), np.full(size, 300)), device), [0]
    of_a_pass = 1 if device.type == "cuda" else 2  # torch's SyncBatchNorm, or ours

    def count(*_: object) -> None:
        sums[0] += of_a_pass * (1 + torch.is_grad_enabled())  # forward, and backward where there is one

    for module in learner.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.register_forward_hook(count)
    frames = torch.zeros(size, clip.num_frames, store.height, store.width, 3, dtype=torch.uint8)
    batch = Batch(np.arange(size), frames, None)
    learner(batch.to(device), send(learner.draw(batch.videos, 0), device))
    return {"messages": sums[0], "gradient_bytes": 4 * sum(parameter.numel() for parameter in learner.trained)}


def _reduce(tensor: torch.Tensor) -> float:
    def send() -> None:
        for _ in range(MESSAGES):
            dist.all_reduce(tensor)

    return _median_seconds(send) / MESSAGES


if __name__ == "__main__":
    end_with(partial(_measure, Path(sys.argv[1])))
