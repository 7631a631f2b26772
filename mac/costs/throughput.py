"""How fast devices are: by finished runs, by ``throughput.yaml``, or by the operations that torch counts."""

import math
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mac.config import FinetuneConfig, Precision, PretrainConfig, Probability, ProbeConfig, Strict
from mac.methods import method_of
from mac.models.backbones import PAPER, TORCHVISION
from mac.runtime.reading import DamagedFileError, read_json
from mac.tracking import journal
from mac.validation import ConfigError, read_yaml, validate

Config = PretrainConfig | FinetuneConfig | ProbeConfig
PROBED_AT_ONCE = 32  # clips, of a probe (mac/stages/probe.py)
SOURCES = {
    "own runs": "finished runs of the same network, clip and precision in this results folder",
    "measured": "config/throughput.yaml",
    "scaled": "the most similar measurement on that device, scaled by the operations that torch counts",
    "assumed": "assumed, not measured — a share of the maker's peak rate, see config/throughput.yaml",
}


class Kind(Strict):
    """What the time depends on that a device takes for one clip.

    ``passes``: forward passes it costs; a backward pass counts as two.
    """

    stage: Literal["pretrain", "finetune", "test"]
    backbone: str
    width: PositiveInt
    channels: Literal[PAPER, TORCHVISION] = TORCHVISION
    num_frames: PositiveInt
    size: PositiveInt
    precision: Precision
    passes: PositiveInt

    @property
    def network(self) -> tuple[str, int, str]:
        """The backbone, as :func:`mac.models.backbones.build` takes it."""
        return self.backbone, self.width, self.channels

    @property
    def operations(self) -> int:
        """Floating-point operations a clip."""
        return self.passes * count_operations(*self.network, self.num_frames, self.size)

    def on(self, device: str) -> "Kind":
        """The same with the precision that a device really has: a CPU has no TF32."""
        facts = {name: getattr(self, name) for name in Kind.model_fields}
        if device.startswith("CPU") and self.precision == "tf32":
            facts["precision"] = "fp32"
        return Kind(**facts)


class Measurement(Kind):
    """Clips a second of one device at one kind of step, and where the number is from."""

    device: str
    batch: PositiveInt
    threads: PositiveInt
    clips_per_second: PositiveFloat
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    where: str


class Assumption(Strict):
    """A device that wasn't measured: its peak [TFLOP/s], the share of it we assume, and the shortest step [s]."""

    device: str
    peak: dict[Precision, PositiveFloat]
    utilisation: Probability
    seconds_per_step: PositiveFloat
    source: str


class StoredFrame(Strict):
    """A frame size in pixels: bytes of a stored frame, and clips of 16 frames a second that one core reads."""

    width: PositiveInt
    height: PositiveInt
    bytes: PositiveInt | None = None
    clips_per_core_second: PositiveFloat | None = None


class ThroughputFile(Strict):
    """``config/throughput.yaml``; ``seconds_per_wait``: of processes that share a training, at each normalisation."""

    measured: list[Measurement]
    assumed: list[Assumption]
    frames: list[StoredFrame]
    seconds_per_wait: PositiveFloat

    def of_a_frame(self, fact: Literal["bytes", "clips_per_core_second"], pixels: int) -> float:
        """The fact for frames of so many pixels, scaled from the nearest size that is listed."""
        known = [(getattr(f, fact), f.width * f.height) for f in self.frames if getattr(f, fact)]
        value, size = min(known, key=lambda entry: abs(math.log(entry[1] / pixels)))
        return value * pixels / size if fact == "bytes" else value * size / pixels

    @model_validator(mode="after")
    def _says_both(self) -> Self:
        if not all(any(getattr(f, fact) for f in self.frames) for fact in ("bytes", "clips_per_core_second")):
            raise ValueError("frames: give `bytes` of at least one size, and `clips_per_core_second` of one")
        return self


class Observed(NamedTuple):
    """A device's clips a second at one kind of step; ``source`` is ``own runs`` or ``measured``."""

    source: str
    device: str
    kind: Kind
    clips_per_second: float


class Pace(NamedTuple):
    """Seconds that a clip takes on one device, and at least a step; ``source`` is one of :data:`SOURCES`."""

    seconds_per_clip: float
    seconds_per_step: float
    source: str


@cache
def network(backbone: str, width: int, channels: str) -> Any:
    """Build a backbone on torch's meta device: shapes without memory. Importing torch takes seconds: only here."""
    import torch

    from mac.models.backbones import build

    with torch.device("meta"):
        return build(backbone, width, channels).eval()


