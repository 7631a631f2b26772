"""``track run``, ``track sync`` and ``track follow``: runs into MLflow, when they have ended and while they train."""

import argparse
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mac import plan as planning
from mac.commands.files import write_json
from mac.commands.run_records import RunFiles, planned_runs
from mac.tracking import replay, store


def run(arguments: argparse.Namespace) -> None:
    """Record a run that has results in MLflow and write a receipt with MLflow's run id."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    files = RunFiles(plan, arguments.results, arguments.stage, arguments.id)
    own = _record(store.connect(arguments.tracking_uri), arguments.tracking_uri, files)
    write_json(arguments.receipt, {"id": arguments.id, "mlflow_run_id": own, "tracking_uri": arguments.tracking_uri})


def sync(arguments: argparse.Namespace) -> None:
    """Bring a tracking store up to date with every run of a scale; what is there already stays as it is."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    client = store.connect(arguments.tracking_uri)
    recorded = current = training = waiting = 0
    for stage, run_id in planned_runs(plan):
        files = RunFiles(plan, arguments.results, stage, run_id)
        if files.has_results:
            if replay.is_recorded(client, files.record()):
                current += 1
            else:
                _record(client, arguments.tracking_uri, files)
                recorded += 1
        elif files.events:
            replay.send(client, arguments.tracking_uri, files.record())
            training += 1
        else:
            waiting += 1
    counts = f"{recorded} runs recorded, {current} there already, {training} in training, {waiting} not begun"
    print(f"{arguments.tracking_uri}: {counts}")


def follow(arguments: argparse.Namespace) -> None:
    """Send what runs write while they train, until a process (Snakemake) has ended; wait for a store that is down."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    sent: dict[str, int] = {}
    client = None
    while True:
        is_last = not _is_alive(arguments.while_pid)
        try:
            client = client or store.connect(arguments.tracking_uri)
            for stage, run_id in planned_runs(plan):
                files = RunFiles(plan, arguments.results, stage, run_id)
                if files.is_training and len(files.events) != sent.get(run_id):
                    known = sent.get(run_id, 0)
                    skip = known if known < len(files.events) else 0  # fewer than before: it went back
                    replay.send(client, arguments.tracking_uri, files.record(), skip)
                    sent[run_id] = len(files.events)
                if is_last and run_id in sent and not files.is_finished:
                    replay.end(client, arguments.tracking_uri, run_id, "KILLED")
        except (store.TrackingError, MlflowException, OSError) as error:
            client = None
            print(f"{time.strftime('%H:%M:%S')} {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
        if is_last:
            return
        time.sleep(arguments.every)


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _record(client: MlflowClient, uri: str, files: RunFiles) -> str:
    with TemporaryDirectory() as folder:
        return replay.record(client, uri, files.record(Path(folder)))
