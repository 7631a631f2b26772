"""Where a training runs: device, threads, numerics, and seeded construction of networks."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mac.randomness import Key, integer_seed


def prepare(device: str, threads: int) -> torch.device:
    """Choose the device (``auto`` takes CUDA where there is one) and set threads and deterministic algorithms.

    Raises:
        RuntimeError: ``cuda`` is asked for where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda, but torch sees no GPU; set `device: auto` or `cpu` in config/config.yaml")
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    return torch.device(chosen)


def describe(device: torch.device) -> str:
    """Name the device for a report, e.g. ``CPU (x86_64)`` or ``NVIDIA H100 80GB HBM3``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


@contextmanager
def seeded(keys: tuple[Key, ...]) -> Iterator[None]:
    """Seed torch's generator for the construction of a network, and put the old state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(keys))
        yield


def to_fast_layout(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Move a network to the device, in the memory format that 3D convolutions run fastest in."""
    return module.to(device, memory_format=torch.channels_last_3d)
