"""Steps: pretraining and finetuning as a training takes them, against plain loops over the same networks."""

import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Finding, alternate, machine, markdown, rates, save
from benchmarks.sample import real_store
from benchmarks.stand_ins import default_row, learner_of, loop_of
from mac.config import FinetuneConfig, PretrainConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.methods.learner import Learner
from mac.training import batches, processor
from mac.training.batches import Batch
from mac.training.transfer import send

BATCH, STEPS, REPEATS, RATE = 16, 12, 5, 1e-4
GOAL = 0.97  # ÷ the bare loop
Config = PretrainConfig | FinetuneConfig


class Way(NamedTuple):
    """One way to take steps: the precision, whether plainly or as our trainings do it, and what is special.

    ``free`` lets CUDA take algorithms whose results differ from run to run; ``tries`` lets cuDNN choose by trying.
    """

    name: str
    precision: str
    plain: bool = False
    fast_layout: bool = True
    free: bool = False
    tries: bool = False
    feeds: bool = False

    def prepare(self, device: torch.device) -> None:
        """Set threads and numerics."""
        processor.prepare(device.type, 1, self.precision, deterministic=not self.free)
        torch.backends.cudnn.benchmark = self.free or self.tries


WAYS = {
    "cpu": (
        Way("bare loop", "fp32", plain=True, fast_layout=False),
        Way("bare loop, channels-last", "fp32", plain=True),
        Way("ours", "fp32"),
        Way("ours, read from a store", "fp32", feeds=True),
    ),
    "cuda": (
        Way("bare loop, TF32, any algorithm", "tf32", plain=True, fast_layout=False, free=True),
        Way("ours, TF32 (the recipe)", "tf32"),
        Way("ours, bf16", "bf16"),
        Way("ours, TF32, any algorithm", "tf32", free=True),
        Way("bare loop, bf16, any algorithm", "bf16", plain=True, fast_layout=False, free=True),
        Way("ours, bf16, any algorithm", "bf16", free=True),
        Way("ours, TF32, deterministic algorithms chosen by trying", "tf32", tries=True),
        Way("ours, fp32", "fp32"),
    ),
}


def run(data: Path) -> None:
    """Measure clips a second of every way on the CPU, and the share of the machine's own matrix product's rate."""
    device, facts, tables, findings = torch.device("cpu"), {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        configs = default_row("demo")
        store = real_store(
            data / "ucf101-originals", Path(folder) / "store", configs[0].store.width, configs[0].store.height
        )
        peak = matmul_rate(device)
        for stage, config in zip(("pretrain", "finetune"), configs, strict=True):
            title = f"{stage}, batch of {BATCH}"
            facts[title] = measure(config, store, device, BATCH, STEPS, REPEATS)
            tables.append(table(title, facts[title], peak))
            speed = {name: values["clips_per_second"] for name, values in facts[title].items()}
            bare = max(rate for name, rate in speed.items() if name.startswith("bare loop"))
            findings.append(Finding(f"step on a CPU ÷ the better bare loop: {title}", speed["ours"] / bare, GOAL))
    model = configs[0].model
    note = (
        f"{processor.describe(device)}, one thread; {model.backbone} of width {model.width}, the default row of `demo`."
        " The peer is a plain loop over the same network and views: unfused optimiser, one small update a tensor,"
        " torch's default memory format (where nothing else is said), losses read after every forward pass. Journal and"
        " snapshots are measured by `overhead`. Clips lie in memory but where a store is read. Operations are counted"
        f" by torch (`FlopCounterMode`); matrix products of 4,096² in float32 reach {peak / 1e12:.3g} TFLOP/s."
        f" Goal: ≥ {GOAL} of the bare loop. On a GPU: see GPU (`make bench-gpu`)."
    )
    known = {"machine": machine("torch"), "matmul_flops": peak, "goal": GOAL, "measured": facts}
    save("step", "Steps: a training's step against a plain loop", known, [*tables, note], findings)


def table(title: str, found: dict[str, dict], peak: float) -> str:
    """Tabulate what :func:`measure` found; ``peak`` is the matrix product's rate."""
    first = next(iter(found.values()))["clips_per_second"]
    rows = []
    for name, values in found.items():
        rate, cells = values["clips_per_second"], ["not measured", "", ""]
        if rate is not None:
            share = 100 * rate * values["flops_per_clip"] / peak
            cells = [f"{rate:.4g}", f"{rate / first:.2f}" if first else "–", f"{share:.1f} %"]
        rows.append([name, *cells])
    return markdown([title, "clips/s", "÷ first", "of the matrix product's rate"], rows)


def measure(
    config: Config,
    store: FrameStore,
    device: torch.device,
    batch: int,
    steps: int,
    repeats: int,
    deadline: float = inf,
) -> dict[str, dict]:
    """Clips a second of every way, and the operations of a clip.

    On a CPU the ways take turns. A GPU's speed is steady and its memory short: one way after the other, and none
    begins after ``deadline`` (of ``time.monotonic``).
    """
    ways, speed = WAYS[device.type], {}
    flops = _flops(config, store, device, batch) / batch
    for together in [ways] if device.type == "cpu" else [[way] for way in ways]:
        if time.monotonic() < deadline:
            takers = {way.name: _taker(way, config, store, device, batch, steps) for way in together}
            speed |= rates(alternate(takers, repeats), batch * steps)
            torch.cuda.empty_cache()
    torch.backends.cudnn.benchmark = False
    return {way.name: {"clips_per_second": speed.get(way.name), "flops_per_clip": flops} for way in ways}


def _taker(
    way: Way, config: Config, store: FrameStore, device: torch.device, batch: int, steps: int
) -> Callable[[int], None]:
    """Build the networks; returns what takes ``steps`` steps on every call."""
    config = config.model_copy(update={"precision": way.precision})
    learner = learner_of(config, store, device)
    videos = np.random.default_rng(1).integers(0, len(store.lengths), (steps, batch))
    kept = [one.pin_memory() if device.type == "cuda" else one for one in _read(config, store, list(videos))]
    if not way.fast_layout:
        _use_default_layout(learner)
    loop = loop_of(config, learner)
    take_plainly = _plain_steps(learner, config, kept, device)

    def read(planned: batches.Plan) -> Generator[Batch]:
        if way.feeds:
            return batches.read(store, planned, partial(choose, config))
        return (one for one in kept)

    def take(_: int) -> None:
        way.prepare(device)
        if way.plain:
            take_plainly()
        else:
            loop.train(loop.position.epoch + 1, lambda _: list(videos), read)
        _finish(device)

    return take


def _use_default_layout(learner: torch.nn.Module) -> None:
    learner.to(memory_format=torch.contiguous_format)
    backbone = learner.backbone if isinstance(learner, Learner) else learner.classifier.backbone
    for encoder in (backbone, getattr(getattr(learner, "contrast", None), "encoder", None)):
        if encoder is not None:
            encoder.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))


