"""Snapshots: two generations, whole or not there, on good disks and bad ones."""

import errno
import os

import pytest
import torch

from mac.training import run_folder
from mac.training.checkpoint import CheckpointError
from mac.training.run_folder import RunFolder
from mac.training.snapshots import NAMES, Snapshots


def state(number):
    return {"tensor": torch.full((50_000,), float(number)), "number": number}


def saved(folder, *numbers):
    snapshots = Snapshots(folder, "run")
    snapshots.load()
    for number in numbers:
        snapshots.save(state(number))
    return snapshots


def test_the_newest_state_comes_back(tmp_path):
    assert Snapshots(tmp_path, "run").load() is None
    for number in range(1, 6):
        saved(tmp_path, number)  # each by a process that knows only what lies in the folder
        found = Snapshots(tmp_path, "run").load()
        assert found["number"] == number
        assert torch.equal(found["tensor"], state(number)["tensor"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "deleted"])
def test_a_torn_newest_generation_falls_back_on_the_one_before(tmp_path, damage):
    saved(tmp_path, 1, 2)
    newest = max((tmp_path / name for name in NAMES), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    if damage == "deleted":
        newest.unlink()
    else:
        content[len(content) // 2] ^= 1
        newest.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}[damage])
    assert Snapshots(tmp_path, "run").load()["number"] == 1
    saved(tmp_path, 3)
    assert Snapshots(tmp_path, "run").load()["number"] == 3


def test_a_save_that_failed_does_not_make_the_next_one_take_the_newest_states_place(tmp_path, monkeypatch):
    snapshots = saved(tmp_path, 1, 2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            snapshots.save(state(3))
    snapshots.save(state(3))
    max((tmp_path / name for name in NAMES), key=lambda path: path.stat().st_mtime_ns).write_bytes(b"torn")
    assert Snapshots(tmp_path, "run").load()["number"] == 2


def test_a_snapshots_content_and_then_its_name_are_brought_onto_the_disk(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(os, "fsync", sync)
    saved(tmp_path, 1)
    (content, before), (folder, after) = synced
    assert [os.path.basename(content)] == before  # under a temporary name, alone
    assert (folder, after) == (str(tmp_path), [NAMES[1]])


def test_both_generations_torn_is_a_beginning(tmp_path):
    saved(tmp_path, 1, 2)
    for name in NAMES:
        (tmp_path / name).write_bytes(b"torn")
    assert Snapshots(tmp_path, "run").load() is None


def test_another_runs_state_is_refused(tmp_path):
    saved(tmp_path, 1)
    with pytest.raises(CheckpointError, match="the state of run run, but this is run other; delete or move it"):
        Snapshots(tmp_path, "other").load()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_state_before_and_goes_on_when_there_is_room(tmp_path, monkeypatch, number):
    snapshots = saved(tmp_path, 1)

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for _ in range(3):
            with pytest.raises(OSError, match="the snapshot before it is intact: make room and run again"):
                snapshots.save(state(2))
    assert Snapshots(tmp_path, "run").load()["number"] == 1
    assert len(list(tmp_path.iterdir())) == 1
    snapshots.save(state(3))
    assert Snapshots(tmp_path, "run").load()["number"] == 3


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
    write = folder._snapshots.save
    folder._snapshots.save = lambda state: (clock(seconds), write(state))
    folder.save({"x": 1})
    folder._snapshots.save = write


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
    assert Snapshots(tmp_path, "run").load()["state"] == {"x": 2}


def test_what_was_trained_since_the_last_snapshot_is_saved_when_a_run_leaves_while_it_tests(tmp_path, clock):
    asked = []
    folder = RunFolder(tmp_path, "run", is_stopping=lambda: bool(asked))
    save(folder, clock, 60.0)
    assert not folder.is_due(at_end_of_epoch=True)
    folder.remember(lambda: {"x": 7})
    folder.leave_if_asked()
    assert Snapshots(tmp_path, "run").load()["state"] == {"x": 1}
    asked.append(1)
    with pytest.raises(run_folder.Interrupted):
        folder.leave_if_asked()
    assert Snapshots(tmp_path, "run").load()["state"] == {"x": 7}
