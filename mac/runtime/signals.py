"""Requests to leave: a scheduler's SIGTERM asks a training to save itself."""

import signal
from collections.abc import Callable


def stop_request() -> Callable[[], bool]:
    """Listen for SIGTERM from now on; returns whether it has come."""
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    return lambda: bool(came)
