"""Jobs that start warm: one process imports what jobs need, and each job is a fork of it.

Importing torch and MLflow takes a job some three processor seconds, which is more than a small training's epoch. Jobs
find the process by the environment variable ``MAC_WARM``, the path of its socket. Without it, or where the process is
gone, a job starts by itself.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

WARM = "MAC_WARM"
FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def started() -> Iterator[None]:
    """Start the warm process for the jobs that this process's children start; it ends with the context."""
    with TemporaryDirectory(prefix="mac-") as folder:
        path = Path(folder, "jobs")  # short: a socket's path has a limit
        words = [sys.executable, "-m", "mac", "warm", str(path)]
        with subprocess.Popen(words, start_new_session=True) as process:  # Ctrl-C is for the jobs
            os.environ[WARM] = str(path)
            try:
                yield
            finally:
                del os.environ[WARM]
                process.kill()


def run(words: list[str]) -> None:
    """Run a command in the warm process, if there is one, and end this process as the command ends.

    Standard input and output, folder, environment and signals are this process's.

    Args:
        words: the command's, after ``mac``.
    """
    path = os.environ.get(WARM)
    if not path:
        return
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(path)
        except OSError:
            return  # it is gone, or of another machine: this process does the work itself
        request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        for number in FORWARDED:
            signal.signal(number, lambda number, _: server.sendall(bytes([number])))
        answer = server.recv(4, socket.MSG_WAITALL)
    if len(answer) < 4:
        sys.exit("the process that jobs start from has ended (out of memory?) — call the same command again")
    status = int.from_bytes(answer, "big", signed=True)
    if status < 0:  # by a signal
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    sys.exit(status)


def serve(path: Path) -> list[str]:
    """Fork a process for each job until the parent has ended; returns in each of them, with the job's words.

    Args:
        path: of the socket, at most some 100 characters.
    """
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(1)
        while os.getppid() == parent:
            try:
                asking, _ = listening.accept()
            except TimeoutError:
                continue
            with asking:
                if os.fork() == 0:
                    listening.close()
                    return _keep(asking)
    sys.exit()


def _keep(asking: socket.socket) -> list[str]:
    """Fork the job and keep watch over it; returns in the job."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asking.setblocking(True)
    size, streams, _, _ = socket.recv_fds(asking, 8, 3)
    words, folder, environment = json.loads(asking.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    job = os.fork()
    if job == 0:
        asking.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        del os.environ[WARM]  # what the job starts is no job
        return words
    for stream in streams:
        os.close(stream)
    asking.sendall(_watch(job, asking).to_bytes(4, "big", signed=True))
    os._exit(0)


def _watch(job: int, asking: socket.socket) -> int:
    """Wait for a job, and pass signals on; returns its exit status, negative for a signal.

    Whoever asked for it may be killed; then the job is, too.
    """
    with selectors.DefaultSelector() as selector:
        ended = selector.register(os.pidfd_open(job), selectors.EVENT_READ)
        selector.register(asking, selectors.EVENT_READ)
        while ended not in [key for key, _ in selector.select()]:
            numbers = asking.recv(16)
            if not numbers:
                os.kill(job, signal.SIGKILL)
                selector.unregister(asking)
            for number in numbers:
                os.kill(job, number)
    return os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
