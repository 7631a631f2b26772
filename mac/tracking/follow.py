"""Runs into MLflow: when they have ended, and while they train."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mac.plan import Plan
from mac.tracking import replay, store
from mac.tracking.run_files import RunFiles, planned_runs

LAST_LOOKS = 12  # at a store that is down when all has ended


def record(client: MlflowClient, uri: str, plan: Plan, results: Path, stage: str, run_id: str) -> str:
    """Record a run that has results; returns MLflow's own id of it."""
    with TemporaryDirectory() as folder:
        return replay.record(client, uri, lambda: RunFiles(plan, results, stage, run_id).record(Path(folder)))


def sync(client: MlflowClient, uri: str, plan: Plan, results: Path) -> str:
    """Bring a tracking store up to date with every run of a plan; what is there already stays as it is.

    Returns:
        How many runs were recorded, were there already, are unfinished, have not begun.
    """
    recorded = current = unfinished = waiting = 0
    for stage, run_id in planned_runs(plan):
        files = RunFiles(plan, results, stage, run_id)
        if files.has_results:
            if replay.is_recorded(client, files.record()):
                current += 1
            else:
                record(client, uri, plan, results, stage, run_id)
                recorded += 1
        elif files.events:
            replay.send(client, uri, files.record)
            replay.mark_killed(client, uri, run_id)  # if it does train, what follows it says so soon
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
        since: leave alone what was last written before this time, seconds since 1970.
        pid: the process (Snakemake) whose end ends the following.
        every: seconds between two looks.
    """
    follower = Follower(plan, results, uri, since)
    while _is_alive(pid):
        follower.look()
        time.sleep(every)
    for _ in range(LAST_LOOKS):
        if follower.look() and follower.leave():
            return
        time.sleep(every)


class Follower:
    """Sends on what the runs of a plan write from now on."""

    def __init__(self, plan: Plan, results: Path, uri: str, since: float) -> None:
        """Follow what is written from ``since`` on, seconds since 1970; what earlier attempts left isn't training."""
        self._plan, self._results, self._uri, self._since = plan, results, uri, since
        self._client: MlflowClient | None = None
        self._sent: dict[str, int] = {}
        self._complained: set[str] = set()

    def look(self) -> bool:
        """Send what is new; False if the store can't be reached."""
        for run_id, files in self._files():
            try:
                if files.written >= self._since:
                    self._send(run_id, files)
            except FileNotFoundError:
                continue  # it has just ended: its journal has moved
            except (store.TrackingError, MlflowException, OSError) as error:
                self._client = None
                self._complain("store", error)
                return False
            except Exception as error:  # one run's broken files must not silence the others
                self._complain(run_id, error)
        return True

    def leave(self) -> bool:
        """Mark what was followed and hasn't ended; False if the store can't be reached."""
        try:
            for run_id, files in self._files():
                if run_id in self._sent and not files.is_finished:
                    replay.mark_killed(self._client or store.connect(self._uri), self._uri, run_id)
        except (store.TrackingError, MlflowException, OSError) as error:
            self._complain("store", error)
            return False
        return True

    def _send(self, run_id: str, files: RunFiles) -> None:
        if files.is_finished or len(files.events) == self._sent.get(run_id, 0):
            return
        self._client = self._client or store.connect(self._uri)
        known = self._sent.get(run_id, 0)
        skip = known if known < len(files.events) else 0  # fewer than before: it went back

        def read() -> replay.RunRecord:
            return RunFiles(self._plan, self._results, files.stage, run_id).record()

        replay.send(self._client, self._uri, read, skip)
        self._sent[run_id] = len(files.events)
        self._complained.discard("store")

    def _files(self) -> Iterator[tuple[str, RunFiles]]:
        for stage, run_id in planned_runs(self._plan):
            yield run_id, RunFiles(self._plan, self._results, stage, run_id)

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
