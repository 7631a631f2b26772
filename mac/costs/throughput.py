"""How fast devices are: rates of finished runs, a measured list, and the assumptions that stand in for measurements."""

import json
import math
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mac.config import FinetuneConfig, Precision, PretrainConfig, Probability, Strict
from mac.costs.work import Kind, kinds_of
from mac.models.backbones import BACKBONES
from mac.tracking import journal
from mac.validation import ConfigError, read_yaml, validate


class Measurement(Strict):
    """Clips a second of one device at one kind of step, and where the number is from."""

    device: str
    stage: Literal["pretrain", "finetune", "test"]
    backbone: Literal[*BACKBONES]
    width: PositiveInt
    num_frames: PositiveInt
    size: PositiveInt
    precision: Precision
    passes: PositiveInt
    batch: PositiveInt
    threads: PositiveInt
    clips_per_second: PositiveFloat
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    where: str

    @property
    def kind(self) -> Kind:
        """What was measured."""
        return Kind(
            self.stage, self.backbone, self.width, self.num_frames, self.size, self.precision, passes=self.passes
        )


class Assumption(Strict):
    """A device nobody has measured: its peak [TFLOP/s], the share of it we assume, and the least a step takes [s]."""

    device: str
    peak: dict[Precision, PositiveFloat]
    utilisation: Probability
    seconds_per_step: PositiveFloat
    source: str


class FrameBytes(Strict):
    """Bytes of a stored frame at a size in pixels."""

    width: PositiveInt
    height: PositiveInt
    bytes: PositiveInt


class Reading(Strict):
    """Clips a second that one core reads from a frame store, at a size in pixels."""

    width: PositiveInt
    height: PositiveInt
    num_frames: PositiveInt
    clips_per_core_second: PositiveFloat
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    where: str


class Sharing(Strict):
    """Seconds that processes which share a training take to wait for each other once, and where that is from."""

    seconds: PositiveFloat
    source: str


class ThroughputFile(Strict):
    """``config/throughput.yaml``."""

    measured: list[Measurement] | None
    assumed: list[Assumption]
    frames: Annotated[list[FrameBytes], Field(min_length=1)]
    reading: Annotated[list[Reading], Field(min_length=1)]
    sharing: Sharing | None = None


@dataclass(frozen=True)
class Observed:
    """A device's clips a second at one kind, by finished runs or by the list."""

    device: str
    kind: Kind
    clips_per_second: float


@dataclass(frozen=True)
class Pace:
    """Seconds a clip takes on one device, and the least a step takes; ``source`` is one of :data:`SOURCES`."""

    seconds_per_clip: float
    seconds_per_step: float
    source: str

    def seconds(self, clips: float, steps: float) -> float:
        """Device seconds of so many clips in so many steps."""
        return max(clips * self.seconds_per_clip, steps * self.seconds_per_step)


SOURCES = {
    "own runs": "finished runs of the same network, clip and precision in this results folder",
    "measured": "config/throughput.yaml",
    "scaled": "the nearest measurement on that device, scaled by multiply–accumulates",
    "assumed": "assumed, not measured — a share of the maker's peak rate, see config/throughput.yaml",
}


def load(path: Path) -> ThroughputFile:
    """Read the list.

    Raises:
        ConfigError: every problem of the file.
    """
    content = read_yaml(path)
    try:
        return validate(ThroughputFile, content)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None


