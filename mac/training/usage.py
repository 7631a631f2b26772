"""What a run itself uses of its machine and its device."""

import multiprocessing
import os
import resource
import time
from pathlib import Path

import torch

PAUSE = 5.0  # seconds between two looks at the GPU


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
