"""A run's folder: its snapshot and journal, on good disks and bad ones, and when it saves."""

import errno
import os

import pytest
import torch

from mac.runtime.reading import DamagedFileError
from mac.training import run_folder
from mac.training.checkpoint import CheckpointError, load_state
from mac.training.run_folder import SNAPSHOT, RunFolder


def state(number):
    return {"tensor": torch.full((50_000,), float(number)), "number": number}


def snapshot(folder):
    return load_state(folder / SNAPSHOT, "run")["state"]


@pytest.fixture
def opened(tmp_path):
    """A function that opens the run's folder as a new process would."""
    folders = []

    def start(**options):
        for folder in folders:
            folder._lock.close()
        folders.append(RunFolder(tmp_path, "run", **options))
        return folders[-1]

    return start


def test_the_newest_state_comes_back_as_it_was(opened, tmp_path):
    assert opened().state is None
    network = torch.nn.Conv3d(3, 4, 2).to(memory_format=torch.channels_last_3d).to(torch.bfloat16)
    for number in range(3):
        opened().save(state(number) | {"network": network.state_dict(), "nested": [(1, "a"), {2: None}]})
        found = opened().state
        assert torch.equal(found["tensor"], state(number)["tensor"])
        assert (found["number"], found["nested"]) == (number, [(1, "a"), {2: None}])
        for name, tensor in network.state_dict().items():
            assert torch.equal(found["network"][name], tensor)
            assert (found["network"][name].stride(), found["network"][name].dtype) == (tensor.stride(), tensor.dtype)
    assert {path.name for path in tmp_path.iterdir()} == {SNAPSHOT, "journal.jsonl", "lock"}


@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_snapshot_is_named(opened, tmp_path, damage):
    opened().save(state(1))
    content = (tmp_path / SNAPSHOT).read_bytes()
    (tmp_path / SNAPSHOT).write_bytes({"cut": content[:-100], "empty": b""}[damage])
    with pytest.raises(DamagedFileError, match=f"{SNAPSHOT}: damaged"):
        opened()


def test_a_snapshots_content_and_then_its_name_are_brought_onto_the_disk(opened, tmp_path, monkeypatch):
    folder, synced = opened(), []

    def sync(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(os, "fsync", sync)
    folder.save(state(1))
    (_, _), (content, before), (named, after) = synced  # the first is the journal
    assert os.path.basename(content) in before  # under a temporary name
    assert SNAPSHOT not in before
    assert named == str(tmp_path)
    assert SNAPSHOT in after


def test_another_runs_state_is_refused(opened, tmp_path):
    opened().save(state(1))
    opened()._lock.close()
    with pytest.raises(CheckpointError, match="the state of run run, but this is run other; delete or move it"):
        RunFolder(tmp_path, "other")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_state_before_and_goes_on_when_there_is_room(opened, tmp_path, monkeypatch, number):
    folder = opened()
    folder.save(state(1))
    before = sorted(tmp_path.iterdir())

    def full(descriptor):
        if SNAPSHOT in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for _ in range(3):
            with pytest.raises(OSError, match="the snapshot before it is intact: make room and run again"):
                folder.save(state(2))
    assert snapshot(tmp_path)["number"] == 1
    assert sorted(tmp_path.iterdir()) == before
    folder.save(state(3))
    assert snapshot(tmp_path)["number"] == 3


def test_a_run_that_another_process_trains_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "PATIENCE", 0.2)
    ready, release = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        folder = RunFolder(tmp_path, "run")
        os.write(ready[1], b"x")
        os.read(release[0], 1)
        os._exit(0 if folder else 1)
    os.read(ready[0], 1)
    with pytest.raises(run_folder.BusyError, match="another process trains this run"):
        RunFolder(tmp_path, "run")
    os.write(release[1], b"x")
    os.waitpid(child, 0)
    RunFolder(tmp_path, "run")  # with the process, its lock has gone


def test_a_journal_shorter_than_its_snapshot_says_is_refused(tmp_path):
    folder = RunFolder(tmp_path, "run", save_every=0)
    folder.write("start")
    assert folder.is_due(at_end_of_epoch=True)
    folder.save({"x": 1})
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="shorter than the .* bytes that the snapshot"):
        RunFolder(tmp_path, "run")


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(run_folder.time, "monotonic", lambda: now[0])

    def go(seconds):
        now[0] += seconds

    return go


def save(folder, clock, seconds):
    """Save a state that takes so long to write."""
    write = folder._write
    folder._write = lambda state: (clock(seconds), write(state))
    folder.save({"x": 1})
    folder._write = write


def test_snapshots_at_the_ends_of_epochs_take_at_most_a_hundredth_of_the_time(tmp_path, clock):
    folder = RunFolder(tmp_path, "run", save_every=600.0)
    saving = began = 0.0
    for _ in range(300):  # epochs of 7 seconds, snapshots of 2
        clock(7)
        began += 7
        if folder.is_due(at_end_of_epoch=True):
            save(folder, clock, 2.0)
            saving += 2
    assert 0.005 < saving / began <= 0.01 + 2 / began


def test_a_long_epoch_ends_with_a_snapshot_and_has_some_within(tmp_path, clock):
    folder = RunFolder(tmp_path, "run", save_every=600.0)
    save(folder, clock, 2.0)
    clock(599)
    assert not folder.is_due(at_end_of_epoch=False)
    assert folder.is_due(at_end_of_epoch=True)
    clock(1)
    assert folder.is_due(at_end_of_epoch=False)
    save(folder, clock, 2.0)
    clock(199)
    assert not folder.is_due(at_end_of_epoch=True)
    clock(1)
    assert folder.is_due(at_end_of_epoch=True)


def test_a_run_that_is_asked_to_leave_saves_whatever_it_costs(tmp_path, clock):
    asked = []
    folder = RunFolder(tmp_path, "run", is_stopping=lambda: bool(asked))
    save(folder, clock, 60.0)
    assert not folder.is_due(at_end_of_epoch=False)
    asked.append(1)
    assert folder.is_due(at_end_of_epoch=False)
    with pytest.raises(run_folder.Interrupted):
        folder.save({"x": 2})
    assert snapshot(tmp_path) == {"x": 2}


def test_what_was_trained_since_the_last_snapshot_is_saved_when_a_run_leaves_while_it_tests(tmp_path, clock):
    asked = []
    folder = RunFolder(tmp_path, "run", is_stopping=lambda: bool(asked))
    save(folder, clock, 60.0)
    assert not folder.is_due(at_end_of_epoch=True)
    folder.remember(lambda: {"x": 7})
    folder.leave_if_asked()
    assert snapshot(tmp_path) == {"x": 1}
    asked.append(1)
    with pytest.raises(run_folder.Interrupted):
        folder.leave_if_asked()
    assert snapshot(tmp_path) == {"x": 7}
