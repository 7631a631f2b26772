"""What a training asks of a machine: CPU cores, the processes among them that read clips, and memory. No torch."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from mac.config import FinetuneConfig, PretrainConfig, ProbeConfig
from mac.costs.disk import finetuning_bytes, state_bytes
from mac.costs.throughput import Throughput, ThroughputFile
from mac.costs.work import Kind, kinds_of

SPARE = 1.25  # readers keep up with a GPU that is so many times as fast as estimated
MOST_READERS = 16  # where the number of cores isn't known
# Megabytes, measured (docs/measurements.md): a process that trains, on a CPU and with CUDA's libraries; a reader.
ON_CPU, ON_GPU, READER = 2000, 4000, 500
COPIES = 4  # of a training's state that writing or reading a snapshot holds at a time
AHEAD = 3  # batches a reader holds: two prepared and one page-locked
PROBED_AT_ONCE = 32  # clips, of a probe (mac/stages/probe.py)
Config = PretrainConfig | FinetuneConfig | ProbeConfig
Auto = Literal["auto"]


@dataclass(frozen=True)
class Machine:
    """Where trainings run: whether on GPUs, and the cores there are for each of them; None where nobody knows."""

    has_gpu: bool
    cores: int | None = None


@dataclass(frozen=True)
class Settings:
    """The user's choices, or ``auto``: of each of a run's ``processes``, its readers, CPU threads and megabytes."""

    readers: int | Auto = "auto"
    threads: int | Auto = "auto"
    memory: int | Auto = "auto"
    processes: int = 1


@dataclass(frozen=True)
class Needs:
    """What a run's job asks the scheduler for: cores and megabytes, of all its processes; ``readers`` is of each."""

    cores: int
    readers: int
    memory: int


def needs(config: Config, machine: Machine, settings: Settings, speeds: ThroughputFile) -> Needs:
    """Reckon what a pretraining, finetuning or probe needs.

    On a CPU the network is the bottleneck: one thread, and clips are read by the training itself. A GPU gets as many
    readers as its clips a second take, at most the cores that there are for it.

    Args:
        config: the resolved stage.
        machine: where it will run.
        settings: what the user wants instead.
        speeds: ``throughput.yaml``: of the fastest GPU that anything is known of, and of reading.
    """
    threads = 1 if settings.threads == "auto" else settings.threads
    wanted = _readers(config, machine, speeds) if settings.readers == "auto" else settings.readers
    if settings.readers == "auto" and machine.has_gpu:
        most = MOST_READERS if machine.cores is None else max(machine.cores // settings.processes - threads, 1)
        wanted = min(wanted, most)
    memory = settings.memory if settings.memory != "auto" else _memory(config, machine, settings.processes, wanted)
    return Needs(settings.processes * (threads + wanted), wanted, settings.processes * memory)


def needs_alone(config: Config, machine: Machine, settings: Settings, speeds: ThroughputFile) -> Needs:
    """Reckon what a probe or the figures need: one process on one GPU, however many share a training."""
    cores = machine.cores // settings.processes if machine.cores else None
    return needs(config, replace(machine, cores=cores), replace(settings, processes=1), speeds)


def needs_of_detector(machine: Machine, settings: Settings) -> Needs:
    """Reckon what finding persons in videos needs: it reads them itself."""
    memory = settings.memory if settings.memory != "auto" else ON_GPU if machine.has_gpu else ON_CPU
    return Needs(1 if settings.threads == "auto" else settings.threads, 0, memory)


def _readers(config: Config, machine: Machine, speeds: ThroughputFile) -> int:
    if not machine.has_gpu:
        return 0
    kind, frame = _kind(config), config.store.width * config.store.height
    nearest = min(speeds.reading, key=lambda r: abs(math.log(r.width * r.height / frame)))
    pixels = nearest.num_frames * nearest.width * nearest.height
    read = nearest.clips_per_core_second * pixels / (kind.num_frames * frame)
    return max(math.ceil(SPARE * fastest_rate(kind, _clips(config), speeds) / read), 1)


def fastest_rate(kind: Kind, batch: int, speeds: ThroughputFile) -> float:
    """Clips a second of the fastest GPU that has been measured, else of one that is assumed.

    A step takes some time however little it computes: the least that is assumed of a device.
    """
    known = Throughput([], speeds)
    paces = [known.pace(device, kind) for device in known.devices if not device.startswith("CPU")]
    found = [pace for pace in paces if pace]
    found = [pace for pace in found if pace.source != "assumed"] or found
    least = min((assumption.seconds_per_step for assumption in speeds.assumed), default=0.0)
    seconds = [max(batch * pace.seconds_per_clip, least) for pace in found]
    return batch / min(seconds, default=math.inf)


def _clips(config: Config) -> int:
    """Clips that a step of a run takes at a time."""
    return PROBED_AT_ONCE if isinstance(config, ProbeConfig) else config.optimiser.batch_size


def _kind(config: Config) -> Kind:
    """The kind of step that takes a run's time."""
    if isinstance(config, ProbeConfig):
        model = config.model
        return Kind("test", model.backbone, model.width, config.num_frames, config.size, config.precision, 1)
    return kinds_of(config)[0]


def _memory(config: Config, machine: Machine, processes: int, readers: int) -> int:
    """Megabytes of one process and its readers."""
    clips = _clips(config) / processes
    frames = config.num_frames if isinstance(config, ProbeConfig) else config.clip.num_frames
    batch = clips * frames * config.store.width * config.store.height * 3 / 1e6
    state = 0.0
    if isinstance(config, PretrainConfig):
        state = state_bytes(config) / 1e6
    elif isinstance(config, FinetuneConfig):
        state = finetuning_bytes(config) / 1e6
    process = (ON_GPU if machine.has_gpu else ON_CPU) + (COPIES * state if machine.has_gpu else 0)
    return math.ceil(process + readers * (READER + AHEAD * batch))
