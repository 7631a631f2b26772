"""Trainings killed anywhere: what they end with is, bit for bit, what an undisturbed training ends with."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mac.config import write_config
from mac.experiment import merge, parse, unfold
from mac.runtime import signals
from mac.stages import finetune, pretrain
from mac.tracking import journal, replay
from mac.tracking import store as tracking
from mac.training.checkpoint import CheckpointError
from mac.training.loop import Loop
from mac.training.run_folder import Interrupted, RunFolder
from mac.training.snapshots import Snapshots
from mac.validation import read_yaml

CPU = torch.device("cpu")
EPOCHS = 3
VARYING = ("time", "clips_per_second")


def experiment(root):
    scale = read_yaml(root / "config" / "scales" / "smoke.yaml")
    scale.pop("tables")
    lengths = {f"{stage}.optimiser.epochs": EPOCHS for stage in ("pretrain", "finetune")}
    return parse(merge(merge(read_yaml(root / "config" / "default.yaml"), scale), unfold(lengths)))


def run_pretraining(config, store, folder, workers, save_every, is_stopping):
    running = RunFolder(folder / "running", config.identify(), save_every, is_stopping)
    outputs = pretrain.Outputs(folder / "b.safetensors", folder / "s.pt", folder / "j.jsonl")
    pretrain.run(config, store, EPOCHS, None, outputs, running, CPU, workers)
    running.discard()


def run_finetuning(config, store, folder, workers, save_every, is_stopping):
    running = RunFolder(folder / "running", config.identify(), save_every, is_stopping)
    model = finetune.run(config, store, None, running, CPU, workers)
    found = finetune.predict(config, store, model, CPU, workers, running.leave_if_asked)
    torch.save({"logits": torch.tensor(np.stack(found["logits"])), "model": model.state_dict()}, folder / "s.pt")
    running.publish(folder / "j.jsonl")
    running.discard()


STAGES = {
    "pretrain": (run_pretraining, lambda e: e.pretraining(seed=1, split=1)),
    "finetune": (run_finetuning, lambda e: e.finetuning(1, 1, "random")),
}


KILL_POINTS = ((Loop, "_step"), (journal.Journal, "write"), (os, "fsync"), (Path, "replace"), (Path, "open"))


def killing(left, function):
    """Wrap a function so that the process ends by SIGKILL before or after it when the count is over."""

    def count_down():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

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


def points(path):
    """A journal's metrics without what time decides."""
    kept = [event for event in journal.read(path) if event["event"] in ("metrics", "end")]
    return [{k: v for k, v in event.items() if k not in VARYING and "system/" not in k} for event in kept]


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def results(folder):
    backbone = load_file(folder / "b.safetensors") if (folder / "b.safetensors").exists() else {}
    return torch.load(folder / "s.pt", weights_only=True), backbone, points(folder / "j.jsonl")


@pytest.fixture(scope="module")
def undisturbed(request, frame_store, tmp_path_factory):
    found = {}
    for stage, (run, configure) in STAGES.items():
        folder = tmp_path_factory.mktemp(stage)
        run(configure(experiment(request.config.rootpath)), frame_store, folder, 0, 600.0, lambda: False)
        assert not (folder / "running").exists()
        found[stage] = results(folder)
    return found


def disturb(stage, root, store, folder, kills, workers, seed, after_kill=lambda: None):
    """Run a stage that is killed ``kills`` times at random, then once to its end; returns how often it was killed."""
    run, configure = STAGES[stage]
    config, draw, killed = configure(experiment(root)), random.Random(seed), 0
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


def check(stage, undisturbed, folder):
    for found, expected in zip(results(folder), undisturbed[stage], strict=True):
        assert same(found, expected)


@pytest.mark.parametrize(("stage", "workers"), [("pretrain", 0), ("finetune", 2)])
def test_a_few_kills_change_nothing(stage, workers, root, frame_store, tmp_path, undisturbed):
    uri, live = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "running" / "journal.jsonl"
    client, sent = tracking.connect(uri), []

    def send():
        if live.exists():
            sent.append(replay.send(client, uri, partial(record, journal.read_final(live), is_finished=False)))

    assert disturb(stage, root, frame_store, tmp_path, 5, workers, 1, send) >= 3
    check(stage, undisturbed, tmp_path)
    own = replay.record(client, uri, partial(record, journal.read(tmp_path / "j.jsonl")))
    assert set(sent) == {own}  # one run from the first attempt to the end
    for name in client.get_run(own).data.metrics:
        if name not in VARYING and "system/" not in name:
            history = [(point.step, point.value) for point in client.get_metric_history(own, name)]
            assert history == points_of(undisturbed[stage][2], name)


