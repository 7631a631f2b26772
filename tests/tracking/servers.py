"""Real servers for tests, on loopback, ended by their process ids: MLflow's own, and PostgreSQL under it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path


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
