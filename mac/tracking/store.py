"""MLflow tracking stores: opening one, keeping parallel writers apart, reading results back."""

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from urllib.parse import unquote, urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mac.runtime import waiting

EXPERIMENT = "mac"
_CREDENTIALS = re.compile(r"^([^/]+://)(?!/)(.*)@", re.DOTALL)
ID, STAGE, COMPLETE, CONTENT = "mac.id", "mac.stage", "mac.complete", "mac.content"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow shows machine learning, not agents
FINAL = (".json", ".jsonl", ".parquet")  # artifacts of a run that reports are made of


class TrackingError(Exception):
    """The tracking store can't be reached or used; the message names it and the reason."""


def bare(uri: str) -> str:
    """Return a store's address as it may be shown and kept, and as MLflow gets it: without a name and a password."""
    return _CREDENTIALS.sub(r"\1", uri)


def _sign_in(uri: str) -> str:
    """Give an address's name and password to MLflow through its environment variables, so that no message has them.

    A password may hold any character; ``%`` and two hexadecimal digits are one.
    """
    found = _CREDENTIALS.match(uri)
    if found:
        name, _, password = found[2].partition(":")
        if not name or not password:
            raise ValueError("an address with a name and a password is http://NAME:PASSWORD@HOST")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(name)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return bare(uri)


def connect(uri: str, create: bool = True) -> MlflowClient:
    """Open a tracking store, creating and migrating a sqlite database first.

    Args:
        uri: of the store.
        create: make a sqlite database, and our experiment in a store, if they are missing.

    Raises:
        TrackingError: it can't be reached within a few seconds, it is missing, its experiment was deleted, or its files
            are no longer where it says.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    database = _sqlite_file(uri)
    if database and not database.exists() and not create:
        raise TrackingError(f"{database}: there is no such database — correct the address, or record runs there first")
    try:
        with one_at_a_time(uri):
            if database and database.exists():
                _check_database(database)
            elif database:
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # takes half a second

                # MlflowClient would name the working folder in SQL, and fail if its name has both kinds of quotes.
                SqlAlchemyStore(uri, _artifact_root(uri))
            client = MlflowClient(tracking_uri=_sign_in(uri))
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None and create:
                client.create_experiment(EXPERIMENT, artifact_location=_artifact_root(uri), tags=KIND)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(
            f"{bare(uri)}: MLflow can't be used there — {reason}. Start it, or change tracking_uri"
        ) from None
    if experiment is None:
        if not create:
            raise TrackingError(f"{bare(uri)}: it has no experiment {EXPERIMENT!r} — correct the address")
        return client
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"{bare(uri)}: the experiment {EXPERIMENT!r} was deleted — bring it back: MLFLOW_TRACKING_URI=ADDRESS"
            f" mlflow experiments restore --experiment-id {experiment.experiment_id}"
        )
    if database and experiment.artifact_location.startswith("file:"):
        place = Path(unquote(urlsplit(experiment.artifact_location).path))
        if not place.exists() and place.as_uri() != _artifact_root(uri):
            raise TrackingError(
                f"{database}: its runs' files were in {place}, which is gone — move them back there, or delete"
                f" {database} and make it again from the journals: python -m mac track sync"
            )
    return client


def _check_database(path: Path) -> None:
    """Refuse at once what is no sqlite database: MLflow tries for a minute."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.execute("select * from sqlite_master").fetchall()


def is_empty(client: MlflowClient) -> bool:
    """Whether a store that :func:`connect` has opened holds no runs of ours."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return not client.search_runs([experiment.experiment_id], max_results=1)


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

    Raises:
        TrackingError: the store can't be used, holds no finished run of ours, or lacks the files of one.
    """
    client = connect(uri, create=False)
    results: dict[str, bytes] = {}
    runs = find(client, f"tags.`{COMPLETE}` = 'true'")
    if not runs:
        raise TrackingError(f"{bare(uri)}: it holds no finished run of this pipeline — correct the address")
    for run in runs:
        listed = [artifact for artifact in client.list_artifacts(run.info.run_id) if artifact.path.endswith(FINAL)]
        if not listed:
            raise TrackingError(
                f"{bare(uri)}: run {run.info.run_name!r} ({run.data.tags[ID]}) has no files in"
                f" {run.info.artifact_uri} — python -m mac track sync brings them back from a results folder"
            )
        for artifact in listed:
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


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let only one process of this machine at a time write to a store.

    Processes that create a sqlite file at once break it, parallel writers stall, and two could create one run twice.
    """
    database = _sqlite_file(uri)
    if database is None:
        if urlsplit(uri).scheme not in ("http", "https"):
            # A bare database would put artifacts into whatever folder a process happens to work in.
            raise ValueError("allowed are sqlite:///FILE and http(s)://HOST of an `mlflow server` (on any database)")
        digest = hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()
        path = Path(gettempdir(), f"mac-tracking-{os.getuid()}-{digest}.lock")
    else:
        database.parent.mkdir(parents=True, exist_ok=True)
        path = database.with_suffix(".lock")
    with path.open("w") as lock:
        waiting.lock(lock.fileno(), f"another process that writes to MLflow's store ({path})")
        yield
