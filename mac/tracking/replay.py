"""Replay of journals into MLflow, while runs train and when they have ended. One MLflow run per run id.

Every point of a journal has its own time, so the store recognises a point that is sent twice. If the store holds a
point that the journal has lost (a snapshot was damaged and the run went back further), the run is recorded anew.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_MODEL_IS_EXTERNAL

from mac.tracking.store import COMPLETE, CONTENT, EXPERIMENT, ID, STAGE, find, one_at_a_time
from mac.tracking.views import NAME

PARENT = "mlflow.parentRunId"
NO_METRICS = ("event", "time", "epoch", "step")


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run.

    Attributes:
        run_id: the pipeline's id (tag ``mac.id``), not the one that MLflow gives.
        stage: ``pretrain``, ``finetune`` or ``probe``.
        name: what MLflow's pages show.
        params: the resolved configuration, flat.
        tags: besides those that this module sets.
        events: of all its journals, in order.
        files: configuration, journals and results so far, kept as artifacts.
        pictures: further artifacts, drawn from the files.
        parent: id of the run it starts from.
        dataset: name, digest and sizes of what it trains on.
        checkpoints: file of the backbone at each epoch kept.
        start: id and epoch of the checkpoint it starts from.
        is_finished: whether the run has reached its end.
    """

    run_id: str
    stage: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    events: list[dict[str, Any]]
    files: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    parent: str | None = None
    dataset: tuple[str, str, dict[str, int]] | None = None
    checkpoints: dict[int, str] = field(default_factory=dict)
    start: tuple[str, int] | None = None
    is_finished: bool = True

    @property
    def content(self) -> str:
        """A digest of the run's files and of how metrics are named here: a store with other names is out of date."""
        digest = hashlib.blake2b(b"percent", digest_size=16)
        for path in sorted(self.files):
            digest.update(path.name.encode() + hashlib.blake2b(path.read_bytes()).digest())
        return digest.hexdigest()


def is_recorded(client: MlflowClient, run: RunRecord) -> bool:
    """Whether the store holds this run as it is now: its files, and that it has ended if it has."""
    same = f"tags.`{ID}` = '{run.run_id}' and tags.`{COMPLETE}` = 'true' and tags.`{CONTENT}` = '{run.content}'"
    ended = [one for one in find(client, same) if one.info.status == "FINISHED" or not run.is_finished]
    names = {path.name for path in run.files}
    return any(names <= {file.path for file in client.list_artifacts(one.info.run_id)} for one in ended)


def send(client: MlflowClient, uri: str, read: Callable[[], RunRecord], skip: int = 0) -> str | None:
    """Send the events of a run that is training, all but the first ``skip``.

    Args:
        client: of the store.
        uri: of the store.
        read: reads the run's files; called when no other process writes to the store, so that the newest are sent.
        skip: number of events that were sent before.

    Returns:
        The run's id in MLflow; None, and nothing is sent, if the run has ended meanwhile.
    """
    with one_at_a_time(uri):
        run = read()
        if run.is_finished:
            return None
        found = _find(client, run.run_id)
        own = found[0].info.run_id if found else _create(client, run)
        if found and found[0].info.status != "RUNNING":
            client.update_run(own, status="RUNNING")
        _send_points(client, own, run.events[skip:])
    return own


def mark_killed(client: MlflowClient, uri: str, run_id: str) -> None:
    """Mark a run as killed if the store shows it as running."""
    with one_at_a_time(uri):
        for run in _find(client, run_id):
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")


def record(client: MlflowClient, uri: str, read: Callable[[], RunRecord]) -> str:
    """Write a run with its results, continuing what was sent while it trained; recording twice changes nothing.

    Args:
        client: of the store.
        uri: of the store.
        read: reads the run's files, as for :func:`send`.

    Returns:
        The run's id in MLflow.
    """
    with one_at_a_time(uri):
        run = read()
        found = _find(client, run.run_id)
        own = next((old.info.run_id for old in found if _agrees(client, old, run)), None) or _create(client, run)
        _send_points(client, own, run.events)
        _describe(client, own, run)
        for path in [*run.files, *run.pictures]:
            client.log_artifact(own, str(path))
        client.log_batch(own, tags=[RunTag(CONTENT, run.content), RunTag(COMPLETE, "true")])
        if run.is_finished:
            client.set_terminated(own, "FINISHED", end_time=_milliseconds(run.events, max))
        for old in found:
            if old.info.run_id != own:
                _replace(client, old, own)
    return own


