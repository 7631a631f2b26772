"""Requests to leave: a scheduler's SIGTERM asks a training to save itself; a parent's death ends its workers."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable


def stop_request() -> Callable[[], bool]:
    """Listen for SIGTERM from now on; returns whether it has come."""
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    return lambda: bool(came)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when ``parent``, its parent, has ended, however (Linux; elsewhere nothing)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)
