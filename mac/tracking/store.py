"""MLflow tracking stores: opening one, keeping parallel writers apart, and reading results back."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from urllib.parse import urlparse

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mac.tracking import view

EXPERIMENT = "mac"
ID, STAGE, COMPLETE, CONTENT = "mac.id", "mac.stage", "mac.complete", "mac.content"
FINAL = (".json", ".parquet")  # artifacts of a run that reports are made of


class TrackingError(Exception):
    """The tracking store can't be reached or used; the message names it and the reason."""


def connect(uri: str) -> MlflowClient:
    """Open a tracking store, creating and migrating a sqlite database first.

    Raises:
        TrackingError: it can't be reached within a few seconds.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        with one_at_a_time(uri):
            client = MlflowClient(tracking_uri=uri)
            if client.get_experiment_by_name(EXPERIMENT) is None:
                view.describe(client, client.create_experiment(EXPERIMENT, artifact_location=_artifact_root(uri)))
    except (MlflowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"{uri}: MLflow can't be used there — {reason}. Start it, or change tracking_uri") from None
    return client


def find(client: MlflowClient, query: str) -> list[Run]:
    """Find runs of the experiment by MLflow's filter language, newest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    found, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], query, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def finished_results(uri: str) -> dict[str, bytes]:
    """Read every complete run's final results back, by file name within its stage.

    Returns:
        ``"finetune/ID/metrics.json"`` → the file's bytes, likewise its predictions, and what pretrainings say of
        themselves: what reports are made of.
    """
    client = connect(uri)
    results: dict[str, bytes] = {}
    for run in find(client, f"tags.`{COMPLETE}` = 'true'"):
        for artifact in client.list_artifacts(run.info.run_id):
            if artifact.path.endswith(FINAL):
                with TemporaryDirectory() as folder:
                    path = Path(client.download_artifacts(run.info.run_id, artifact.path, folder))
                    key = f"{run.data.tags[STAGE]}/{run.data.tags[ID]}/{artifact.path}"
                    results.setdefault(key, path.read_bytes())
    return results


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _artifact_root(uri: str) -> str | None:
    """Beside a sqlite file; None lets a server choose."""
    database = _sqlite_file(uri)
    return (database.parent / "mlflow-artifacts").resolve().as_uri() if database else None


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one of this machine's processes at a time write to a store.

    Parallel first migrations of a sqlite file break it, parallel writers stall, and two could make one run twice.
    """
    database = _sqlite_file(uri)
    if database is None:
        if urlparse(uri).scheme not in ("http", "https"):
            # A bare database would put artifacts into whatever folder a process happens to work in.
            raise ValueError("allowed are sqlite:///FILE and http(s)://HOST of an `mlflow server` (on any database)")
        digest = hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()
        path = Path(gettempdir(), f"mac-tracking-{os.getuid()}-{digest}.lock")
    else:
        database.parent.mkdir(parents=True, exist_ok=True)
        path = database.with_suffix(".lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
