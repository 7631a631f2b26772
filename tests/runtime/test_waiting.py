"""Whoever waits for long says for what, once."""

import fcntl
import os
import threading
import time

import pytest

from mac.runtime import lease, waiting
from mac.tracking import store


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "PATIENCE", 0.05)


def test_a_short_wait_is_not_told(capsys):
    answers = iter([False, False, True])
    waiting.wait_until(lambda: next(answers), "nobody")
    assert capsys.readouterr().err == ""


def test_a_long_wait_is_told_once(capsys):
    end = time.monotonic() + 0.3
    waiting.wait_until(lambda: time.monotonic() > end, "the end")
    assert capsys.readouterr().err == "waiting for the end\n"


def test_each_of_several_waits_is_told_and_nothing_else_changes(capsys):
    def slow():
        for number in range(4):
            time.sleep(0.2 * (number % 2))
            yield number

    assert list(waiting.told_each(slow(), "a number")) == [0, 1, 2, 3]
    assert capsys.readouterr().err == "waiting for a number\n" * 2


def test_a_failure_comes_through_and_ends_the_wait(capsys):
    def failing():
        yield 1
        raise KeyError("x")

    numbers = waiting.told_each(failing(), "a number")
    assert next(numbers) == 1
    with pytest.raises(KeyError):
        next(numbers)
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def hold(path, seconds):
    """Lock a file for a while, as another process would."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    threading.Timer(seconds, os.close, [descriptor]).start()


def test_a_job_says_that_it_waits_for_gpus(tmp_path, capsys):
    hold(tmp_path / "gpu0.0.lock", 0.5)
    assert lease.lease(1, ["gpu0"], tmp_path) == ["gpu0"]
    assert capsys.readouterr().err == f"waiting for 1 of the GPUs gpu0: other jobs hold them ({tmp_path})\n"


def test_a_job_says_that_it_waits_for_its_turn(tmp_path, capsys):
    hold(tmp_path / "turn.lock", 0.5)
    lease.lease(1, ["gpu0"], tmp_path)
    assert capsys.readouterr().err == f"waiting for another job that waits for GPUs ({tmp_path}/turn.lock)\n"


def test_a_recording_says_that_it_waits_for_another(tmp_path, capsys):
    hold(tmp_path / "mlflow.lock", 0.5)
    with store.one_at_a_time(f"sqlite:///{tmp_path}/mlflow.db"):
        pass
    assert capsys.readouterr().err.startswith("waiting for another process that writes to MLflow's store")
