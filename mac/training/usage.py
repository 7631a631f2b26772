"""What a run itself uses of its machine and its device, and whether its training fits into the GPU's memory."""

import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from mac.models.backbones import build
from mac.training.processor import GpuError

PAUSE = 5.0  # seconds between two looks at the GPU
WAYS_OUT = (
    "Ways out: wait for the other processes or take another GPU (see nvidia-smi), `jobs_per_gpu: 1`, or"
    " `gpus_per_run: 2`, which splits the batch (config/config.yaml); a smaller `batch_size` or `precision: bf16` is"
    " another experiment"
)


class Usage:
    """Measures a run's use since the last reading, under the names MLflow keeps for system metrics."""

    def __init__(self, device: torch.device) -> None:
        """Watch this process, its readers, and ``device``."""
        self._device, self._busy, self._looked = device, [], time.monotonic()
        self._has_counter = device.type == "cuda"
        self._begin()

    def look(self) -> None:
        """Note how busy the GPU is, if the last look is ``PAUSE`` seconds old; call it at every step."""
        if self._has_counter and time.monotonic() - self._looked >= PAUSE:
            self._looked = time.monotonic()
            try:
                self._busy.append(torch.cuda.utilization(self._device))
            except Exception:  # NVML's errors have no base of their own; without NVML the number is left out
                self._has_counter = False

    def read(self) -> dict[str, float]:
        """Read the use since the last reading.

        Returns:
            CPU time as percent of one core, largest resident memory so far [MB], and on a GPU the largest memory
            allocated [MB] and the mean utilisation [percent], of this process's device alone.
        """
        seconds = max(time.monotonic() - self._began, 1e-3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        use = {
            "system/cpu_utilization_percentage": round(100 * (cpu_seconds() - self._cpu) / seconds, 1),
            "system/memory_peak_megabytes": round(peak, 1),
        }
        if self._device.type == "cuda":
            use["system/gpu_memory_peak_megabytes"] = round(torch.cuda.max_memory_allocated(self._device) / 2**20, 1)
        if self._busy:
            use["system/gpu_utilization_percentage"] = round(sum(self._busy) / len(self._busy), 1)
        self._begin()
        return use

    def _begin(self) -> None:
        self._began, self._cpu, self._busy = time.monotonic(), cpu_seconds(), []
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)


def cpu_seconds() -> float:
    """CPU time of this process and of the processes it has started, ended ones and (on Linux) those still at work."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    for process in multiprocessing.active_children():
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:  # it has ended meanwhile, or this is no Linux
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, see proc(5)
    return total


def saved_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Count what a forward pass keeps for the backward pass, parameters left out; nothing is computed.

    Args:
        network: on the meta device.
        shape: (B, 3, T, S, S) of its float32 input.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(torch.empty(shape, device="meta"))
    del result
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in own)


def least_bytes(backbone: str, width: int, shape: tuple[int, ...], views: int, precision: str) -> int:
    """Compute the least memory a training needs [bytes]: weights, gradients, momentum and what its backward pass needs.

    Args:
        backbone: its name.
        width: channels of its first stage.
        shape: (B, 3, T, S, S) of a view.
        views: how many the backbone is trained on in a step.
        precision: of the run; bfloat16 halves what is kept.
    """
    with torch.device("meta"):
        network = build(backbone, width)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    return 3 * weights + views * saved_bytes(network, shape) // (2 if precision == "bf16" else 1)


def check(device: torch.device, least: int) -> None:
    """Make sure that a GPU has the memory that a training needs at least.

    Args:
        device: where it will train; a CPU always passes.
        least: bytes, see :func:`least_bytes`.

    Raises:
        GpuError: it hasn't; others may be using it.
    """
    if device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if free < least:
        raise GpuError(
            f"{torch.cuda.get_device_name(device)} has {_gigabytes(free)} of {_gigabytes(total)} free, other processes"
            f" hold the rest; this training needs more than {_gigabytes(least)}. {WAYS_OUT}"
        )


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
