"""Jobs that are forks of a warm process must be like processes of their own."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mac.runtime.warm import WARM

SERVER = "import sys; from pathlib import Path; from mac.runtime import warm; exec(warm.serve(Path(sys.argv[1]))[0])"
CLIENT = "import sys; from mac.runtime import warm; warm.run(sys.argv[1:]); print('by itself')"


@pytest.fixture
def address(tmp_path_factory):
    return tmp_path_factory.mktemp("w") / "s"


@pytest.fixture
def warm(address):
    """Start a job, Python's source; the warm process ends with the test."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(address)])
    await_(address.exists)
    jobs = []

    def start(source, **more):
        given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = os.environ | {WARM: str(address)} | more.pop("env", {})
        jobs.append(subprocess.Popen([sys.executable, "-c", CLIENT, source], env=environment, **given, **more))
        return jobs[-1]

    yield start
    for process in (*jobs, server):
        process.kill()
        process.wait()


def await_(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_streams_folder_environment_and_status_are_the_callers(warm, tmp_path):
    given = "blank and \udc80"
    source = "import os, sys; print(os.getcwd(), os.environb[b'A'], input()); print('e', file=sys.stderr); sys.exit(7)"
    job = warm(source, cwd=tmp_path, env={"A": given})
    assert job.communicate("said\n") == (f"{tmp_path} {os.fsencode(given)} said\n", "e\n")
    assert job.returncode == 7


def test_each_job_begins_as_the_warm_process_is(warm):
    count = "import sys; n = getattr(sys, 'n', 0); sys.n = n + 1; print(n)"
    assert [warm(count).communicate()[0] for _ in range(3)] == ["0\n"] * 3


def test_what_a_job_starts_is_no_job(warm):
    assert warm(f"import os; print({WARM!r} in os.environ)").communicate()[0] == "False\n"


def test_what_is_registered_for_the_end_of_a_job_is_called(warm):
    assert warm("import atexit; atexit.register(print, 'end')").communicate()[0] == "end\n"


def test_an_exception_is_shown_and_fails(warm):
    job = warm("raise OSError('broken')")
    assert "OSError: broken" in job.communicate()[1]
    assert job.returncode == 1


HANDLE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_signal_reaches_the_job(warm):
    job = warm(HANDLE)
    job.stdout.readline()
    job.terminate()
    assert job.wait(30) == 75


def test_a_job_whose_caller_is_killed_ends(warm):
    job = warm(HANDLE)
    pid = int(job.stdout.readline())
    assert is_alive(pid)
    job.kill()
    await_(lambda: not is_alive(pid))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_job_killed_by_a_signal_kills_its_caller(warm, number):
    job = warm(f"import os; os.kill(os.getpid(), {int(number)})")
    assert job.wait(30) == -number


@pytest.mark.parametrize("there", [True, False])
def test_without_the_warm_process_a_job_does_the_work_itself(address, there):
    if there:
        address.touch()
    found = subprocess.run(
        [sys.executable, "-c", CLIENT, "print('a job')"],
        env=os.environ | {WARM: str(address)},
        capture_output=True,
        text=True,
    )
    assert (found.stdout, found.returncode) == ("by itself\n", 0)


def test_the_warm_process_ends_with_its_parent(address):
    shell = f"{sys.executable} -c '{SERVER}' {address} & echo $!; while [ ! -e {address} ]; do sleep 0.1; done"
    pid = int(subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout)
    await_(lambda: not is_alive(pid))
