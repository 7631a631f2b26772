"""Reading processes: started once a training, deaf to SIGTERM, gone with the training; what they lack is told first."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mac.training import batches, readers
from mac.training.readers import ReadersError
from mac.training.usage import cpu_seconds


class Witness:
    """A store whose frames tell which process read them."""

    lengths, folder = np.ones(100, int), Path("made up")

    def clips(self, videos, frames):
        return np.full((len(videos), 1, 1, 1, 3), os.getpid() % 256, np.uint8)


def first_frame(lengths, epoch, videos):
    return np.zeros((len(videos), 1), int)


def test_readers_live_for_the_whole_training_and_end_when_it_is_closed():
    planned = [(epoch, np.arange(2)) for epoch in range(9) for _ in range(4)]
    found = batches.read(Witness(), planned, first_frame, workers=2)
    seen = [int(batch.frames[0, 0, 0, 0, 0]) for batch in islice(found, 24)]
    processes = multiprocessing.active_children()
    assert len(set(seen)) == len(processes) == 2
    assert os.getpid() % 256 not in set(seen)
    found.close()
    assert not any(process.is_alive() for process in processes)


class Busy(Witness):
    """A store whose frames cost a tenth of a second of processor time."""

    def clips(self, videos, frames):
        began = time.process_time()
        while time.process_time() < began + 0.1:
            pass
        return super().clips(videos, frames)


def test_the_use_of_the_processor_includes_readers_at_work(monkeypatch):
    monkeypatch.setattr(readers, "START_METHOD", "fork")
    found = batches.read(Busy(), [(0, np.arange(2))] * 12, first_frame, workers=1)
    next(found)
    before, own = cpu_seconds(), time.process_time()
    for _ in range(10):
        next(found)
    read = cpu_seconds() - before - (time.process_time() - own)
    found.close()
    assert read == pytest.approx(1.0, abs=0.25)


def test_little_shared_memory_is_told_before_a_reader_starts(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64e6))
    readers.check(1, 21_000_000)
    message = r"64 MB free, but 2 readers need up to 105 MB for batches of 21 MB.*--shm-size.* to 1 or fewer"
    with pytest.raises(ReadersError, match=message):
        readers.check(2, 21_000_000)
    monkeypatch.setenv("WORLD_SIZE", "2")  # two processes share the run, and the memory
    with pytest.raises(ReadersError, match=r"2 readers need up to 200 MB .* to 0 or fewer"):
        readers.check(2, 20_000_000)
    readers.check(1, 10_000_000)
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(ReadersError, match="for batches of 26 MB"):
        next(batches.read(Large(), [(0, np.arange(25))], first_frame, workers=1))


class Large:
    """A store with a clip of a megabyte, as far as can be seen."""

    lengths, folder = np.ones(100, int), Path("made up")

    def clips(self, videos, frames):
        return np.zeros(len(videos) * 2**20, np.uint8)


def test_a_long_folder_for_temporary_files_is_told_before_a_reader_starts(monkeypatch):
    readers.check(2, 1)
    monkeypatch.setattr(tempfile, "tempdir", "/" + 90 * "x")
    with pytest.raises(ReadersError, match=r"TMPDIR=/x+ has 91 characters, .* at most 75. Set TMPDIR to a shorter one"):
        readers.check(2, 1)


def test_as_long_a_folder_as_is_allowed_works(tmp_path):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder = folder / ("x" * (readers.SOCKET_PATH - len(str(folder)) - 1))
    folder.mkdir()
    program = "import test_readers; test_readers.readers.START_METHOD = 'fork'; test_readers.read_some()"
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": f"{Path(__file__).parent}:{Path.cwd()}"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)


def read_some():
    assert len(list(batches.read(Witness(), [(0, np.arange(2))] * 5, first_frame, workers=1))) == 5


TRAINING = """
import sys, time
from mac.runtime.signals import stop_request
from mac.training import batches
from test_readers import Slow, first_frame
import numpy as np
if __name__ == "__main__":
    stopping = stop_request()
    print("started", flush=True)
    found = batches.read(Slow(), [(0, np.arange(1))] * 400, first_frame, workers=int(sys.argv[1]))  # never closed
    for i, batch in enumerate(found):
        if i == 3:
            print("reading", flush=True)
        time.sleep(0.02)
        if stopping():
            time.sleep(0.3)  # the training saves itself
            for _ in range(3):
                next(found)  # and may need more batches until it is there
            print("saved", flush=True)
            sys.exit(75)
"""


class Slow:
    """A store that takes its time."""

    lengths, folder = np.ones(100, int), Path("made up")

    def clips(self, videos, frames):
        time.sleep(0.03)
        return np.zeros((1, 1, 2, 2, 3), np.uint8)


@pytest.fixture
def training(tmp_path):
    """A training in a process group of its own, as a scheduler's job is."""
    (tmp_path / "training.py").write_text(TRAINING)
    paths = f"{Path(__file__).parent}:{Path(__file__).parents[2]}"
    started = []

    def start(workers):
        started.append(
            subprocess.Popen(
                [sys.executable, tmp_path / "training.py", str(workers)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": paths},
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("workers", "when"), [(0, "reading"), (2, "started"), (2, "reading")])
def test_a_sigterm_to_the_whole_job_lets_the_training_save_itself(training, workers, when):
    process = training(workers)
    while process.stdout.readline().strip() != when:
        assert process.poll() is None
    if when == "started":
        time.sleep(0.4)  # the readers are starting
    os.killpg(process.pid, signal.SIGTERM)
    told, problems = process.communicate(timeout=60)
    assert process.returncode == 75, problems
    assert "saved" in told


def test_readers_end_with_a_training_that_is_killed(training):
    process = training(1)
    while process.stdout.readline().strip() != "reading":
        assert process.poll() is None
    process.kill()
    process.wait()
    for _ in range(100):
        if not alive(process.pid):
            return
        time.sleep(0.1)
    raise AssertionError("they read on")


def alive(session):
    """Processes of a session that haven't ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rsplit(") ", 1)[1].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(own) == session and state != "Z":
            found.append(path)
    return found
