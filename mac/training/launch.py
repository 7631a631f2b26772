"""One command, several processes: a training on all the GPUs of its lease, with torchrun's environment."""

import os
import signal
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from mac.training.distributed import MEETING, STARTER
from mac.training.run_folder import Interrupted

PATIENCE = 30.0  # seconds for the others to end after one has failed


class ProcessError(Exception):
    """A process of a run failed; the message says how, and the process's own error is printed above it."""


def is_due(processes: int) -> bool:
    """Whether this process is to start ``processes`` others rather than being one of them."""
    return processes > 1 and "LOCAL_RANK" not in os.environ


def launch(processes: int, words: list[str]) -> None:
    """Run ``python -m mac WORDS`` in several processes that find each other, and wait for them.

    A SIGTERM is passed on to them, and they may take as long as they need to save their state. They share this
    process's lease of GPUs, and are killed when this process ends in any way.

    Raises:
        Interrupted: they were asked to leave, and have saved themselves.
        ProcessError: one failed; the others were ended.
    """
    with TemporaryDirectory(prefix="mac-processes-") as folder:
        shared = {"WORLD_SIZE": str(processes), MEETING: f"file://{folder}/meeting", STARTER: str(os.getpid())}
        workers: list[subprocess.Popen] = []
        signal.signal(signal.SIGTERM, lambda number, _: _tell(workers, number))
        for rank in range(processes):
            environment = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            workers.append(subprocess.Popen([sys.executable, "-m", "mac", *words], env=environment, close_fds=False))
        try:
            statuses = _wait(workers)
        finally:
            _tell(workers, signal.SIGKILL)
    if set(statuses) == {Interrupted.exit_status}:
        raise Interrupted("all processes have saved themselves and left; the same command continues")
    failed = [status for status in statuses if status not in (0, Interrupted.exit_status)]
    if failed or any(statuses):
        raise ProcessError(f"of {processes} processes one failed (statuses {statuses}); see above")


def _tell(workers: list[subprocess.Popen], number: int) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def _wait(workers: list[subprocess.Popen]) -> list[int]:
    """Wait for all; after one has failed, end the others, which might wait for it for ever."""
    deadline = None
    while any(worker.poll() is None for worker in workers):
        time.sleep(0.1)
        has_failed = any(worker.poll() not in (None, 0, Interrupted.exit_status) for worker in workers)
        if has_failed and deadline is None:
            deadline = time.monotonic() + PATIENCE
            _tell(workers, signal.SIGTERM)
        if deadline and time.monotonic() > deadline:
            _tell(workers, signal.SIGKILL)
    return [worker.returncode for worker in workers]
