"""How fast devices are: clips a second of finished runs, of the measured list, or what torch's counter suggests."""

import json
import math
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mac.config import FinetuneConfig, Precision, PretrainConfig, Probability, ProbeConfig, Strict
from mac.methods import method_of
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
    """What is done to one clip, and so how long it takes on a device.

    ``passes``: forward passes it costs, a backward pass counting two.
    """

    stage: Literal["pretrain", "finetune", "test"]
    backbone: str
    width: PositiveInt
    num_frames: PositiveInt
    size: PositiveInt
    precision: Precision
    passes: PositiveInt

    @property
    def operations(self) -> int:
        """Floating-point operations a clip."""
        return self.passes * count_operations(self.backbone, self.width, self.num_frames, self.size)

    def on(self, device: str) -> "Kind":
        """The same with the precision that a device really has: a CPU has no TF32."""
        facts = {name: getattr(self, name) for name in Kind.model_fields}
        is_fp32 = device.startswith("CPU") and self.precision == "tf32"
        return Kind(**facts | ({"precision": "fp32"} if is_fp32 else {}))


class Measurement(Kind):
    """Clips a second of one device at one kind of step, and where the number is from."""

    device: str
    batch: PositiveInt
    threads: PositiveInt
    clips_per_second: PositiveFloat
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    where: str


class Assumption(Strict):
    """A device nobody has measured: its peak [TFLOP/s], the share of it we assume, and the least a step takes [s]."""

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
    """``config/throughput.yaml``; ``seconds_per_wait``: processes that share a training wait for each other so long."""

    measured: list[Measurement]
    assumed: list[Assumption]
    frames: list[StoredFrame]
    seconds_per_wait: PositiveFloat

    def of_a_frame(self, fact: Literal["bytes", "clips_per_core_second"], pixels: int) -> float:
        """What is known of the nearest frame size, as it would be at so many pixels."""
        known = [(getattr(f, fact), f.width * f.height) for f in self.frames if getattr(f, fact)]
        value, size = min(known, key=lambda entry: abs(math.log(entry[1] / pixels)))
        return value * pixels / size if fact == "bytes" else value * size / pixels

    @model_validator(mode="after")
    def _says_both(self) -> Self:
        if not all(any(getattr(f, fact) for f in self.frames) for fact in ("bytes", "clips_per_core_second")):
            raise ValueError("frames: give `bytes` of at least one size, and `clips_per_core_second` of one")
        return self


class Observed(NamedTuple):
    """A device's clips a second at one kind of step, by finished runs or by the list."""

    device: str
    kind: Kind
    clips_per_second: float


class Pace(NamedTuple):
    """Seconds a clip takes on one device, and the least a step takes; ``source`` is one of :data:`SOURCES`."""

    seconds_per_clip: float
    seconds_per_step: float
    source: str


@cache
def network(backbone: str, width: int) -> Any:
    """Build a backbone on torch's meta device: shapes without memory. Importing torch takes seconds: only here."""
    import torch

    from mac.models.backbones import build

    with torch.device("meta"):
        return build(backbone, width).eval()


@cache
def count_operations(backbone: str, width: int, num_frames: int, size: int) -> int:
    """Let torch count the floating-point operations of one clip's forward pass; frames are ``size`` pixels square."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(backbone, width)(torch.empty(1, 3, num_frames, size, size, device="meta"))
    return counter.get_total_flops()


def kinds_of(config: Config) -> tuple[Kind, Kind]:
    """The kinds of a run's training and of its test; a probe only tests."""
    clip = config if isinstance(config, ProbeConfig) else config.clip
    shape = {"num_frames": clip.num_frames, "size": clip.size, "precision": config.precision}
    facts = {"backbone": config.model.backbone, "width": config.model.width, **shape}
    test = Kind(stage="test", passes=1, **facts)
    if isinstance(config, ProbeConfig):
        return test, test
    if isinstance(config, PretrainConfig):
        return Kind(stage="pretrain", passes=method_of(config).passes, **facts), test
    return Kind(stage="finetune", passes=3, **facts), test