class Throughput:
    """Says how fast a device does a kind of work, by the best source there is."""

    def __init__(self, own: list[Observed], listed: ThroughputFile) -> None:
        """Take what finished runs say, and the list."""
        self._own = own
        self._listed = [Observed(m.device, m.kind, m.clips_per_second) for m in listed.measured or []]
        self._assumed = {assumption.device: assumption for assumption in listed.assumed}

    @property
    def devices(self) -> list[str]:
        """Devices anything is known of: those of own runs first, then measured, then assumed ones."""
        return list(dict.fromkeys([*(o.device for o in self._own + self._listed), *self._assumed]))

    def pace(self, device: str, kind: Kind) -> Pace | None:
        """How fast a device does a kind of work; None where nothing known says so."""
        for source, observed in (("own runs", self._own), ("measured", self._listed)):
            rates = [o.clips_per_second for o in observed if o.device == device and _alike(device, o.kind, kind)]
            if rates:
                return Pace(1 / statistics.median(rates), 0.0, source)
        near = [o for o in self._own + self._listed if o.device == device and _same_numerics(device, o.kind, kind)]
        if near:
            nearest = min(near, key=lambda o: _distance(o.kind, kind))
            factor = kind.operations / nearest.kind.operations
            return Pace(factor / nearest.clips_per_second, 0.0, "scaled")
        if assumption := self._assumed.get(device):
            rate = 1e12 * assumption.peak[kind.precision] * assumption.utilisation
            return Pace(2 * kind.operations / rate, assumption.seconds_per_step, "assumed")
        return None


def own_rates(results: Path) -> Iterator[Observed]:
    """Read the rates of all finished runs in a results folder; what another version wrote is passed over."""
    for metrics in sorted(results.glob("pretrain/*/epoch_*.json")):
        yield from _rates(metrics, metrics.with_suffix(".jsonl"), PretrainConfig)
    for metrics in sorted(results.glob("finetune/*/metrics.json")):
        yield from _rates(metrics, metrics.with_name("journal.jsonl"), FinetuneConfig)


def split_device(description: str) -> tuple[int, str]:
    """Read ``4 × NVIDIA H100`` as four devices of that name."""
    found = re.fullmatch(r"(\d+) × (.+)", description)
    return (int(found[1]), found[2]) if found else (1, description)


def _rates(metrics: Path, events_file: Path, model: type[PretrainConfig] | type[FinetuneConfig]) -> Iterator[Observed]:
    try:
        final = json.loads(metrics.read_text(encoding="utf-8"))
        config = validate(model, read_yaml(metrics.with_name("config.yaml")))
        events = journal.read(events_file)
        count, device = split_device(final["device"])
        found = list(_observed(config, final, events, device, count))
    except (ConfigError, OSError, KeyError, TypeError, ValueError):
        return  # damaged: the report says so
    yield from found


def _observed(
    config: PretrainConfig | FinetuneConfig, final: dict, events: list[dict], device: str, count: int
) -> Iterator[Observed]:
    training, testing = kinds_of(config)
    epochs = [event["clips_per_second"] for event in events if event.get("clips_per_second")]
    if epochs:
        yield Observed(device, training, statistics.harmonic_mean(epochs) / count)
    trained = max((e["time"] for e in events if e.get("clips_per_second")), default=None)
    ended = [event["time"] for event in events if event["event"] == "end"]
    if isinstance(config, FinetuneConfig) and trained and ended and ended[0] > trained:
        clips = final["videos"] * config.evaluate.num_clips
        # A test that was begun anew after an interruption would look slow: the journal says that there was one.
        if events[-1]["event"] == "end" and not any(e["event"] == "continued" and e["time"] > trained for e in events):
            yield Observed(device, testing, clips / (ended[0] - trained) / count)


def _numerics(device: str, precision: str) -> str:
    return "fp32" if device.startswith("CPU") and precision == "tf32" else precision  # a CPU has no TF32


def _same_numerics(device: str, a: Kind, b: Kind) -> bool:
    return _numerics(device, a.precision) == _numerics(device, b.precision)


def _alike(device: str, a: Kind, b: Kind) -> bool:
    shape = ("stage", "backbone", "width", "num_frames", "size", "passes")
    return all(getattr(a, name) == getattr(b, name) for name in shape) and _same_numerics(device, a, b)


def _distance(a: Kind, b: Kind) -> tuple:
    """Same network and stage first, then the nearest cost a clip."""
    work = abs(math.log(a.operations / b.operations))
    return (a.width != b.width, (a.num_frames, a.size) != (b.num_frames, b.size), a.backbone != b.backbone,
            a.stage != b.stage, work)  # fmt: skip
