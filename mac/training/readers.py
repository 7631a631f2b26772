"""The processes that read clips for a training: what they need of the machine, how they start, how they end."""

import multiprocessing.resource_tracker
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from mac.runtime.signals import die_with_parent

# Not `fork`: a copy of a process with CUDA and threads may hang. Not `forkserver`, Python 3.14's default: a SIGTERM to
# the job ends its server, and torch's readers end with that. What readers get must be picklable.
START_METHOD = "spawn"
AHEAD = 2  # batches that each reader prepares, torch's default
SHARED = Path("/dev/shm")  # noqa: S108 (where torch hands batches over on Linux)
SOCKET_PATH = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")  # characters: Linux's limit less Python's own names


class ReadersError(Exception):
    """Readers can't work on this machine; the message says what they lack and the way out."""


def check(workers: int, batch_bytes: int) -> None:
    """Make sure that readers can hand over batches, before they start: without the means they would hang or crash.

    Args:
        workers: reading processes.
        batch_bytes: of one batch.

    Raises:
        ReadersError: too little shared memory, or too long a path of temporary files.
    """
    sharing = int(os.environ.get("WORLD_SIZE", "1"))  # processes of this run
    wanted = (workers * AHEAD + 1) * batch_bytes * sharing
    if SHARED.is_dir() and (free := shutil.disk_usage(SHARED).free) < wanted:
        most = max(int(free / sharing / batch_bytes - 1) // AHEAD, 0)
        raise ReadersError(
            f"{SHARED} has {free / 1e6:.0f} MB free, but {workers} readers need up to {wanted / 1e6:.0f} MB for batches"
            f" of {batch_bytes / 1e6:.0f} MB, and so do those of each other training here. Give the container more"
            f" (docker run --shm-size=8g), or set `loader_workers` in config/config.yaml to {most} or fewer (0 reads in"
            " the training's own process)"
        )
    if len(folder := tempfile.gettempdir()) > SOCKET_PATH:
        raise ReadersError(
            f"TMPDIR={folder} has {len(folder)} characters, but sockets of reading processes can be made only below a"
            f" path of at most {SOCKET_PATH}. Set TMPDIR to a shorter one (export TMPDIR=/tmp), or set `loader_workers:"
            " 0` in config/config.yaml"
        )


@contextmanager
def starting() -> Iterator[None]:
    """Start readers within this context: they inherit that SIGTERM is blocked, so no SIGTERM ever ends them.

    A scheduler sends SIGTERM to all processes of a job. The training must save its state, and needs its readers until
    then. A SIGTERM to the training itself that comes within the context is delivered afterwards.
    """
    multiprocessing.resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(parent: int, _: int) -> None:
    """Prepare a reader: it ends when the process ``parent`` ends in any way, or sends it a SIGTERM."""
    die_with_parent(parent)
    Thread(target=_end_when_told, args=(parent,), daemon=True).start()


def _end_when_told(parent: int) -> None:
    """Obey only a SIGTERM of the parent: Python sends it to a reader that is still there when the parent exits."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
