"""Waiting for others: whoever waits for long says for what."""

import fcntl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Thing = TypeVar("Thing")
PAUSE, PATIENCE = 0.2, 10.0  # seconds between two attempts, and before a wait is told


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say once on standard error what is waited for, as in "waiting for WHAT", if what is done within takes long."""
    timer = threading.Timer(PATIENCE, print, [f"waiting for {what}"], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def told_each(things: Iterator[Thing], what: str) -> Iterator[Thing]:
    """Yield what an iterator yields; say what is waited for if one takes long."""
    while True:
        with told(what):
            try:
                thing = [next(things)]
            except StopIteration:
                return
        yield thing.pop()  # kept by nobody else: a batch is large


def wait_until(attempt: Callable[[], bool], what: str) -> None:
    """Try until an attempt succeeds.

    Args:
        attempt: succeeds or not, at once.
        what: for whom or what, said if it takes long.
    """
    with told(what):
        while not attempt():
            time.sleep(PAUSE)


def lock(descriptor: int, what: str) -> None:
    """Lock an open file for this process alone, waiting for others to unlock it; ``what`` as of :func:`wait_until`."""

    def attempt() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    wait_until(attempt, what)
