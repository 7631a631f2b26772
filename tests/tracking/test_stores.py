"""Tracking stores as people treat them: moved, deleted, renamed, emptied, behind a password."""

import base64
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from test_tracking import record

from mac.cli import main
from mac.tracking.store import TrackingError, bare, connect, finished_results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results folder with a database of one finished run."""
    folder = tmp_path_factory.mktemp("made") / "results"
    folder.mkdir()
    record(f"sqlite:///{folder}/mlflow.db", folder / "run")
    found = finished_results(f"sqlite:///{folder}/mlflow.db")
    assert found.keys() == {f"finetune/0123456789/{name}" for name in ("metrics.json", "journal.jsonl")}
    return folder


@pytest.fixture
def moved(tmp_path, made):
    """The address of a database that was moved with its results folder."""
    shutil.move(made, tmp_path / "moved")
    yield f"sqlite:///{tmp_path}/moved/mlflow.db"
    shutil.move(tmp_path / "moved", made)


@pytest.mark.parametrize("use", [finished_results, connect])
def test_moved_results_are_told_with_both_ways_out(moved, use):
    with pytest.raises(
        TrackingError, match=r"its runs' files were in .*made.*, which is gone — move them back there, or"
    ):
        use(moved)


def test_a_copy_can_be_read_while_the_original_is_there(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    assert finished_results(f"sqlite:///{tmp_path}/copy/mlflow.db")


@pytest.mark.parametrize("name", ["mlflow2.db", "MLFLOW.db", "no/such/folder.db"])
def test_a_renamed_database_is_not_taken_for_an_empty_one(tmp_path, name):
    with pytest.raises(TrackingError, match=f"{name}: there is no such database"):
        finished_results(f"sqlite:///{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


def as_garbage(path):
    path.write_bytes(b"no database\n" * 500)


def as_a_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"), [(as_garbage, "file is not a database"), (as_a_folder, "unable to open|disk I/O error")]
)
@pytest.mark.parametrize("use", [finished_results, connect])
def test_what_is_no_database_is_named_at_once(tmp_path, make, reason, use):
    make(tmp_path / "mlflow.db")
    with pytest.raises(TrackingError, match=f"mlflow.db: MLflow can't be used there — ({reason})"):
        use(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_that_was_cut_off_is_named(made, tmp_path):
    content = (made / "mlflow.db").read_bytes()
    (tmp_path / "mlflow.db").write_bytes(content[: len(content) // 2])
    program = f"from mac.tracking.store import finished_results; finished_results('sqlite:///{tmp_path}/mlflow.db')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "TrackingError" in done.stderr.splitlines()[-1]
    assert "malformed" in done.stderr


def test_an_empty_store_makes_no_report(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    connect(uri)
    with pytest.raises(TrackingError, match="it holds no finished run of this pipeline"):
        finished_results(uri)


def test_a_store_of_others_makes_no_report(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    connect(uri).rename_experiment("1", "others")
    with pytest.raises(TrackingError, match="it has no experiment 'mac'"):
        finished_results(uri)


def test_a_new_store_says_that_earlier_runs_are_elsewhere_and_how_to_bring_them_here(tmp_path, capsys):
    words = ["preflight", "--scale", "smoke", "--results", str(tmp_path)]
    words += ["--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    main(words)
    assert "recorded before" not in capsys.readouterr().err
    for name in ("tracking/finetune/a.json", "tracking/pretrain/b_2.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    main(words)
    said = capsys.readouterr().err
    assert "mlflow.db: it holds no runs, but 2 were recorded before" in said
    assert f"python -m mac track sync --scale smoke --config-dir config --results {tmp_path}" in said
    record(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "run")
    main(words)
    assert "recorded before" not in capsys.readouterr().err


@pytest.fixture
def copy(made, tmp_path):
    """A run of one's own: its database and its id in MLflow."""
    uri = f"sqlite:///{tmp_path}/own/mlflow.db"
    return uri, record(uri, tmp_path / "run"), tmp_path / "run"


def test_a_deleted_experiment_is_told_with_the_way_to_bring_it_back(copy):
    uri, _, _ = copy
    client = connect(uri)
    client.delete_experiment("1")
    for use in (finished_results, connect):
        with pytest.raises(TrackingError, match="'mac' was deleted — bring it back: .* restore --experiment-id 1"):
            use(uri)
    client.restore_experiment("1")
    assert finished_results(uri)


def test_lost_files_of_a_run_are_told_and_brought_back_by_recording_again(copy):
    uri, own, folder = copy
    client = connect(uri)
    shutil.rmtree(Path(client.get_run(own).info.artifact_uri.removeprefix("file://")))
    with pytest.raises(TrackingError, match=r"run 'run 0123456789' \(0123456789\) has no files in .*track sync brings"):
        finished_results(uri)
    record(uri, folder)
    assert finished_results(uri)


def test_a_deleted_run_is_recorded_again(copy):
    uri, own, folder = copy
    connect(uri).delete_run(own)
    with pytest.raises(TrackingError, match="holds no finished run"):
        finished_results(uri)
    record(uri, folder)
    assert finished_results(uri)


def test_a_database_of_another_schema_is_named(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    connect(uri)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    program = f"from mac.tracking.store import connect; connect({uri!r})"  # MLflow keeps what it knows of a database
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MLflow can't be used there — Detected out-of-date database schema" in done.stderr
    assert "mlflow db upgrade" in done.stderr


PASSWORDS = ["S3cretPW", "{1}", "a%2Fb", "p@ss", "$HOME", "'\"", "%s", "a#b/c?d", "one:two", "caf\u00e9"]


@pytest.fixture
def asked(monkeypatch):
    """A server that notes who asks, refuses everybody, and its port."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.append(base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")))
            self.send_error(403)

        def log_message(self, *words):
            pass

    found = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found, server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_reaches_the_server_and_no_message(asked, password):
    found, port = asked
    with pytest.raises(TrackingError, match=f"^http://127.0.0.1:{port}: MLflow can't be used there") as raised:
        connect(f"http://bob:{password}@127.0.0.1:{port}")
    assert set(found) == {f"bob:{unquote(password)}".encode()}
    assert password not in str(raised.value)


@pytest.mark.parametrize(
    "uri", ["http://T0ken@127.0.0.1:9", "http://:T0ken@127.0.0.1:9", "postgresql://bob:T0ken@host/db"]
)
def test_an_address_that_is_refused_shows_no_secret_either(uri):
    with pytest.raises(TrackingError, match=r"NAME:PASSWORD@HOST|allowed are sqlite") as raised:
        connect(uri)
    assert "T0ken" not in str(raised.value)


@pytest.mark.parametrize(
    "uri",
    ["sqlite:///results/mlflow.db", "sqlite:////home/bob@host/a://b@c.db", "http://127.0.0.1:5000", "http://[x"],
)
def test_an_address_without_a_password_is_shown_as_it_is(uri):
    assert bare(uri) == uri


def test_commands_read_the_address_from_the_environment_and_say_no_password(root):
    secret = "S3{1}cret"
    own = os.environ | {"MAC_TRACKING_URI": f"http://bob:{secret}@127.0.0.1:9"}
    call = [sys.executable, "-m", "mac", "preflight", "--scale", "smoke", "--results", "results"]
    done = subprocess.run(call, capture_output=True, text=True, env=own, cwd=root, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("mac preflight: http://127.0.0.1:9: MLflow can't be used there")
    assert secret not in done.stderr + done.stdout
