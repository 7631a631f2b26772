"""``track run``, ``track sync`` and ``track follow``: runs into MLflow, when they have ended and while they train."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mac import plan as planning
from mac.commands import reporting
from mac.commands.files import write_json
from mac.commands.run_records import RunFiles, planned_runs
from mac.tracking import replay, store

LAST_LOOKS = 12  # at a store that is down when all has ended


def run(arguments: argparse.Namespace) -> None:
    """Record a run that has results in MLflow and write a receipt with MLflow's run id.

    The summary is written anew in the same process where it is asked for: a second one would take a second to start.
    """
    plan = planning.load(arguments.config_dir, arguments.scale)
    if arguments.report:
        reporting.refresh(plan, arguments.results, arguments.runs_page, arguments.report)
    client = store.connect(arguments.tracking_uri)
    own = _record(client, arguments.tracking_uri, plan, arguments.results, arguments.stage, arguments.id)
    write_json(arguments.receipt, {"id": arguments.id, "mlflow_run_id": own, "tracking_uri": arguments.tracking_uri})


def sync(arguments: argparse.Namespace) -> None:
    """Bring a tracking store up to date with every run of a scale; what is there already stays as it is."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    client, uri = store.connect(arguments.tracking_uri), arguments.tracking_uri
    recorded = current = unfinished = waiting = 0
    for stage, run_id in planned_runs(plan):
        files = RunFiles(plan, arguments.results, stage, run_id)
        if files.has_results:
            if replay.is_recorded(client, files.record()):
                current += 1
            else:
                _record(client, uri, plan, arguments.results, stage, run_id)
                recorded += 1
        elif files.events:
            replay.send(client, uri, files.record)
            replay.mark_killed(client, uri, run_id)  # if it does train, what follows it says so soon
            unfinished += 1
        else:
            waiting += 1
    counts = f"{recorded} runs recorded, {current} there already, {unfinished} unfinished, {waiting} not begun"
    print(f"{uri}: {counts}")


def follow(arguments: argparse.Namespace) -> None:
    """Send what runs write while they train, until a process (Snakemake) has ended; wait for a store that is down."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    follower = Follower(plan, arguments.results, arguments.tracking_uri, arguments.since)
    while _is_alive(arguments.while_pid):
        follower.look()
        time.sleep(arguments.every)
    for _ in range(LAST_LOOKS):
        if follower.look() and follower.leave():
            return
        time.sleep(arguments.every)


class Follower:
    """Sends on what the runs of a plan write from now on."""

    def __init__(self, plan: planning.Plan, results: Path, uri: str, since: float) -> None:
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


def _record(client: MlflowClient, uri: str, plan: planning.Plan, results: Path, stage: str, run_id: str) -> str:
    with TemporaryDirectory() as folder:
        return replay.record(client, uri, lambda: RunFiles(plan, results, stage, run_id).record(Path(folder)))
