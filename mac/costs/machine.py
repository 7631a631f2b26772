"""What a training asks of a machine: CPU cores, the processes among them that read clips, and memory. No torch."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from mac.config import ProbeConfig
from mac.costs.throughput import Config, Kind, ThroughputFile, clips_at_once, kinds_of

SPARE = 1.25  # readers are enough for a GPU that is this many times as fast as estimated
MOST_READERS = 16  # if the number of cores isn't known
# Megabytes, measured (docs/measurements.md): a process that trains, on a CPU and with CUDA's libraries; a reader.
ON_CPU, ON_GPU, READER = 2000, 4000, 500
SNAPSHOT = 1800  # for writing or reading a snapshot: four copies of the state of R3D-18 with its key encoder
AHEAD = 3  # batches a reader holds: two prepared and one page-locked
Auto = Literal["auto"]


@dataclass(frozen=True)
class Machine:
    """Where trainings run: whether on GPUs, and the number of CPU cores for each training (None: unknown)."""

    has_gpu: bool
    cores: int | None = None


@dataclass(frozen=True)
class Settings:
    """The user's choices: readers, CPU threads and megabytes of each process of a run, and how many processes."""

    readers: int | Auto = "auto"
    threads: int | Auto = "auto"
    memory: int | Auto = "auto"
    processes: int = 1


@dataclass(frozen=True)
class Needs:
    """What a run's job asks the scheduler for: cores and megabytes of all its processes; and readers of each one."""

    cores: int
    readers: int
    memory: int


def needs(config: Config, machine: Machine, settings: Settings, speeds: ThroughputFile) -> Needs:
    """Work out what a pretraining, finetuning or probe needs.

    On a CPU the network is the bottleneck: one thread, and the training itself reads the clips. A GPU gets as many
    readers as it takes to deliver its clips a second, but no more than it has CPU cores.

    Args:
        config: the resolved stage.
        machine: where it will run.
        settings: the user's choices; ``auto`` is worked out here.
        speeds: ``throughput.yaml``: of the fastest GPU that is known, and of reading.
    """
    kind, at_once = kinds_of(config)[0], clips_at_once(config)
    pixels = config.store.width * config.store.height
    threads = 1 if settings.threads == "auto" else settings.threads
    readers = settings.readers
    if readers == "auto" and not machine.has_gpu:
        readers = 0
    elif readers == "auto":
        read = speeds.of_a_frame("clips_per_core_second", pixels) * 16 / kind.num_frames
        wanted = math.ceil(SPARE * fastest_rate(kind, at_once, speeds) / read)
        most = MOST_READERS if machine.cores is None else machine.cores // settings.processes - threads
        readers = max(min(wanted, most), 1)
    memory = settings.memory
    if memory == "auto":
        process = ON_GPU if machine.has_gpu else ON_CPU
        if machine.has_gpu and not isinstance(config, ProbeConfig):
            process += SNAPSHOT * (config.model.width / 64) ** 2  # parameters grow with the square of the channels
        batch = at_once / settings.processes * kind.num_frames * pixels * 3 / 1e6  # megabytes
        memory = math.ceil(process + readers * (READER + AHEAD * batch))
    return Needs(settings.processes * (threads + readers), readers, settings.processes * memory)


def needs_alone(config: Config, machine: Machine, settings: Settings, speeds: ThroughputFile) -> Needs:
    """Work out what a probe or the figures need: one process on one GPU, also if several share each training."""
    cores = machine.cores // settings.processes if machine.cores else None
    return needs(config, replace(machine, cores=cores), replace(settings, processes=1), speeds)


def needs_of_detector(machine: Machine, settings: Settings) -> Needs:
    """Work out what the person detector needs: it reads the videos itself."""
    memory = settings.memory if settings.memory != "auto" else ON_GPU if machine.has_gpu else ON_CPU
    return Needs(1 if settings.threads == "auto" else settings.threads, 0, memory)


def fastest_rate(kind: Kind, batch: int, speeds: ThroughputFile) -> float:
    """The most clips a second that a GPU may take: the fastest measurement of the same network, if there is one.

    R(2+1)D counts as the same network whichever way its channels are counted: operations differ by 5 % at most.
    Limited by the least time that a step is assumed to take. Zero if nothing is known.
    """
    others = {"stage", "passes", "channels"}  # may differ
    facts, gpus = kind.model_dump(exclude=others), [m for m in speeds.measured if not m.device.startswith("CPU")]
    known = [m for m in gpus if facts.items() <= m.model_dump(exclude=others).items()]
    known = [m for m in known if (m.stage, m.passes) == (kind.stage, kind.passes)] or known
    measured = [m.clips_per_second * m.passes / kind.passes for m in known]
    possible = [batch / assumption.seconds_per_step for assumption in speeds.assumed]
    return min((max(rates) for rates in (measured, possible) if rates), default=0.0)
