"""Trainings killed anywhere: what they end with is, bit for bit, what an undisturbed training ends with."""

import errno
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import (
    CPU,
    assert_equal,
    experiment,
    outcome,
    pretrain_command,
    run_pretraining,
    start_readers_by_fork,
    varies,
)
from safetensors.torch import load_file

from mac.runtime import signals
from mac.stages import finetune, pretrain
from mac.tracking import journal, replay
from mac.tracking import store as tracking
from mac.training.checkpoint import CheckpointError, load_state
from mac.training.loop import Loop
from mac.training.run_folder import SNAPSHOT, Interrupted, RunFolder

EPOCHS = 3


LENGTHS = {f"{stage}.optimiser.epochs": EPOCHS for stage in ("pretrain", "finetune")}


def run_finetuning(config, store, folder, workers, save_every, is_stopping):
    running = RunFolder(folder / "running", config.identify(), save_every, is_stopping)
    model = finetune.run(config, store, None, running, CPU, workers)
    found = finetune.predict(config, store, model, CPU, workers, running.leave_if_asked)
    torch.save({"logits": torch.tensor(np.stack(found["logits"])), "model": model.state_dict()}, folder / "s.pt")
    running.publish(folder / "j.jsonl")
    running.discard()


STAGES = {
    "pretrain": (partial(run_pretraining, monitor_epochs=1), lambda: experiment(**LENGTHS).pretraining(1, 1)),
    "finetune": (run_finetuning, lambda: experiment(**LENGTHS).finetuning(1, 1, "random")),
}


KILL_POINTS = ((Loop, "_step"), (journal.Journal, "write"), (os, "fsync"), (Path, "replace"), (Path, "open"))


def killing(left, function):
    """Wrap a function so that this process ends by SIGKILL before or after it when the count is over."""
    own = os.getpid()

    def count_down():
        left[0] -= 1
        if left[0] == 0 and os.getpid() == own:  # not a reader
            os.kill(own, signal.SIGKILL)

    def wrapped(*arguments, **named):
        count_down()
        result = function(*arguments, **named)
        count_down()
        return result

    return wrapped


