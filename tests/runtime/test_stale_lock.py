"""A lock that was left behind is told from a living Snakemake's by its process."""

import json
import os
import subprocess
import sys

import pytest

from mac.runtime import stale_lock
from mac.runtime.stale_lock import LOCKS, OWNER, claim, is_left_behind


@pytest.fixture
def locked(tmp_path):
    """A folder that a process has locked and that has ended since."""
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "0.output.lock").touch()
    program = "from pathlib import Path; from mac.runtime.stale_lock import claim; claim(Path())"
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.getcwd()}, check=True
    )
    return tmp_path


def change(folder, **facts):
    path = folder / OWNER
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_the_lock_of_a_process_that_is_gone_is_left_behind(locked):
    assert is_left_behind(locked)


@pytest.mark.parametrize("facts", [{"began": "1"}, {"boot": "before the machine was restarted"}])
def test_another_process_under_the_same_number_is_not_the_owner(locked, facts):
    claim(locked)
    assert not is_left_behind(locked)
    change(locked, **facts)
    assert is_left_behind(locked)


def test_a_living_owner_keeps_its_lock(locked):
    claim(locked)
    assert not is_left_behind(locked)


def test_of_another_machines_process_nothing_is_known(locked):
    change(locked, host="another")
    assert not is_left_behind(locked)


def test_of_another_containers_process_nothing_is_known_until_the_machine_is_restarted(locked):
    change(locked, container="pid:[1]")
    assert not is_left_behind(locked)
    change(locked, boot="before the machine was restarted")
    assert is_left_behind(locked)


@pytest.mark.parametrize("content", ["", '{"host": "vm"'])
def test_a_damaged_note_of_the_owner_leaves_the_lock_to_the_user(locked, content):
    (locked / OWNER).write_text(content)
    assert not is_left_behind(locked)


def test_a_lock_of_an_unknown_owner_and_no_lock_at_all_are_left_alone(locked):
    (locked / LOCKS / "0.output.lock").unlink()
    assert not is_left_behind(locked)
    (locked / LOCKS / "0.output.lock").touch()
    (locked / OWNER).unlink()
    assert not is_left_behind(locked)


def test_a_snakemake_that_has_just_begun_there_keeps_the_lock(locked):
    """It locks the folder before it notes its process."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "snakemake"]
    waiting = subprocess.Popen(command, cwd=locked, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiting.stdout.readline()
    try:
        assert not is_left_behind(locked)
    finally:
        waiting.communicate()
    assert is_left_behind(locked)


def test_without_linux_locks_are_left_to_the_user(locked, monkeypatch):
    monkeypatch.setattr(stale_lock, "BOOT", locked / "none")
    assert not is_left_behind(locked)
