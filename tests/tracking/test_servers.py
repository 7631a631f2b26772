"""Tracking over a real MLflow server: killed and restarted while a run trains, and with PostgreSQL under it."""

import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mac import plan
from mac.tracking import journal, replay, store
from tests.tracking.test_tracking import ended, points, training, write_journal

pytestmark = pytest.mark.full


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MlflowServer:
    """``mlflow server`` on a store; it can be killed and started again at the same address."""

    def __init__(self, backend: str, artifacts: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--workers", "1"]
        self._command += ["--host", "127.0.0.1", "--port", str(self.port), "--artifacts-destination", str(artifacts)]
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(self._command, env=environment, start_new_session=True, **quiet)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1)
            except OSError:
                assert self._process.poll() is None, "mlflow server ended"
                time.sleep(0.2)
            else:
                return
        raise AssertionError("mlflow server did not start in two minutes")

    def kill(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own group: the server and its workers
            self._process.wait()
            self._process = None


@contextmanager
def mlflow_server(backend: str, artifacts: Path):
    server = MlflowServer(backend, artifacts)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def postgresql_programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return candidates[-1] if candidates else None


@contextmanager
def postgresql(folder: Path):
    """A PostgreSQL of its own in a folder; yields an address for SQLAlchemy. As root, it runs as user postgres."""
    programs, port, data = postgresql_programs(), free_port(), folder / "data"
    become = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if become:
        shutil.chown(folder, "postgres", "postgres")
        for parent in folder.parents:  # pytest's folders are closed to others
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    options = ["--auth=trust", "--username=mac", "--no-sync", "--encoding=UTF8", "--locale=C"]
    make = [programs / "initdb", "-D", data, *options]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **become)
    serve = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-c", "unix_socket_directories="]
    with (folder / "postgres.log").open("w") as log:
        process = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **become)
    try:
        while "ready to accept connections" not in (folder / "postgres.log").read_text():
            assert process.poll() is None, (folder / "postgres.log").read_text()
            time.sleep(0.1)
        yield f"postgresql://mac@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # "fast": ends its connections
        process.wait()


@pytest.fixture
def smoke_results(root, tmp_path):
    """A results folder with the smoke scale's resolved configurations, and the id of its first pretraining."""
    results = tmp_path / "results"
    command = [sys.executable, "-m", "mac", "resolve", "--scale", "smoke", "--results", results]
    subprocess.run(command, cwd=root, check=True)
    return results, next(iter(plan.load(root / "config", "smoke").pretrainings))


def write_epochs(events, *epochs):
    for epoch in epochs:
        events.write("metrics", epoch=epoch, step=epoch, loss=1 / epoch)
        events.write("saved")


def wait_for(what, seconds=60):
    for _ in range(10 * seconds):
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def steps(uri, run_id):
    try:
        return [step for step, _, _ in points(uri, run_id)["loss"]]
    except (KeyError, ValueError):  # no point yet, no run yet
        return []


def test_a_server_killed_and_restarted_while_a_run_trains_loses_and_doubles_nothing(root, smoke_results, tmp_path):
    results, run_id = smoke_results
    folder = results / "pretrain" / run_id
    snakemake = subprocess.Popen(["sleep", "600"])  # stands in for what the sender follows
    events = journal.Journal(folder / "running_2" / "journal.jsonl")
    facts = {"facts": {"commit": "abc"}, "index_digest": "0123", "videos": 9, "device": "CPU"}
    events.write("start", stage="pretrain", id=run_id, **facts)
    with mlflow_server(f"sqlite:///{tmp_path}/server.db", tmp_path / "artifacts") as server:
        scale = ["--scale", "smoke", "--results", results, "--tracking-uri", server.uri]
        follow = [sys.executable, "-m", "mac", "track", "follow", *scale, "--while-pid", str(snakemake.pid)]
        follow += ["--since", str(time.time() - 1)]
        sender = subprocess.Popen([*follow, "--every", "0.2"], cwd=root, stderr=subprocess.PIPE, text=True)
        try:
            write_epochs(events, 1, 2)
            wait_for(lambda: steps(server.uri, run_id) == [1, 2])
            server.kill()
            write_epochs(events, 3, 4)  # the journal doesn't care
            time.sleep(2)
            assert sender.poll() is None
            server.start()
            write_epochs(events, 5)
            wait_for(lambda: steps(server.uri, run_id) == [1, 2, 3, 4, 5])
            events.write("metrics", epoch=6, step=6, loss=0.1)  # not yet vouched for by a snapshot
        finally:
            snakemake.terminate()
            snakemake.wait()
        _, complaints = sender.communicate(timeout=60)
        assert "Connection refused" in complaints
        assert steps(server.uri, run_id) == [1, 2, 3, 4, 5]
        client = store.connect(server.uri)
        (run,) = store.find(client, f"tags.`{store.ID}` = '{run_id}'")
        assert run.info.status == "KILLED"
        write_epochs(events)
        events.write("end", epoch=2, final={"pretext_top1_held_out": 7.0})
        events.close()
        (folder / "running_2" / "journal.jsonl").rename(folder / "epoch_2.jsonl")
        (folder / "epoch_2.json").write_text(json.dumps({"epoch": 2}))
        subprocess.run([sys.executable, "-m", "mac", "track", "sync", *scale], cwd=root, check=True)
        assert steps(server.uri, run_id) == [1, 2, 3, 4, 5, 6]
        (same,) = store.find(client, f"tags.`{store.ID}` = '{run_id}'")
        assert same.info.run_id == run.info.run_id
        assert same.data.metrics["final_pretext_top1_held_out_percent"] == 7.0


def _send_and_record(job):
    uri, folder, number = job
    path = write_journal(folder / f"{number}.jsonl", epochs=50)
    client, run_id = store.connect(uri), f"{number:010d}"
    replay.send(client, uri, training(run_id, journal.read(path)[:20]))
    replay.record(client, uri, ended(run_id, journal.read(path), files=[path]))


@pytest.mark.skipif(postgresql_programs() is None, reason="PostgreSQL's programs are not installed")
@pytest.mark.skipif(importlib.util.find_spec("psycopg2") is None, reason="psycopg2 is not installed")
def test_a_server_on_postgresql_takes_parallel_runs(tmp_path):
    (tmp_path / "postgresql").mkdir()
    with (
        postgresql(tmp_path / "postgresql") as database,
        mlflow_server(database, tmp_path / "artifacts") as server,
        ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        list(pool.map(_send_and_record, [(server.uri, tmp_path, number) for number in range(8)]))
        for number in range(8):
            expected = [e["loss"] for e in journal.read(tmp_path / f"{number}.jsonl") if "loss" in e]
            assert [value for _, value, _ in points(server.uri, f"{number:010d}")["loss"]] == expected
        client = store.connect(server.uri)
        runs = store.find(client, f"tags.`{store.COMPLETE}` = 'true'")
        assert len(runs) == len(MlflowClient(database).search_runs(["1"])) == 8  # they are in PostgreSQL, nowhere else
        assert {a.path for run in runs for a in client.list_artifacts(run.info.run_id)} == {
            f"{number}.jsonl" for number in range(8)
        }
