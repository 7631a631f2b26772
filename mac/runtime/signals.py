"""How a process of a training is asked to leave, and how it ends."""

import atexit
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable


def stop_request() -> Callable[[], bool]:
    """Listen for a scheduler's SIGTERM from now on; returns a function that says whether it has come."""
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    return lambda: bool(came)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process as soon as its parent has ended in any way (on Linux; elsewhere do nothing).

    Args:
        parent: the number of the parent process.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def end_with(main: Callable[[], None]) -> None:
    """Call ``main`` and end the process with the status the interpreter would give, but skip the interpreter's cleanup.

    Threads of libraries don't survive that cleanup: one of gloo's waits for the interpreter, and that for the thread,
    for ever (pytorch/pytorch#56297); one of Arrow's now and then ends the process with SIGABRT when all work is done
    (apache/arrow#34314). Functions registered with ``atexit`` are called.
    """
    status = 1
    try:
        main()
        status = 0
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            status = leaving.code or 0
        else:  # a message
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