def _plain_steps(
    learner: torch.nn.Module, config: Config, kept: list[Batch], device: torch.device
) -> Callable[[], None]:
    """Take the steps that a short script takes."""
    o = config.optimiser
    kind = torch.optim.SGD if o.name == "sgd" else torch.optim.AdamW
    options = {"momentum": o.sgd_momentum} if o.name == "sgd" else {}
    optimiser = kind(learner.trained, RATE, weight_decay=o.weight_decay, foreach=False, **options)

    def take() -> None:
        learner.train()
        for one in kept:
            loss, metrics = learner(one.to(device), send(learner.draw(one.videos, 0), device))
            for value in (loss, *metrics.values()):
                float(value.detach())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learner.trained, o.gradient_clip, foreach=False)
            optimiser.step()
            if isinstance(learner, Learner) and learner.contrast:
                _follow_plainly(learner)

    return take


@torch.no_grad()
def _follow_plainly(learner: Learner) -> None:
    """The key encoder's update, a tensor at a time."""
    learner.contrast.enqueue(learner._new_keys)
    queries = [*learner.backbone.parameters(), *learner.projector.parameters()]
    for key, query in zip(learner.contrast.encoder.parameters(), queries, strict=True):
        key.mul_(learner.contrast.momentum).add_((1 - learner.contrast.momentum) * query)


def choose(config: Config, lengths: np.ndarray, _: int | str, videos: np.ndarray) -> np.ndarray:
    """Choose the frames of training clips."""
    return training_frames(lengths, config.clip.num_frames, config.clip.strides, ("step", videos))


def _read(config: Config, store: FrameStore, planned: list[np.ndarray]) -> Generator[Batch]:
    return batches.read(store, batches.of_one_epoch(0, planned), partial(choose, config))


def _flops(config: Config, store: FrameStore, device: torch.device, batch: int) -> int:
    """Operations of one step's passes, forward and backward."""
    learner = learner_of(config, store, device)
    one = next(_read(config, store, [np.arange(batch) % len(store.lengths)]))
    drawn = send(learner.draw(one.videos, 0), device)
    with FlopCounterMode(display=False) as counter:
        learner(one.to(device), drawn)[0].backward()
    return counter.get_total_flops()


def matmul_rate(device: torch.device, side: int = 4096, repeats: int = 5) -> float:
    """Operations a second of square matrix products: float32 with one thread on a CPU, bfloat16 on a GPU."""
    processor.prepare(device.type, 1)
    dtype, times = (torch.bfloat16, 50) if device.type == "cuda" else (torch.float32, 1)
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)

    def multiply(_: int) -> None:
        for _ in range(times):
            a @ b
        _finish(device)

    return rates(alternate({"product": multiply}, repeats), times * 2 * side**3)["product"]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
