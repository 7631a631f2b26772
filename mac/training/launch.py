"""One command, several processes: a training on all the GPUs of its lease, started torchrun's way on this machine."""

import os
import signal
import sys
import uuid

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mac.training.run_folder import Interrupted


class ProcessError(Exception):
    """A process of a run failed; the message says how, and its own words stand above it."""


def is_due(processes: int) -> bool:
    """Whether this process is to start ``processes`` others rather than being one of them."""
    return processes > 1 and "LOCAL_RANK" not in os.environ


def launch(processes: int, words: list[str]) -> None:
    """Run ``python -m mac WORDS`` in several processes that find each other, and wait for them.

    A SIGTERM is passed on, and they have half a minute to save themselves.

    Raises:
        Interrupted: they were asked to leave, and have saved themselves.
        ProcessError: one failed; the others were ended.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "mac", *words)
    except SignalException as error:
        if error.sigval != signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise Interrupted("asked to leave; the same command continues") from None
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode  # the others were ended because of it
        if status == Interrupted.exit_status:
            raise Interrupted("asked to leave; the same command continues") from None
        raise ProcessError(f"one of {processes} processes failed with status {status}; see above") from None
