"""MLflow tracking stores: opening one, how it shows runs, keeping parallel writers apart, reading results back."""

import fcntl
import hashlib
import json
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

EXPERIMENT = "mac"
ID, STAGE, COMPLETE, CONTENT = "mac.id", "mac.stage", "mac.complete", "mac.content"
FINAL = (".json", ".parquet")  # artifacts of a run that reports are made of

NOTE = (
    "Runs of the MAC pipeline. A run is known by the hash of its configuration (tag `mac.id`); finetunings and"
    " probes stand under the pretraining they start from; `rows` names the table rows that share it; `final_top1` is"
    " what the reports show."
)
VIEW = "mac"  # name of the shared view in addresses
COLUMNS = [
    "metrics.`final_top1`",
    "metrics.`final_pretext_top1_held_out`",
    "metrics.`loss`",
    "attributes.`Duration`",
    "tags.`rows`",
    "tags.`scale`",
    "params.`model.backbone`",
    "params.`seed`",
    "params.`split`",
    "attributes.`Dataset`",
    "attributes.`Models`",
]


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
                describe(client, client.create_experiment(EXPERIMENT, artifact_location=_artifact_root(uri)))
    except (MlflowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"{uri}: MLflow can't be used there — {reason}. Start it, or change tracking_uri") from None
    return client


def describe(client: MlflowClient, experiment: str) -> None:
    """Set an experiment's note, its kind (machine learning, not agents), and the columns that :func:`page` shows."""
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": COLUMNS,
        "columnOrder": COLUMNS,
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }
    client.set_experiment_tag(experiment, "mlflow.note.content", NOTE)
    client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))


def page(experiment: str) -> str:
    """Give the address of the experiment's runs within a server."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


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
    """Let only one process of this machine at a time write to a store.

    Processes that create a sqlite file at once break it, parallel writers stall, and two could create one run twice.
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