def load(path: Path) -> ThroughputFile:
    """Read the list.

    Raises:
        ConfigError: every problem of the file.
    """
    try:
        return validate(ThroughputFile, read_yaml(path))
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None


class Throughput:
    """Says how fast a device does a kind of work, by the best source there is."""

    def __init__(self, own: list[Observed], listed: ThroughputFile) -> None:
        """Take what finished runs say, and the list."""
        measured = [Observed(m.device, m.on(m.device), m.clips_per_second) for m in listed.measured]
        self._known = {"own runs": own, "measured": measured}
        self._assumed = {assumption.device: assumption for assumption in listed.assumed}
        self.devices = list(dict.fromkeys([*(o.device for o in own + measured), *self._assumed]))

    def pace(self, device: str, kind: Kind) -> Pace | None:
        """How fast a device does a kind of work; None where nothing known says so."""
        kind, similar = kind.on(device), []
        for source, known in self._known.items():
            similar += [o for o in known if o.device == device and o.kind.precision == kind.precision]
            if rates := [o.clips_per_second for o in similar if o.kind == kind]:
                return Pace(1 / statistics.median(rates), 0.0, source)
        if similar:
            nearest = max(similar, key=lambda o: _likeness(o.kind, kind))
            return Pace(kind.operations / nearest.kind.operations / nearest.clips_per_second, 0.0, "scaled")
        if assumed := self._assumed.get(device):
            rate = 1e12 * assumed.peak[kind.precision] * assumed.utilisation
            return Pace(kind.operations / rate, assumed.seconds_per_step, "assumed")
        return None


def _likeness(a: Kind, b: Kind) -> int:
    """In how many of its facts one kind of step is like another."""
    return sum(getattr(a, name) == getattr(b, name) for name in Kind.model_fields)


def own_rates(results: Path) -> list[Observed]:
    """Read the rates of all finished runs in a results folder; what another version wrote is passed over."""
    found = []
    for metrics in sorted([*results.glob("pretrain/*/epoch_*.json"), *results.glob("finetune/*/metrics.json")]):
        is_pretraining = metrics.parts[-3] == "pretrain"
        events = metrics.with_suffix(".jsonl") if is_pretraining else metrics.with_name("journal.jsonl")
        try:
            config = validate(
                PretrainConfig if is_pretraining else FinetuneConfig, read_yaml(metrics.with_name("config.yaml"))
            )
            found += _rates(config, json.loads(metrics.read_text(encoding="utf-8")), journal.read(events))
        except (ConfigError, OSError, KeyError, TypeError, ValueError):
            continue  # damaged: the report says so
    return found


def _rates(config: PretrainConfig | FinetuneConfig, final: dict, events: list[dict]) -> list[Observed]:
    """Clips a second of one device, training and (finetuning) testing; a test that began anew would look slow."""
    count, device = split_device(final["device"])
    training, testing = (kind.on(device) for kind in kinds_of(config))
    epochs = [event for event in events if event.get("clips_per_second")]
    if not epochs:
        return []
    mean = statistics.harmonic_mean([event["clips_per_second"] for event in epochs])
    trained, last = max(event["time"] for event in epochs), events[-1]
    after = [event["event"] for event in events if event["time"] > trained]
    if isinstance(config, PretrainConfig) or last["event"] != "end" or "continued" in after or not after:
        return [Observed(device, training, mean / count)]
    clips = final["videos"] * config.evaluate.num_clips
    tested = Observed(device, testing, clips / (last["time"] - trained) / count)
    return [Observed(device, training, mean / count), tested]


def split_device(description: str) -> tuple[int, str]:
    """Read ``4 × NVIDIA H100`` as four devices of that name."""
    found = re.fullmatch(r"(\d+) × (.+)", description)
    return (int(found[1]), found[2]) if found else (1, description)
