"""What the tests of data share: a server that misbehaves as scripted, copies of the synthetic sets, and one index."""

import shutil
import threading

import pytest
from server import Server

from mac.data import index


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.open.set()
        running.closing.set()
        running.shutdown()


@pytest.fixture
def copied(synthetic_data, tmp_path):
    """A function that copies the synthetic set of a layout into a folder that the test may spoil."""
    return lambda layout="ucf101", name=None: shutil.copytree(synthetic_data / layout, tmp_path / (name or layout))


@pytest.fixture(scope="session")
def plain(synthetic_data):
    """The index of the UCF101-like set as it is."""
    return index.build(synthetic_data / "ucf101", "ucf101", 0.0)
