"""Send runs to MLflow when they have ended, and while they train."""

import os
import sys
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mac.plan import Plan
from mac.tracking import replay, store
from mac.tracking.run_files import RunFiles, planned_runs

LAST_LOOKS = 12  # attempts to reach a store that is down when the work has ended


def record(client: MlflowClient, uri: str, plan: Plan, results: Path, stage: str, run_id: str) -> str:
    """Record a run that has results; returns the id that MLflow gives it."""
    with TemporaryDirectory() as folder:
        return replay.record(client, uri, lambda: RunFiles(plan, results, stage, run_id).record(Path(folder)))


def sync(client: MlflowClient, uri: str, plan: Plan, results: Path) -> str:
    """Bring a tracking store up to date with every run of a plan; what is there already stays as it is.

    Returns:
        How many runs were recorded, were there already, are unfinished, have not begun.
    """
    recorded = current = unfinished = waiting = 0
    for files in planned_runs(plan, results):
        if files.has_results:
            if replay.is_recorded(client, files.record()):
                current += 1
            else:
                record(client, uri, plan, results, files.stage, files.run_id)
                recorded += 1
        elif files.events:
            replay.send(client, uri, files.record)
            replay.mark_killed(client, uri, files.run_id)  # if it is training, its follower marks it as running
            unfinished += 1
        else:
            waiting += 1
    return f"{recorded} runs recorded, {current} there already, {unfinished} unfinished, {waiting} not begun"


def follow(plan: Plan, results: Path, uri: str, since: float, pid: int, every: float) -> None:
    """Send what runs write while they train; wait for a store that is down.

    Args:
        plan: of the scale.
        results: the results folder.
        uri: of the tracking store.
        since: ignore journals last written before this time, seconds since 1970: earlier attempts left them.
        pid: the process (Snakemake) to follow until it ends.
        every: seconds between two looks.
    """
    follower = Follower(plan, results, uri, since)
    while _is_alive(pid):
        follower.look()
        time.sleep(every)
    for _ in range(LAST_LOOKS):
        if follower.look(is_last=True):
            return
        time.sleep(every)


class Follower:
    """Sends what the runs of a plan write from now on; the arguments are those of :func:`follow`."""

    def __init__(self, plan: Plan, results: Path, uri: str, since: float) -> None:
        self._plan, self._results, self._uri, self._since = plan, results, uri, since
        self._client: MlflowClient | None = None
        self._sent: dict[str, int] = {}
        self._complained: set[str] = set()

    def look(self, is_last: bool = False) -> bool:
        """Send what is new, and at the last look mark the runs that have not ended; False without the store."""
        steps = (self._send, self._mark) if is_last else (self._send,)
        for files, step in product(planned_runs(self._plan, self._results), steps):
            try:
                step(files)
            except FileNotFoundError:
                continue  # it has just ended: its journal has moved
            except (store.TrackingError, MlflowException, OSError) as error:
                self._client = None
                self._complain("store", error)
                return False
            except Exception as error:  # one run's broken files must not silence the others
                self._complain(files.run_id, error)
        return True

    def _send(self, files: RunFiles) -> None:
        if files.written < self._since or files.is_finished:
            return
        known, count = self._sent.get(files.run_id, 0), len(files.events)
        if count == known:
            return
        self._client = self._client or store.connect(self._uri)
        skip = known if known < count else 0  # fewer events than before: the run went back to an older snapshot

        def read() -> replay.RunRecord:  # anew: what ``files`` has read may be old when the store is free
            return RunFiles(self._plan, self._results, files.stage, files.run_id).record()

        replay.send(self._client, self._uri, read, skip)
        self._sent[files.run_id] = count
        self._complained.discard("store")

    def _mark(self, files: RunFiles) -> None:
        if files.run_id in self._sent and not files.is_finished:
            self._client = self._client or store.connect(self._uri)
            replay.mark_killed(self._client, self._uri, files.run_id)

    def _complain(self, about: str, error: Exception) -> None:
        if about not in self._complained:
            self._complained.add(about)
            reason = (str(error) or type(error).__name__).splitlines()[0]
            print(f"{time.strftime('%H:%M:%S')} {about}: {reason}", file=sys.stderr, flush=True)


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
