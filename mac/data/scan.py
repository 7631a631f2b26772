"""The parallel scan of many video files: no file can crash it, hang it or fill the memory."""

import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from mac.data.integrity import ABSENT, UNDECODABLE, Finding, examine

SECONDS = 600.0  # one file may take so long to decode
MEMORY = 1_500_000_000  # bytes one worker may take beyond what it starts with


def scan(
    files: list[str],
    root: Path,
    workers: int = 1,
    seconds: float = SECONDS,
    look: Callable[[Path], Finding] = examine,
) -> pd.DataFrame:
    """Examine files, each in a process that may die without harm to the rest.

    Args:
        files: relative to ``root``; an empty name is a video without a file.
        root: the data set's folder.
        workers: processes.
        seconds: a file that takes longer is undecodable.
        look: examines one file.

    Returns:
        One row per file, in order: the fields of :class:`mac.data.integrity.Finding`.
    """
    findings: list[Finding] = []
    present = [root / file for file in files if file]
    context = multiprocessing.get_context("spawn")  # a fork would inherit this process's threads in mid-air
    with ProcessPool(max_workers=workers, context=context, initializer=_limit_memory) as pool:
        results = pool.map(look, present, timeout=seconds).result()
        for _ in present:
            try:
                findings.append(next(results))
            except TimeoutError:
                findings.append(Finding(UNDECODABLE, f"decoding took more than {seconds:g} s"))
            except ProcessExpired as error:
                findings.append(Finding(UNDECODABLE, f"the decoder crashed (exit status {error.exitcode})"))
            except OSError as error:  # a link to nothing, no permission, a failing disk
                findings.append(Finding(UNDECODABLE, f"can't be read: {error.strerror}"))
            except MemoryError:
                findings.append(Finding(UNDECODABLE, "decoding needs too much memory"))
    found = iter(findings)
    absent = Finding(ABSENT, "listed, but there is no such file")
    return pd.DataFrame([(next(found) if file else absent).row() for file in files], columns=list(Finding().row()))


def _limit_memory() -> None:
    size = Path("/proc/self/statm")
    if size.exists():  # elsewhere than on Linux, the size of a process can't be limited
        used = int(size.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
