"""Replay of journals into MLflow. One MLflow run per run id; replaying twice changes nothing."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlparse

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from mac.tracking import journal as journals

EXPERIMENT = "mac"
ID, STAGE, COMPLETE, CONTENT = "mac.id", "mac.stage", "mac.complete", "mac.content"
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
FINAL = ".json"  # artifacts of a run that reports are made of


class TrackingError(Exception):
    """The tracking store can't be reached or used; the message names it and the reason."""


@dataclass(frozen=True)
class RunRecord:
    """What is known of a finished run: its id and stage, a name for people, resolved parameters, tags, and files.

    ``parent`` is the id (ours, not MLflow's) of the run it starts from.
    """

    run_id: str
    stage: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    files: list[Path]
    parent: str | None = None

    @property
    def content(self) -> str:
        """A digest of the run's files."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.files):
            digest.update(path.name.encode() + hashlib.blake2b(path.read_bytes()).digest())
        return digest.hexdigest()


def is_recorded(client: MlflowClient, run: RunRecord) -> bool:
    """Whether the store holds this run complete, with the files it has now."""
    same = f"tags.`{ID}` = '{run.run_id}' and tags.`{COMPLETE}` = 'true' and tags.`{CONTENT}` = '{run.content}'"
    return bool(find(client, same))


def connect(uri: str) -> MlflowClient:
    """Open a tracking store, creating and migrating a sqlite database first.

    Raises:
        TrackingError: it can't be reached within a few seconds.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        with _one_at_a_time(uri):
            client = MlflowClient(tracking_uri=uri)
            if client.get_experiment_by_name(EXPERIMENT) is None:
                client.create_experiment(EXPERIMENT, artifact_location=_artifact_root(uri))
    except (MlflowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"{uri}: MLflow can't be used there — {reason}. Start it, or change tracking_uri") from None
    return client


def record(client: MlflowClient, uri: str, run: RunRecord) -> str:
    """Write a run with its metrics and files, replacing an incomplete or older recording of the same id.

    Returns:
        MLflow's own run id.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    with _one_at_a_time(uri):
        replaced = [old.info.run_id for old in find(client, f"tags.`{ID}` = '{run.run_id}'")]
        events = [event for path in run.files if path.suffix == ".jsonl" for event in journals.read(path)]
        started = int(1000 * min((event["time"] for event in events), default=0))
        tags = run.tags | {ID: run.run_id, STAGE: run.stage, NAME: run.name}
        for parent in find(client, f"tags.`{ID}` = '{run.parent}'")[:1] if run.parent else []:
            tags[PARENT] = parent.info.run_id
        created = client.create_run(experiment, start_time=started, tags=tags, run_name=run.name)
        own = created.info.run_id
        params = [Param(key, value[:6000]) for key, value in run.params.items()]
        client.log_batch(own, params=params)
        for chunk in _chunks(list(_metrics(events)), 1000):
            client.log_batch(own, metrics=chunk)
        for path in run.files:
            client.log_artifact(own, str(path))
        client.log_batch(own, tags=[RunTag(CONTENT, run.content), RunTag(COMPLETE, "true")])
        ended = int(1000 * max((event["time"] for event in events), default=0))
        client.set_terminated(own, "FINISHED", end_time=ended)
        for old in replaced:
            for child in find(client, f"tags.`{PARENT}` = '{old}'"):
                client.set_tag(child.info.run_id, PARENT, own)
            client.delete_run(old)
    return own


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


def finished_results(uri: str) -> dict[str, dict]:
    """Read every complete run's final results back, by file name within its stage.

    Returns:
        ``"finetune/ID/metrics.json"`` → content, and likewise for pretrainings: what reports are made of.
    """
    client = connect(uri)
    results: dict[str, dict] = {}
    for run in find(client, f"tags.`{COMPLETE}` = 'true'"):
        for artifact in client.list_artifacts(run.info.run_id):
            if artifact.path.endswith(FINAL):
                with TemporaryDirectory() as folder:
                    path = Path(client.download_artifacts(run.info.run_id, artifact.path, folder))
                    key = f"{run.data.tags[STAGE]}/{run.data.tags[ID]}/{artifact.path}"
                    results.setdefault(key, json.loads(path.read_text(encoding="utf-8")))
    return results


def _metrics(events: list[dict]) -> Iterator[Metric]:
    seen = set()
    for event in events:
        if event["event"] != "metrics":
            continue
        for name, value in event.items():
            point = (name, event["epoch"])
            if name not in ("event", "time", "epoch", "step") and point not in seen:
                seen.add(point)
                yield Metric(name, float(value), int(1000 * event["time"]), event["epoch"])
    for event in events:
        if event["event"] == "end":
            for name, value in event["final"].items():
                yield Metric(f"final_{name}", float(value), int(1000 * event["time"]), event["epoch"])


def _chunks(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _artifact_root(uri: str) -> str | None:
    """Beside a sqlite file; None lets a server choose."""
    database = _sqlite_file(uri)
    return (database.parent / "mlflow-artifacts").resolve().as_uri() if database else None


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process at a time write to a sqlite file: parallel first migrations break it, parallel writers stall."""
    database = _sqlite_file(uri)
    if database is None:
        if urlparse(uri).scheme not in ("http", "https", "postgresql", "mysql"):
            raise ValueError("allowed are sqlite:///FILE, http(s)://HOST, postgresql:// and mysql://")
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