def record(events, is_finished=True):
    return replay.RunRecord("0123456789", "pretrain", "a run", {}, {}, events, is_finished=is_finished)


def points_of(events, name):
    """What a metric's history in MLflow must be after these journal events."""
    plain = [(event["epoch"], event[name]) for event in events if name in event]
    return plain + [
        (e["epoch"], value) for e in events for key, value in e.get("final", {}).items() if f"final_{key}" == name
    ]


@pytest.mark.full
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_twenty_kills_change_nothing(stage, workers, root, frame_store, tmp_path, undisturbed):
    killed = 0
    for attempt in range(40):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        killed += disturb(stage, root, frame_store, folder, 20 - killed, workers, seed=100 * workers + attempt)
        check(stage, undisturbed, folder)
        if killed >= 20:
            break
    assert killed >= 20


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_asked_to_leave_saves_itself_and_goes_on(stage, root, frame_store, tmp_path, undisturbed):
    run, configure = STAGES[stage]
    config = configure(experiment(root))
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
    check(stage, undisturbed, tmp_path)


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


def test_a_disk_that_fills_up_while_saving_costs_nothing(root, frame_store, tmp_path, small_disk, undisturbed):
    run, configure = STAGES["pretrain"]
    config, ballast = configure(experiment(root)), small_disk / "ballast"
    (tmp_path / "running").symlink_to(small_disk / "run")
    (small_disk / "run").mkdir()
    save = Snapshots.save

    def fill(snapshots, state):
        if snapshots._generation == 3:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))
        save(snapshots, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshots, "save", fill)
        with pytest.raises(OSError, match="the snapshot before it is intact: make room and run again") as error:
            run(config, frame_store, tmp_path, 0, 0.0, lambda: False)
    assert error.value.errno == errno.ENOSPC
    position = Snapshots(small_disk / "run", config.identify()).load()["state"]["position"]
    assert position["step"] == 3  # saved after every step, the fourth time in vain
    with pytest.raises(OSError, match="No space"):  # nothing has been freed: nor does it go on now
        run(config, frame_store, tmp_path, 0, 0.0, lambda: False)
    ballast.unlink()
    running = RunFolder(tmp_path / "running", config.identify())
    outputs = pretrain.Outputs(tmp_path / "b.safetensors", tmp_path / "s.pt", tmp_path / "j.jsonl")
    pretrain.run(config, frame_store, EPOCHS, None, outputs, running, CPU)
    check("pretrain", undisturbed, tmp_path)


def test_the_folder_of_another_run_or_of_other_data_is_refused(frame_store, root, tmp_path):
    config = STAGES["pretrain"][1](experiment(root))
    with pytest.raises(Interrupted):
        run_pretraining(config, frame_store, tmp_path, 0, 600.0, lambda: True)
    other = config.model_copy(update={"seed": 2})
    with pytest.raises(CheckpointError, match=f"run {config.identify()}, but this is run {other.identify()}"):
        run_pretraining(other, frame_store, tmp_path, 0, 600.0, lambda: False)


def test_a_terminated_command_saves_itself_and_leaves_with_its_own_status(root, frame_store, tmp_path, undisturbed):
    config = STAGES["pretrain"][1](experiment(root))
    path = tmp_path / config.identify() / "config.yaml"
    write_config(path, config)
    outputs = {"backbone": "b.safetensors", "state": "s.pt", "journal": "j.jsonl", "metrics": "m.json"}
    command = [sys.executable, "-m", "mac", "pretrain", "--config", path, "--store", frame_store._folder / "store.json"]
    command += [word for name, file in outputs.items() for word in (f"--{name}", tmp_path / file)]
    command += ["--folder", tmp_path / "running", "--until", str(EPOCHS), "--device", "cpu"]
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
    check("pretrain", undisturbed, tmp_path)
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
