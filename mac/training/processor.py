"""Where a training runs: device, threads, numerics, and seeded construction of networks."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mac.randomness import Key, integer_seed

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 2**31 - 1  # bytes; mallopt takes an int


def prepare(device: str, threads: int, precision: str = "tf32") -> torch.device:
    """Choose the device (``auto`` takes CUDA where there is one) and set threads, numerics, deterministic algorithms.

    Of several processes on a machine, each takes the device of its local rank (torchrun's ``LOCAL_RANK``).

    Raises:
        RuntimeError: ``cuda`` is asked for where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda, but torch sees no GPU; set `device: auto` or `cpu` in config/config.yaml")
    torch.set_num_threads(threads)
    keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    rounding = "ieee" if precision == "fp32" else "tf32"
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = rounding
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step rather than give it back to the system.

    A step allocates the same large tensors as the one before. Given back, their pages have to be mapped and zeroed
    anew each time, which takes longer than most steps of a view. Elsewhere than on glibc this does nothing.
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
