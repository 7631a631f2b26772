"""Journals, and their replay into a real sqlite store."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mac import plan
from mac.tracking import journal, replay, store, views


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
    return replay.record(store.connect(uri), uri, ended(run_id, journal.read(files[0]), stage, files, parent))


def ended(run_id, events, stage="finetune", files=(), parent=None, is_finished=True):
    """What reads a run's record, as the replay wants it."""
    params, tags = {"optimiser.lr": "0.01"}, {"scale": "demo"}
    run = replay.RunRecord(
        run_id, stage, f"run {run_id}", params, tags, events, list(files), parent=parent, is_finished=is_finished
    )
    return lambda: run


def training(run_id, events):
    return ended(run_id, events, is_finished=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One for all tests: to make one takes MLflow seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/store/mlflow.db"


@pytest.fixture
def uri(database):
    """A store without runs."""
    yield database
    client = store.connect(database)
    for run in store.find(client, ""):
        client.delete_run(run.info.run_id)


def test_a_journal_reads_back_and_leaves_out_a_torn_line(tmp_path):
    path = write_journal(tmp_path / "j.jsonl")
    whole = journal.read(path)
    assert [event["event"] for event in whole] == ["start", "metrics", "metrics", "metrics", "end"]
    path.write_text(path.read_text()[:-20])
    assert journal.read(path) == whole[:-1]


def test_a_run_holds_parameters_metrics_tags_and_files(uri, tmp_path):
    own = record(uri, tmp_path / "run")
    client = store.connect(uri)
    run = client.get_run(own)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run 0123456789"
    assert run.data.params == {"optimiser.lr": "0.01"}
    assert run.data.tags["scale"] == "demo"
    assert run.data.tags[store.ID] == "0123456789"
    assert [(m.step, m.value) for m in client.get_metric_history(own, "loss")] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.metrics["final_top1_percent"] == 71.5
    assert {a.path for a in client.list_artifacts(own)} == {"journal.jsonl", "metrics.json"}
    assert Path(uri.removeprefix("sqlite:///")).with_name("mlflow-artifacts").is_dir()


def test_recording_again_replaces_and_doubles_nothing(uri, tmp_path):
    first = record(uri, tmp_path / "run", epochs=2)
    child = record(uri, tmp_path / "child", run_id="aaaaaaaaaa", parent="0123456789")
    assert store.connect(uri).get_run(child).data.tags[replay.PARENT] == first
    second = record(uri, tmp_path / "run", epochs=3)
    client = store.connect(uri)
    assert [run.info.run_id for run in store.find(client, f"tags.`{store.ID}` = '0123456789'")] == [second]
    assert len(client.get_metric_history(second, "loss")) == 3
    assert client.get_run(child).data.tags[replay.PARENT] == second


def test_results_come_back_by_stage_and_id(uri, tmp_path):
    record(uri, tmp_path / "run")
    folder, key = tmp_path / "run", "finetune/0123456789"
    left = {f"{key}/{name}": (folder / name).read_bytes() for name in ("metrics.json", "journal.jsonl")}
    assert store.finished_results(uri) == left
    (folder / "predictions.parquet").write_bytes(b"any bytes")
    events = journal.read(folder / "journal.jsonl")
    replay.record(store.connect(uri), uri, ended("0123456789", events, files=sorted(folder.iterdir())))
    assert store.finished_results(uri)[f"{key}/predictions.parquet"] == b"any bytes"


def _record_many(job):
    uri, folder, worker = job
    for i in range(2):
        record(uri, folder / f"{worker}_{i}", run_id=f"{worker:05d}{i:05d}")


def test_a_fresh_database_survives_parallel_writers(tmp_path):
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(_record_many, [(uri, tmp_path, worker) for worker in range(3)]))
    assert len(store.finished_results(uri)) == 2 * 6  # metrics and a journal each


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://127.0.0.1:9", "can't be used there"),
        ("mlruns", "allowed are sqlite:///FILE"),
        ("ftp://x", "allowed are"),
        ("postgresql://x", "of an `mlflow server`"),
    ],
)
def test_a_useless_store_is_named(uri, message):
    with pytest.raises(store.TrackingError, match=message):
        store.connect(uri)


def points(uri, run_id="0123456789"):
    """All points of a run by metric: (step, value, time), as the store gives them."""
    client = store.connect(uri)
    (run,) = store.find(client, f"tags.`{store.ID}` = '{run_id}'")
    names = run.data.metrics
    return {
        name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
        for name in names
    }


def test_what_is_sent_while_training_is_continued_and_ended(uri, tmp_path):
    client, path = store.connect(uri), tmp_path / "run" / "journal.jsonl"
    events = journal.Journal(path)
    events.write("start", stage="finetune", id="x")
    own = set()
    for epoch in range(1, 4):
        events.write("metrics", epoch=epoch, step=10 * epoch, loss=1 / epoch, lr=0.01)
        known = journal.read(path)
        own.add(replay.send(client, uri, training("0123456789", known)))
        own.add(replay.send(client, uri, training("0123456789", known), skip=len(known) - 1))  # a crashed sender's next
        assert [step for step, _, _ in points(uri)["loss"]] == list(range(1, epoch + 1))
        assert client.get_run(next(iter(own))).info.status == "RUNNING"
    replay.mark_killed(client, uri, "0123456789")
    assert client.get_run(next(iter(own))).info.status == "KILLED"
    with pytest.raises(store.TrackingError, match="it holds no finished run"):
        store.finished_results(uri)
    events.write("end", epoch=3, final={"top1": 71.5})
    own.add(replay.record(client, uri, ended("0123456789", journal.read(path), files=[path])))
    assert len(own) == 1
    assert client.get_run(own.pop()).info.status == "FINISHED"
    expected = {name: [(e["epoch"], e[name]) for e in journal.read(path) if name in e] for name in ("loss", "lr")}
    found = {name: [(step, value) for step, value, _ in history] for name, history in points(uri).items()}
    assert found == expected | {"final_top1_percent": [(3, 71.5)]}


