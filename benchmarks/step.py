"""Steps: pretraining and finetuning as a training takes them, against plain loops over the same networks."""

import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import goals
from benchmarks.harness import alternate, machine, markdown, on_gpu, rates, save
from benchmarks.sample import real_store
from benchmarks.stand_ins import NoFolder, default_row
from mac.config import FinetuneConfig, PretrainConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.methods import Videos
from mac.methods.learner import Learner
from mac.stages.finetune import ActionLearner
from mac.training import batches, processor
from mac.training.batches import Batch
from mac.training.loop import Loop
from mac.training.optim import build_optimiser
from mac.training.transfer import send

REPEATS = 5
# The demo's network on a CPU, the paper's on a GPU: scale, batches of clips, steps a turn.
PLACES = {"cpu": ("demo", (16,), 12), "cuda": ("paper", (32, 64), 10)}
RATE = 1e-4
Config = PretrainConfig | FinetuneConfig


@dataclass(frozen=True)
class Way:
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


def _ways(device: torch.device, precision: str) -> list[Way]:
    if device.type == "cpu":
        return [
            Way("bare loop", precision, plain=True, fast_layout=False),
            Way("bare loop, channels-last", precision, plain=True),
            Way("ours", precision),
            Way("ours, read from a store", precision, feeds=True),
        ]
    return [
        Way("bare loop, TF32, any algorithm", "tf32", plain=True, fast_layout=False, free=True),
        Way("ours, TF32 (the recipe)", "tf32"),
        Way("ours, bf16", "bf16"),
        Way("ours, TF32, any algorithm", "tf32", free=True),
        Way("bare loop, bf16, any algorithm", "bf16", plain=True, fast_layout=False, free=True),
        Way("ours, bf16, any algorithm", "bf16", free=True),
        Way("ours, TF32, deterministic algorithms chosen by trying", "tf32", tries=True),
        Way("ours, fp32", "fp32"),
    ]


def run(data: Path) -> None:
    """Measure clips a second of every way, and the share of the machine's own matrix product's rate."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale, sizes, steps = PLACES[device.type]
    configs: dict[str, Config] = dict(zip(("pretrain", "finetune"), default_row(scale), strict=True))
    folder, facts, tables = Path(tempfile.mkdtemp()), {}, []
    try:
        size = configs["pretrain"].store
        store = real_store(data / "ucf101-originals", folder / "store", size.width, size.height)
        peak = _matmul(device)
        for stage, config in configs.items():
            for batch in sizes:
                found = _measure(config, store, device, batch, steps)
                facts[f"{stage}, batch of {batch}"] = found
                tables.append(_table(f"{stage}, batch of {batch}", found, peak))
    finally:
        shutil.rmtree(folder)
    dtype = "float32" if device.type == "cpu" else "bfloat16"
    where = processor.describe(device)
    model = configs["pretrain"].model
    note = (
        f"{where}, one thread; {model.backbone} of width {model.width}, the default row of `{scale}`. The peer is a"
        " plain loop over the same network and views: unfused optimiser, one small update a tensor, torch's default"
        " memory format (where nothing else is said), losses read after every forward pass. Journal and snapshots are"
        " measured by `overhead`. Clips lie in memory but where a store is read. Operations are counted by torch"
        f" (`FlopCounterMode`); matrix products of 4,096² in {dtype} reach {peak / 1e12:.3g} TFLOP/s."
    )
    wanted = "Goals: " + "; ".join(f"{name} ≥ {value}" for name, value in goals.STEP.items()) + "."
    other = "" if device.type == "cuda" else on_gpu(None, "step")
    known = {"machine": machine("torch"), "device": where, "matmul_flops": peak, "goals": goals.STEP, "measured": facts}
    save(
        "step", "Steps: a training's step against a plain loop", known, [*tables, *filter(None, (note, wanted, other))]
    )


def _table(title: str, found: dict[str, dict], peak: float) -> str:
    first = next(iter(found.values()))["clips_per_second"]
    rows = []
    for name, values in found.items():
        rate = values["clips_per_second"]
        if rate is None:
            rows.append([name, "not measured", "", ""])
        else:
            share = 100 * rate * values["flops_per_clip"] / peak
            rows.append([name, f"{rate:.4g}", f"{rate / first:.2f}" if first else "–", f"{share:.1f} %"])
    return markdown([title, "clips/s", "÷ first", "of the matrix product's rate"], rows)


def _measure(
    config: Config, store: FrameStore, device: torch.device, batch: int, steps: int, repeats: int = REPEATS
) -> dict[str, dict]:
    ready = {}
    for way in _ways(device, config.precision):
        own = config.model_copy(update={"precision": way.precision})
        try:
            take = _taker(way, own, store, device, batch, steps)
            take(0)
            ready[way.name] = take
        except torch.cuda.OutOfMemoryError:
            pass  # the table says so
    speed = rates(alternate(ready, repeats), batch * steps)
    flops = _flops(config, store, device, batch) / batch
    names = [way.name for way in _ways(device, config.precision)]
    return {name: {"clips_per_second": speed.get(name), "flops_per_clip": flops} for name in names}


def _measure_one(
    way: Way, config: Config, store: FrameStore, device: torch.device, batch: int, steps: int, repeats: int
) -> float:
    """Clips a second of one way, by the median of its turns after one that isn't counted."""
    take = _taker(way, config, store, device, batch, steps)
    return rates(alternate({way.name: take}, repeats), batch * steps)[way.name]