@cache
def count_operations(backbone: str, width: int, channels: str, num_frames: int, size: int) -> int:
    """Let torch count the floating-point operations of one clip's forward pass; frames are ``size`` pixels square."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(backbone, width, channels)(torch.empty(1, 3, num_frames, size, size, device="meta"))
    return counter.get_total_flops()


def clips_at_once(config: Config) -> int:
    """Clips that a step of a run takes."""
    return PROBED_AT_ONCE if isinstance(config, ProbeConfig) else config.optimiser.batch_size


def kinds_of(config: Config) -> tuple[Kind, Kind]:
    """The kinds of a run's training and of its test; a probe only tests."""
    clip = config if isinstance(config, ProbeConfig) else config.clip
    shape = {"num_frames": clip.num_frames, "size": clip.size, "precision": config.precision}
    facts = {name: getattr(config.model, name) for name in ("backbone", "width", "channels")} | shape
    test = Kind(stage="test", passes=1, **facts)
    if isinstance(config, ProbeConfig):
        return test, test
    if isinstance(config, PretrainConfig):
        return Kind(stage="pretrain", passes=method_of(config).passes, **facts), test
    return Kind(stage="finetune", passes=3, **facts), test


def load(path: Path) -> ThroughputFile:
    """Read ``throughput.yaml``.

    Raises:
        ConfigError: every problem of the file.
    """
    return validate(ThroughputFile, read_yaml(path), str(path))


def measurements(listed: ThroughputFile) -> list[Observed]:
    """What ``throughput.yaml`` lists as measured."""
    return [Observed("measured", m.device, m.on(m.device), m.clips_per_second) for m in listed.measured]


def pace(device: str, kind: Kind, known: list[Observed], listed: ThroughputFile) -> Pace | None:
    """How fast a device does a kind of work, by the best of :data:`SOURCES`; None if it isn't known."""
    kind = kind.on(device)
    similar = [o for o in known if o.device == device and o.kind.precision == kind.precision]
    if same := [o for o in similar if o.kind == kind]:
        source = same[0].source
        return Pace(1 / statistics.median(o.clips_per_second for o in same if o.source == source), 0.0, source)
    if similar:
        nearest = max(similar, key=lambda o: sum(getattr(o.kind, name) == value for name, value in kind))
        return Pace(kind.operations / nearest.kind.operations / nearest.clips_per_second, 0.0, "scaled")
    for assumption in listed.assumed:
        if assumption.device == device:
            rate = 1e12 * assumption.peak[kind.precision] * assumption.utilisation
            return Pace(kind.operations / rate, assumption.seconds_per_step, "assumed")
    return None


def own_rates(results: Path) -> list[Observed]:
    """Read the rates of all finished runs in a results folder; a run that can't be read is passed over."""
    found = []
    for metrics in sorted([*results.glob("pretrain/*/epoch_*.json"), *results.glob("finetune/*/metrics.json")]):
        model = PretrainConfig if metrics.parts[-3] == "pretrain" else FinetuneConfig
        events = metrics.with_suffix(".jsonl") if model is PretrainConfig else metrics.with_name("journal.jsonl")
        try:
            config = validate(model, read_yaml(metrics.with_name("config.yaml")))
            found += _rates(config, read_json(metrics), journal.read(events))
        except (ConfigError, DamagedFileError, OSError, KeyError, TypeError, ValueError):
            continue  # damaged, or written by another version: the report names it
    return found


def _rates(config: PretrainConfig | FinetuneConfig, final: dict, events: list[dict]) -> list[Observed]:
    """Clips a second of one device, in training and (finetuning) in testing, unless the test was interrupted."""
    count, device = split_device(final["device"])
    training, testing = (kind.on(device) for kind in kinds_of(config))
    epochs = [event for event in events if event.get("clips_per_second")]
    if not epochs:
        return []
    mean = statistics.harmonic_mean([event["clips_per_second"] for event in epochs])
    found = [Observed("own runs", device, training, mean / count)]
    trained = max(event["time"] for event in epochs)
    after = [event["event"] for event in events if event["time"] > trained]
    if isinstance(config, FinetuneConfig) and after and after[-1] == "end" and "continued" not in after:
        clips = final["videos"] * config.evaluate.num_clips
        found.append(Observed("own runs", device, testing, clips / (events[-1]["time"] - trained) / count))
    return found


def split_device(description: str) -> tuple[int, str]:
    """Read ``4 × NVIDIA H100`` as four devices of that name."""
    found = re.fullmatch(r"(\d+) × (.+)", description)
    return (int(found[1]), found[2]) if found else (1, description)
