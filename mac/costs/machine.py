"""What a training asks of a machine: CPU cores, the processes among them that read clips, and memory. No torch."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from mac.config import ProbeConfig
from mac.costs.throughput import PROBED_AT_ONCE, Config, Kind, ThroughputFile, kinds_of

SPARE = 1.25  # readers keep up with a GPU that is so many times as fast as estimated
MOST_READERS = 16  # where the number of cores isn't known
# Megabytes, measured (docs/measurements.md): a process that trains, on a CPU and with CUDA's libraries; a reader.
ON_CPU, ON_GPU, READER = 2000, 4000, 500
SNAPSHOT = 1800  # for writing or reading a snapshot: four copies of the state of R3D-18 with its key encoder
AHEAD = 3  # batches a reader holds: two prepared and one page-locked
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
    """Processes that read as many clips a second as the network takes, and a quarter more."""
    if not machine.has_gpu:
        return 0
    kind = kinds_of(config)[0]
    read = speeds.of_a_frame("clips_per_core_second", config.store.width * config.store.height) * 16 / kind.num_frames
    return max(math.ceil(SPARE * fastest_rate(kind, _clips(config), speeds) / read), 1)


def fastest_rate(kind: Kind, batch: int, speeds: ThroughputFile) -> float:
    """The most clips a second that a GPU may take: what has been measured of the same network, if anything has.

    No faster than by the least time that a step is assumed to take. Zero where nothing is known.
    """
    network = {"stage": True, "passes": True}  # may differ
    facts, gpus = kind.model_dump(exclude=network), [m for m in speeds.measured if not m.device.startswith("CPU")]
    known = [m for m in gpus if facts.items() <= m.model_dump(exclude=network).items()]
    known = [m for m in known if (m.stage, m.passes) == (kind.stage, kind.passes)] or known
    measured = [m.clips_per_second * m.passes / kind.passes for m in known]
    possible = [batch / assumption.seconds_per_step for assumption in speeds.assumed]
    return min((max(rates) for rates in (measured, possible) if rates), default=0.0)


def _clips(config: Config) -> int:
    """Clips that a step of a run takes at a time."""
    return PROBED_AT_ONCE if isinstance(config, ProbeConfig) else config.optimiser.batch_size


def _memory(config: Config, machine: Machine, processes: int, readers: int) -> int:
    """Megabytes of one process and its readers."""
    process = ON_GPU if machine.has_gpu else ON_CPU
    if machine.has_gpu and not isinstance(config, ProbeConfig):
        process += SNAPSHOT * (config.model.width / 64) ** 2  # parameters grow with the square of the channels
    frames = kinds_of(config)[0].num_frames * config.store.width * config.store.height
    batch = _clips(config) / processes * frames * 3 / 1e6
    return math.ceil(process + readers * (READER + AHEAD * batch))