def _replace(client: MlflowClient, old: Run, own: str) -> None:
    """Delete a run and its models; the runs under it move to ``own``."""
    for child in find(client, f"tags.`{PARENT}` = '{old.info.run_id}'"):
        client.set_tag(child.info.run_id, PARENT, own)
    for model in _models(client, old.info.experiment_id, old.info.run_id):
        client.delete_logged_model(model.model_id)
    client.delete_run(old.info.run_id)


def _find(client: MlflowClient, run_id: str) -> list[Run]:
    return find(client, f"tags.`{ID}` = '{run_id}'")


def _create(client: MlflowClient, run: RunRecord) -> str:
    tags = run.tags | {ID: run.run_id, STAGE: run.stage, NAME: run.name} | _parent(client, run)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    created = client.create_run(experiment, _milliseconds(run.events, min), tags, run.name)
    _send_params(client, created.info.run_id, run)
    return created.info.run_id


def _send_params(client: MlflowClient, own: str, run: RunRecord) -> None:
    client.log_batch(own, params=[Param(key, value[:6000]) for key, value in run.params.items()])


def _parent(client: MlflowClient, run: RunRecord) -> dict[str, str]:
    found = _find(client, run.parent) if run.parent else []
    return {PARENT: found[0].info.run_id} if found else {}


def _describe(client: MlflowClient, own: str, run: RunRecord) -> None:
    """Update tags and name, which may have changed since the run began, and link its data and models."""
    tags = run.tags | {NAME: run.name} | _parent(client, run)
    client.log_batch(own, tags=[RunTag(key, value) for key, value in tags.items()])
    _send_params(client, own, run)  # again: a sender may have ended between the run and its parameters
    known = client.get_run(own)
    if run.dataset and not known.inputs.dataset_inputs:
        name, digest, sizes = run.dataset
        source = json.dumps({"index_digest": digest})
        data = Dataset(name, digest, "code", source, profile=json.dumps(sizes))
        client.log_inputs(own, [DatasetInput(data, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])])
    _log_models(client, known, run)


def _log_models(client: MlflowClient, known: Run, run: RunRecord) -> None:
    """Register the run's backbones as models, each once, and link the one it starts from."""
    own, experiment = known.info.run_id, known.info.experiment_id
    linked = {model.model_id for model in known.outputs.model_outputs} if known.outputs else set()
    made = {model.name: model.model_id for model in _models(client, experiment, own)} if run.checkpoints else {}
    for epoch, path in sorted(run.checkpoints.items()):
        name = model_name(run.run_id, epoch)
        if name not in made:
            tags = {MLFLOW_MODEL_IS_EXTERNAL: "true", "checkpoint": path}
            made[name] = client.create_logged_model(
                experiment, name, own, tags, {"epoch": str(epoch)}, "backbone"
            ).model_id
        if made[name] not in linked:
            client.finalize_logged_model(made[name], "READY")
            client.log_outputs(own, [LoggedModelOutput(made[name], epoch)])
    parent = known.data.tags.get(PARENT)
    if run.start and parent and not known.inputs.model_inputs:
        for model in _models(client, experiment, parent):
            if model.name == model_name(*run.start):
                client.log_inputs(own, models=[LoggedModelInput(model.model_id)])


def _models(client: MlflowClient, experiment: str, own: str) -> list[LoggedModel]:
    return client.search_logged_models([experiment], f"source_run_id = '{own}'")


def model_name(pretrain_id: str, epoch: int) -> str:
    """Name a backbone at an epoch."""
    return f"backbone-{pretrain_id}-epoch-{epoch}"


def _agrees(client: MlflowClient, old: Run, run: RunRecord) -> bool:
    """Whether every point in the store is in the journals."""
    expected = {(point.key, point.step, point.timestamp, point.value) for point in _points(run.events)}
    return all(
        (name, point.step, point.timestamp, point.value) in expected
        for name in old.data.metrics
        for point in client.get_metric_history(old.info.run_id, name)
    )


def _send_points(client: MlflowClient, own: str, events: list[dict[str, Any]]) -> None:
    points = list(_points(events))
    for start in range(0, len(points), 1000):  # MLflow's limit of a batch
        client.log_batch(own, metrics=points[start : start + 1000])


def _points(events: list[dict[str, Any]]) -> Iterator[Metric]:
    for event in events:
        values = {name: value for name, value in event.items() if name not in NO_METRICS}
        if event["event"] != "metrics":
            values = {f"final_{name}": value for name, value in event.get("final", {}).items()}
        for name, value in values.items():
            unit = "_percent" if "top1" in name or "chance" in name else ""
            yield Metric(name + unit, float(value), int(1000 * event["time"]), event["epoch"])


def _milliseconds(events: list[dict[str, Any]], which: Any) -> int:
    return int(1000 * which((event["time"] for event in events), default=0))
