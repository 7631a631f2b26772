"""How a process that is one of several of a training ends: with its status, whatever torch's threads are doing."""

import atexit
import os
import sys
import traceback
from collections.abc import Callable


def end_with(main: Callable[[], None]) -> None:
    """Call ``main`` and end the process as the interpreter would, but without taking the interpreter apart.

    A gloo thread may still hold the last message's tensors, and needs the interpreter to let go of them; where the
    interpreter has begun to end and waits for that thread, both wait for ever (pytorch/pytorch#56297). What was
    registered with ``atexit`` is called.
    """
    status = 1
    try:
        main()
        status = 0
    except SystemExit as leaving:
        status = _status(leaving.code)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