def in_child(work, kill_at=0):
    """Run in a forked process that kills itself at the n-th step, write, sync or rename; returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        left = [kill_at]
        for owner, name in KILL_POINTS:
            setattr(owner, name, killing(left, getattr(owner, name)))
        work()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def results(folder):
    backbone = load_file(folder / "b.safetensors") if (folder / "b.safetensors").exists() else {}
    return [*outcome(folder), backbone]


@pytest.fixture(scope="module")
def undisturbed(frame_store, tmp_path_factory):
    found = {}
    for stage, (run, configure) in STAGES.items():
        folder = tmp_path_factory.mktemp(stage)
        run(configure(), frame_store, folder, 0, 600.0, lambda: False)
        assert not (folder / "running").exists()
        found[stage] = results(folder)
    return found


def disturb(stage, store, folder, kills, workers, seed, after_kill=lambda: None):
    """Run a stage that is killed ``kills`` times at random, then once to its end; returns how often it was killed."""
    run, configure = STAGES[stage]
    config, draw, killed = configure(), random.Random(seed), 0
    for _ in range(kills):
        save_every = draw.choice([0.0, 600.0])  # after each step, or at the end of epochs only
        work = partial(run, config, store, folder, workers, save_every, lambda: False)
        status = in_child(work, kill_at=draw.randint(1, 60))
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            after_kill()
        else:
            assert status == 0
            break
    if (folder / "running").exists() or not (folder / "j.jsonl").exists():
        assert in_child(partial(run, config, store, folder, workers, 600.0, lambda: False)) == 0
    return killed


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.mark.parametrize(("stage", "workers"), [("pretrain", 0), ("finetune", 2)])
def test_a_few_kills_change_nothing(stage, workers, frame_store, tmp_path, undisturbed, uri, monkeypatch):
    start_readers_by_fork(monkeypatch)
    client, live, sent = tracking.connect(uri), tmp_path / "running" / "journal.jsonl", []
    record = partial(replay.RunRecord, stage, stage, "a run", {}, {})

    def send():
        if live.exists():
            sent.append(replay.send(client, uri, partial(record, journal.read_final(live), is_finished=False)))

    assert disturb(stage, frame_store, tmp_path, 5, workers, 1, send) >= 3
    assert_equal(results(tmp_path), undisturbed[stage])
    own = replay.record(client, uri, partial(record, journal.read(tmp_path / "j.jsonl")))
    assert set(sent) == {own}  # one run from the first attempt to the end
    for name in client.get_run(own).data.metrics:
        if not varies(name):
            history = [(point.step, point.value) for point in client.get_metric_history(own, name)]
            assert history == points_of(undisturbed[stage][1], name)


def points_of(events, name):
    """What a metric's history in MLflow must be after these journal events, which don't name its unit."""
    name = name.removesuffix("_percent")
    plain = [(event["epoch"], event[name]) for event in events if name in event]
    return plain + [
        (e["epoch"], value) for e in events for key, value in e.get("final", {}).items() if f"final_{key}" == name
    ]


@pytest.mark.full
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_twenty_kills_change_nothing(stage, workers, frame_store, tmp_path, undisturbed):
    killed = 0
    for attempt in range(40):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        killed += disturb(stage, frame_store, folder, 20 - killed, workers, seed=100 * workers + attempt)
        assert_equal(results(folder), undisturbed[stage])
        if killed >= 20:
            break
    assert killed >= 20


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_asked_to_leave_saves_itself_and_goes_on(stage, frame_store, tmp_path, undisturbed):
    run, configure = STAGES[stage]
    config = configure()
    asked = [0]

    def is_stopping():
        asked[0] += 1
        return asked[0] % 3 == 0 and asked[0] < 20

    left = 0
    for _ in range(50):
        try:
            run(config, frame_store, tmp_path, 0, 600.0, is_stopping)
            break
        except Interrupted:
            left += 1
    assert left >= 3
    assert_equal(results(tmp_path), undisturbed[stage])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_up_while_saving_costs_nothing(frame_store, tmp_path, small_disk, undisturbed):
    run, configure = STAGES["pretrain"]
    config, ballast = configure(), small_disk / "ballast"
    (tmp_path / "running").symlink_to(small_disk / "run")
    (small_disk / "run").mkdir()
    write, saved = RunFolder._write, []

    def fill(folder, state):
        saved.append(state)
        if len(saved) == 4:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))
        write(folder, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "_write", fill)
        with pytest.raises(OSError, match="the snapshot before it is intact: make room and run again") as error:
            run(config, frame_store, tmp_path, 0, 0.0, lambda: False)
    assert error.value.errno == errno.ENOSPC
    position = load_state(small_disk / "run" / SNAPSHOT, config.identify())["state"]["position"]
    assert position["step"] == 3  # saved after every step, the fourth time in vain
    with pytest.raises(OSError, match="No space"):  # nothing has been freed: nor does it go on now
        run(config, frame_store, tmp_path, 0, 0.0, lambda: False)
    ballast.unlink()
    running = RunFolder(tmp_path / "running", config.identify())
    outputs = pretrain.Outputs(tmp_path / "b.safetensors", tmp_path / "s.pt", tmp_path / "j.jsonl")
    pretrain.run(config, frame_store, EPOCHS, None, outputs, running, CPU, monitor_epochs=1)
    assert_equal(results(tmp_path), undisturbed["pretrain"])


def test_the_folder_of_another_run_or_of_other_data_is_refused(frame_store, tmp_path):
    config = STAGES["pretrain"][1]()
    with pytest.raises(Interrupted):
        run_pretraining(config, frame_store, tmp_path, 0, 600.0, lambda: True)
    other = config.model_copy(update={"seed": 2})
    with pytest.raises(CheckpointError, match=f"run {config.identify()}, but this is run {other.identify()}"):
        run_pretraining(other, frame_store, tmp_path, 0, 600.0, lambda: False)


def test_a_terminated_command_saves_itself_and_leaves_with_its_own_status(root, frame_store, tmp_path, undisturbed):
    config = STAGES["pretrain"][1]()
    command = pretrain_command(config, frame_store, tmp_path, "--monitor-epochs", "1")
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    written = tmp_path / "running" / "journal.jsonl"
    while not written.exists() or not written.stat().st_size:
        time.sleep(0.01)
    process.terminate()
    began = time.monotonic()
    _, message = process.communicate(timeout=30)
    assert process.returncode == 75, message
    assert "the same command continues it" in message
    assert time.monotonic() - began < 10
    assert not (tmp_path / "b.safetensors").exists()
    subprocess.run(command, cwd=root, check=True)
    assert_equal(results(tmp_path), undisturbed["pretrain"])
    assert not (tmp_path / "running").exists()


def test_a_stop_is_only_heard_once_it_has_come():
    before = signal.getsignal(signal.SIGTERM)
    try:
        is_stopping = signals.stop_request()
        assert not is_stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_stopping()
    finally:
        signal.signal(signal.SIGTERM, before)
