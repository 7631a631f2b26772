"""Where a training runs: device, threads, numerics, and seeded construction of networks."""

import ctypes
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mac.randomness import Key, integer_seed
from mac.runtime import lease, packages

MOST_READERS = 16  # of a process, unless the user sets a number; no GPU needs more
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 2**31 - 1  # bytes; mallopt takes an int
WAYS_OUT = (
    "Ways out: wait for the other processes or take another GPU (see nvidia-smi), `jobs_per_gpu: 1`, or"
    " `gpus_per_run: 2`, which splits the batch (config/config.yaml); a smaller `batch_size` or `precision: bf16` is"
    " another experiment"
)


class GpuError(Exception):
    """A GPU that is there, or asked for, can't be used; the message says why and the way out."""


def prepare(device: str, threads: int, precision: str = "tf32", deterministic: bool = True) -> torch.device:
    """Choose the device and set threads, numerics and deterministic algorithms.

    ``auto`` takes CUDA where the machine has a GPU or the scheduler granted one, and the CPU elsewhere: a GPU that is
    there is used, or this fails. If several processes train on a machine, each takes the GPU of its ``LOCAL_RANK``.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: of torch on the CPU.
        precision: of the run. ``tf32`` lets convolutions and matrix products of float32 round their inputs to 10 bits
            of mantissa; sums, normalisations, losses and the optimiser are float32. ``fp32`` forbids it.
        deterministic: refuse CUDA algorithms whose results differ from one run to the next.

    Raises:
        GpuError: CUDA is asked for or granted, and unusable; or the device hasn't the precision.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    rounding = "ieee" if precision == "fp32" else "tf32"
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = rounding
    own = _choose(device)
    if own.type == "cpu":
        if precision == "bf16":
            raise GpuError(
                "precision: bf16 is for GPUs: on CPUs torch's bfloat16 convolutions give wrong gradients for some sizes"
                " (docs/gpus.md); allowed here are tf32 and fp32: change `precision` in config/default.yaml or in the"
                " scale"
            )
        return own
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise GpuError(
            f"precision: bf16, but {torch.cuda.get_device_name(own)} computes bfloat16 only by emulation; allowed here"
            " are tf32 and fp32: change `precision` in config/default.yaml or the scale"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time
    torch.backends.cudnn.deterministic = deterministic
    torch.cuda.set_device(own)
    return own


def count_readers(
    device: torch.device, wanted: int | None = None, cores: int | None = None, threads: int = 1, processes: int = 1
) -> int:
    """Count the reading processes of each of a job's processes.

    Args:
        device: where it trains. A CPU is busy with the network and reads by itself; a GPU gets readers.
        wanted: the number to return; None counts.
        cores: of the job; None takes those that this process may use.
        threads: of torch in each process.
        processes: of the job, a GPU each.
    """
    if wanted is not None:
        return wanted
    if device.type == "cpu":
        return 0
    own = (cores or len(os.sched_getaffinity(0))) // processes
    return min(max(own - threads, 1), MOST_READERS)


def _choose(device: str) -> torch.device:
    if device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    granted = lease.real_devices()
    if device == "auto" and not granted:
        return torch.device("cpu")
    wanted = f"this job was given the GPU {granted[0]}" if granted else "device: cuda"
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    raise GpuError(
        f"{wanted}, but torch can't use it. torch {torch.__version__} was built for {build}; it says: {_refusal()}."
        f" nvidia-smi says: {_driver()}. Install a build of torch that fits the driver, or a newer driver (CUDA 13"
        " needs 580 or newer, CUDA 12 525): README.md, “On a machine with GPUs”. To train on the CPU all the same, set"
        " `device: cpu` in config/config.yaml"
    )


def _refusal() -> str:
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().splitlines()[0].rstrip(".")
    return "no device is visible"


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nothing ({error})"
    return "; ".join((told.stdout + told.stderr).split("\n")).strip("; ") or "nothing"


def arithmetic(precision: str, device: torch.device) -> str:
    """What a run of some precision really computes with on a device: ``fp32``, ``tf32`` or ``bf16``.

    TF32 needs a GPU of compute capability 8.0; elsewhere it is float32.
    """
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "fp32" if precision == "tf32" and not has_tf32 else precision


def facts(precision: str, device: torch.device) -> dict[str, str]:
    """What a run records of its code and its arithmetic: ``commit``, ``torch``, ``lock``, ``arithmetic``."""
    computed = {"torch": torch.__version__, "lock": packages.describe(), "arithmetic": arithmetic(precision, device)}
    return {"commit": git_commit()} | computed


def git_commit() -> str:
    """The commit of the working tree, with + when it has changes; ``unknown`` outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step rather than give it back to the system.

    A step allocates the same large tensors as the one before. If their memory went back to the system, it would have
    to be mapped and zeroed again, which takes longer than most operations on a view. Without glibc this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Let networks compute in bfloat16 where the run's precision is ``bf16``; weights and optimiser stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def describe(device: torch.device, count: int = 1) -> str:
    """Name the devices for a report, e.g. ``CPU (x86_64)`` or ``4 × NVIDIA H100 80GB HBM3``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    return name if count == 1 else f"{count} × {name}"


@contextmanager
def seeded(keys: tuple[Key, ...]) -> Iterator[None]:
    """Seed torch's generator for the construction of a network, and put the old state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(keys))
        yield


def to_fast_layout(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Move a network to the device, in the memory format that 3D convolutions run fastest in."""
    return module.to(device, memory_format=torch.channels_last_3d)


@contextmanager
def explained(device: torch.device) -> Iterator[None]:
    """Turn running out of a GPU's memory into an error that says what was free and the way out.

    Raises:
        GpuError: in place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        free, total = torch.cuda.mem_get_info(device)
        raise GpuError(
            f"{torch.cuda.get_device_name(device)} ran out of memory: this training held"
            f" {_gigabytes(torch.cuda.max_memory_reserved(device))} of {_gigabytes(total)}, {_gigabytes(free)} were"
            f" free. The newest snapshot is kept. {WAYS_OUT}. torch said: {str(error).splitlines()[0]}"
        ) from None


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