def test_a_run_that_went_back_further_than_was_sent_is_made_anew(uri, tmp_path):
    client, path = store.connect(uri), tmp_path / "journal.jsonl"
    sent = replay.send(client, uri, training("0123456789", journal.read(write_journal(path))))
    child = record(uri, tmp_path / "child", run_id="aaaaaaaaaa", parent="0123456789")
    path.unlink()
    again = write_journal(path)  # the same epochs at other times
    own = replay.record(client, uri, ended("0123456789", journal.read(again), files=[again]))
    assert own != sent
    assert len(points(uri)["loss"]) == 3
    assert client.get_run(child).data.tags[replay.PARENT] == own


def test_only_what_no_crash_can_take_back_is_sent(tmp_path):
    path = tmp_path / "journal.jsonl"
    events = journal.Journal(path)
    events.write("start")
    assert journal.read_final(path) == []
    events.write("metrics", epoch=1, step=1, loss=1.0)
    events.write("saved")
    events.write("metrics", epoch=2, step=2, loss=1.0)
    assert [event["event"] for event in journal.read_final(path)] == ["start", "metrics", "saved"]
    events.write("continued")
    assert len(journal.read_final(path)) == 5


def _train_and_send(job):
    """A job that writes 500 events and sends them as it goes, then records itself."""
    uri, folder, number = job
    run_id, path = f"{number:010d}", folder / f"{number}.jsonl"
    client, events = store.connect(uri), journal.Journal(path)
    for epoch in range(1, 501):
        events.write("metrics", epoch=epoch, step=epoch, loss=1 / epoch)
        if epoch % 100 == 0:
            replay.send(client, uri, training(run_id, journal.read(path)), skip=max(epoch - 150, 0))
    replay.record(client, uri, ended(run_id, journal.read(path), files=[path]))


@pytest.mark.full
def test_sixteen_jobs_of_500_events_lose_and_double_nothing(uri, tmp_path):
    jobs = [(uri, tmp_path, number) for number in range(16)]
    with ProcessPoolExecutor(16, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_train_and_send, jobs))
    found = 0
    for _, folder, number in jobs:
        (history,) = points(uri, f"{number:010d}").values()
        expected = [(e["epoch"], e["loss"]) for e in journal.read(folder / f"{number}.jsonl")]
        assert [(step, value) for step, value, _ in history] == expected
        found += len(history)
    assert found == 8000


def test_what_an_ended_run_is_sent_late_changes_nothing(uri, tmp_path):
    client, own = store.connect(uri), record(uri, tmp_path / "run")
    assert replay.send(client, uri, ended("0123456789", [])) is None
    assert client.get_run(own).info.status == "FINISHED"


def test_parameters_that_a_crash_kept_back_are_sent_in_the_end(uri, tmp_path, monkeypatch):
    client, path = store.connect(uri), write_journal(tmp_path / "journal.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(replay, "_send_params", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replay.send(client, uri, training("0123456789", journal.read(path)))
    own = replay.record(client, uri, ended("0123456789", journal.read(path), files=[path]))
    assert client.get_run(own).data.params == {"optimiser.lr": "0.01"}


def test_each_backbone_is_one_model_however_often_it_is_recorded(uri, tmp_path, monkeypatch):
    client, path = store.connect(uri), write_journal(tmp_path / "journal.jsonl")
    run = replace(ended("0123456789", journal.read(path), "pretrain")(), checkpoints={1: "a", 3: "b"})
    child = replace(ended("aaaaaaaaaa", journal.read(path), parent="0123456789")(), start=("0123456789", 3))
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "log_outputs", lambda *_: 1 / 0)  # a crash between a model and its link
        with pytest.raises(ZeroDivisionError):
            replay.record(client, uri, lambda: run)
    own = [replay.record(client, uri, lambda: run) for _ in range(2)][-1]
    under = replay.record(client, uri, lambda: child)
    path.unlink()
    again = write_journal(path)
    anew = replay.record(client, uri, lambda: replace(run, events=journal.read(again)))  # goes back: made anew
    assert anew != own
    models = {model.model_id: model for model in client.search_logged_models(["1"])}
    assert sorted(model.name for model in models.values()) == [
        "backbone-0123456789-epoch-1",
        "backbone-0123456789-epoch-3",
    ]
    linked = [
        (model.step, models[model.model_id].source_run_id) for model in client.get_run(anew).outputs.model_outputs
    ]
    assert sorted(linked) == [(1, anew), (3, anew)]
    assert len(client.get_run(under).inputs.model_inputs) == 1


def test_runs_are_labelled_for_the_scale_that_is_shown_and_found_by_their_row(uri, tmp_path, request):
    planned = plan.load(request.config.rootpath / "config", "demo")
    own, client = record(uri, tmp_path / "run", run_id=planned.default), store.connect(uri)
    foreign = record(uri, tmp_path / "other")
    experiment = client.get_experiment_by_name(store.EXPERIMENT).experiment_id
    views.show(client, experiment, planned)
    (view,) = [json.loads(client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{planned.view('T7')}"])]
    listed = client.search_runs([experiment], view["searchFilter"], order_by=[view["orderByKey"]])
    assert [run.info.run_id for run in listed] == [own]
    assert listed[0].info.run_name.startswith("T1.5 finetune")
    assert client.get_run(foreign).info.run_name == "run 0123456789"