def _taker(
    way: Way, config: Config, store: FrameStore, device: torch.device, batch: int, steps: int
) -> Callable[[int], None]:
    """Build the networks; returns what takes ``steps`` steps on every call."""
    learner, o = _learner(config, store, device), config.optimiser
    videos = np.random.default_rng(1).integers(0, len(store.lengths), (steps, batch))
    kept = [batch.pin_memory() if device.type == "cuda" else batch for batch in _read(config, store, list(videos))]
    backbone = learner.backbone if isinstance(learner, Learner) else learner.classifier.backbone
    if not way.fast_layout:
        _use_default_layout(learner, backbone)
    if way.plain:
        return _plain_steps(way, learner, config, kept, device)
    optimiser = build_optimiser(learner.trained, o.name, RATE, o.sgd_momentum, o.weight_decay)
    loop = Loop("benchmark", learner, optimiser, lambda _: RATE, o.gradient_clip, NoFolder())

    def read(planned: batches.Plan) -> Generator[Batch]:
        if way.feeds:
            return batches.read(store, planned, partial(_choose, config))
        return (batch for batch in kept)

    def take(_: int) -> None:
        way.prepare(device)
        loop.train(loop.position.epoch + 1, lambda _: list(videos), read)
        _finish(device)

    return take


def _use_default_layout(learner: torch.nn.Module, backbone: torch.nn.Module) -> None:
    learner.to(memory_format=torch.contiguous_format)
    for encoder in (backbone, getattr(getattr(learner, "contrast", None), "encoder", None)):
        if encoder is not None:
            encoder.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))


def _plain_steps(
    way: Way, learner: torch.nn.Module, config: Config, kept: list[Batch], device: torch.device
) -> Callable[[int], None]:
    """Take the steps that a short script takes."""
    o = config.optimiser
    kind = torch.optim.SGD if o.name == "sgd" else torch.optim.AdamW
    options = {"momentum": o.sgd_momentum} if o.name == "sgd" else {}
    optimiser = kind(learner.trained, RATE, weight_decay=o.weight_decay, foreach=False, **options)

    def take(_: int) -> None:
        way.prepare(device)
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
        _finish(device)

    return take


def _learner(config: Config, store: FrameStore, device: torch.device) -> torch.nn.Module:
    if isinstance(config, PretrainConfig):
        return Learner(config, Videos.of(store), device)
    learner = ActionLearner(config, store, device)
    processor.to_fast_layout(learner.classifier, device)
    return learner


@torch.no_grad()
def _follow_plainly(learner: Learner) -> None:
    """The key encoder's update, a tensor at a time."""
    learner.contrast.enqueue(learner._new_keys)
    queries = [*learner.backbone.parameters(), *learner.projector.parameters()]
    for key, query in zip(learner.contrast.encoder.parameters(), queries, strict=True):
        key.mul_(learner.contrast.momentum).add_((1 - learner.contrast.momentum) * query)


def _choose(config: Config, lengths: np.ndarray, _: int | str, videos: np.ndarray) -> np.ndarray:
    return training_frames(lengths, config.clip.num_frames, config.clip.strides, ("step", videos))


def _read(config: Config, store: FrameStore, planned: list[np.ndarray]) -> Generator[Batch]:
    return batches.read(store, batches.of_one_epoch(0, planned), partial(_choose, config))


def _flops(config: Config, store: FrameStore, device: torch.device, batch: int) -> int:
    """Operations of one step's passes, forward and backward."""
    learner = _learner(config, store, device)
    one = next(_read(config, store, [np.arange(batch) % len(store.lengths)]))
    drawn = send(learner.draw(one.videos, 0), device)
    with FlopCounterMode(display=False) as counter:
        learner(one.to(device), drawn)[0].backward()
    return counter.get_total_flops()


def _matmul(device: torch.device, side: int = 4096, repeats: int = 5) -> float:
    """Operations a second of square matrix products: float32 with one thread on a CPU, bfloat16 on a GPU."""
    processor.prepare(device.type, 1, "bf16")
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)

    def multiply(_: int) -> None:
        for _ in range(50 if device.type == "cuda" else 1):
            a @ b
        _finish(device)

    seconds = alternate({"product": multiply}, repeats)
    return rates(seconds, (50 if device.type == "cuda" else 1) * 2 * side**3)["product"]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
