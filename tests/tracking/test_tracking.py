"""Journals, and their replay into a real sqlite store."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from mac.tracking import journal, mlflow


def write_journal(path, epochs=3, final=71.5):
    events = journal.Journal(path)
    events.write("start", stage="finetune", id="x")
    for epoch in range(1, epochs + 1):
        events.write("metrics", epoch=epoch, step=10 * epoch, loss=1 / epoch, lr=0.01)
    events.write("end", epoch=epochs, final={"top1": final})
    events.close()
    return path


def record(uri, folder, run_id="0123456789", parent=None, epochs=3, stage="finetune"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps({"top1": 71.5, "id": run_id}))
    files = [write_journal(folder / "journal.jsonl", epochs), folder / "metrics.json"]
    run = mlflow.RunRecord(run_id, stage, f"run {run_id}", {"optimiser.lr": "0.01"}, {"scale": "demo"}, files, parent)
    return mlflow.record(mlflow.connect(uri), uri, run)


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path}/store/mlflow.db"


def test_a_journal_reads_back_and_leaves_out_a_torn_line(tmp_path):
    path = write_journal(tmp_path / "j.jsonl")
    whole = journal.read(path)
    assert [event["event"] for event in whole] == ["start", "metrics", "metrics", "metrics", "end"]
    path.write_text(path.read_text()[:-20])
    assert journal.read(path) == whole[:-1]


def test_a_run_holds_parameters_metrics_tags_and_files(uri, tmp_path):
    own = record(uri, tmp_path / "run")
    client = mlflow.connect(uri)
    run = client.get_run(own)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run 0123456789"
    assert run.data.params == {"optimiser.lr": "0.01"}
    assert run.data.tags["scale"] == "demo"
    assert run.data.tags[mlflow.ID] == "0123456789"
    assert [(m.step, m.value) for m in client.get_metric_history(own, "loss")] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.metrics["final_top1"] == 71.5
    assert {a.path for a in client.list_artifacts(own)} == {"journal.jsonl", "metrics.json"}
    assert (tmp_path / "store" / "mlflow-artifacts").is_dir()


def test_recording_again_replaces_and_doubles_nothing(uri, tmp_path):
    first = record(uri, tmp_path / "run", epochs=2)
    child = record(uri, tmp_path / "child", run_id="aaaaaaaaaa", parent="0123456789")
    assert mlflow.connect(uri).get_run(child).data.tags[mlflow.PARENT] == first
    second = record(uri, tmp_path / "run", epochs=3)
    client = mlflow.connect(uri)
    assert [run.info.run_id for run in mlflow.find(client, f"tags.`{mlflow.ID}` = '0123456789'")] == [second]
    assert len(client.get_metric_history(second, "loss")) == 3
    assert client.get_run(child).data.tags[mlflow.PARENT] == second


def test_results_come_back_by_stage_and_id(uri, tmp_path):
    record(uri, tmp_path / "run")
    assert mlflow.finished_results(uri) == {"finetune/0123456789/metrics.json": {"top1": 71.5, "id": "0123456789"}}


def _record_many(job):
    uri, folder, worker = job
    for i in range(3):
        record(uri, folder / f"{worker}_{i}", run_id=f"{worker:05d}{i:05d}")


def test_a_fresh_database_survives_parallel_writers(uri, tmp_path):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        list(pool.map(_record_many, [(uri, tmp_path, worker) for worker in range(3)]))
    assert len(mlflow.finished_results(uri)) == 9


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://127.0.0.1:9", "can't be used there"),
        ("mlruns", "allowed are sqlite:///FILE"),
        ("ftp://x", "allowed are"),
    ],
)
def test_a_useless_store_is_named(uri, message):
    with pytest.raises(mlflow.TrackingError, match=message):
        mlflow.connect(uri)
