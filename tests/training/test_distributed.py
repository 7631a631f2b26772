"""Several processes on one training, with gloo on the CPU: the result is that of one process, up to rounding."""

import json
import os
import socket
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import CPU, assert_equal, experiment, outcome, pretrain_command, run_pretraining
from torch import nn

from mac.methods import learner
from mac.methods.learner import Learner
from mac.models.backbones import resnet
from mac.stages import finetune, pretrain
from mac.tracking import journal
from mac.training import distributed, monitor
from mac.training.checkpoint import load_state
from mac.training.distributed import DistributedError, World
from mac.training.loop import NotFiniteError
from mac.training.run_folder import SNAPSHOT, Interrupted, RunFolder


def together(size, work, folder):
    """Call ``work(world)`` in so many forked processes that find each other; returns what each returned."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = [os.fork() or _child(rank, size, port, work, folder) for rank in range(size)]
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _child(rank, size, port, work, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with distributed.join(CPU) as world:
            torch.save(work(world), folder / f"{rank}.pt")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def normalise(x, upstream, world):
    """One training step's forward and backward pass through a normalisation over this process's part of a batch."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.BatchNorm3d(5)).double()
    nn.init.uniform_(layer[0].weight)
    nn.init.uniform_(layer[0].bias)
    if world.size > 1:
        distributed._share_statistics(layer, CPU)
    own = world.share(np.arange(len(x)))
    x = x[own].clone().requires_grad_()
    for _ in range(3):  # the running statistics move
        y = layer(x)
    y.backward(upstream[own])
    seen = layer.eval()(x).detach()
    norm = layer[0]
    sums = {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return {"y": y.detach(), "dx": x.grad, "eval": seen}, sums, norm.state_dict(), type(norm).__name__


@pytest.mark.parametrize("size", [2, 3])
def test_normalisation_over_processes_is_batch_norm_over_the_whole_batch(size, tmp_path):
    x, upstream = 2 + 3 * torch.randn(2, 6, 5, 2, 4, 4, generator=torch.manual_seed(size), dtype=torch.double)
    rows, sums, state, name = normalise(x, upstream, World())
    assert name == "BatchNorm3d"
    parts = together(size, partial(normalise, x, upstream), tmp_path)
    for key, expected in rows.items():
        torch.testing.assert_close(torch.cat([part[0][key] for part in parts]), expected)
    for key, expected in sums.items():
        torch.testing.assert_close(sum(part[1][key] for part in parts), expected)
    for part in parts:
        assert part[3] == "AllReduceBatchNorm3d"
        assert part[2].keys() == state.keys()
        for key, expected in state.items():
            torch.testing.assert_close(part[2][key], expected)


def talk(world):
    videos = np.arange(10)
    own = torch.tensor(world.equal_share(np.arange(6)))
    return {
        "share": world.share(videos),
        "gathered": world.gather(own[:, None] * 10),
        "mean": world.mean([float(world.rank), 5.0]),
        "collected": world.collect({"rank": world.rank}),
    }


def test_processes_share_gather_and_average(tmp_path):
    parts = together(3, talk, tmp_path)
    assert np.concatenate([part["share"] for part in parts]).tolist() == list(range(10))
    for part in parts:
        assert part["gathered"].flatten().tolist() == [0, 10, 20, 30, 40, 50]
        assert part["mean"] == [1.0, 5.0]
        assert part["collected"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]


def test_a_batch_that_cannot_be_split_evenly_is_refused():
    with pytest.raises(DistributedError, match=r"32 videos .* over 3 processes; allowed are 1, 2, 4, 8, 16, 32"):
        World(0, 3).equal_share(np.arange(32))


VARIANTS = {
    "MAC-SC-2": {},
    "MAC-SC-2, one direction": {"pretrain.contrast.symmetric": False},
    "MAC-S-4, regression": {
        "pretrain.contrast": None,
        "pretrain.pretext.segments": 4,
        "pretrain.pretext.objective": "mse",
        "pretrain.optimiser.lr": 0.03,
    },
    "supervised": {},
}


BATCHES = {f"{stage}.optimiser.batch_size": 8 for stage in ("pretrain", "finetune")}


@pytest.fixture
def exact(monkeypatch):
    """Networks in double precision: tiny ones, normalised over few values, amplify rounding ten-thousandfold."""

    def build(owner):
        original = owner.to_fast_layout
        monkeypatch.setattr(owner, "to_fast_layout", lambda module, device: original(module, device).double())

    def forward(backbone, clip):
        return original_forward(backbone, clip.double())

    original_forward = resnet.ResNet.forward
    monkeypatch.setattr(resnet.ResNet, "forward", forward)
    build(learner)
    build(finetune)


def pretraining(variant):
    return experiment(**BATCHES, **VARIANTS[variant]).pretraining(
        1, 1, task="supervised" if variant == "supervised" else "mac"
    )


def in_one_of_several(config, store, folder, world):
    return run_pretraining(config, store, folder, world=world, monitor_epochs=1)


@pytest.mark.parametrize(
    ("variant", "size"), [*((name, 2) for name in VARIANTS), pytest.param("MAC-SC-2", 4, marks=pytest.mark.full)]
)
def test_a_pretraining_does_not_depend_on_the_number_of_processes(variant, size, frame_store, tmp_path, exact):
    config = pretraining(variant)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    expected = run_pretraining(config, frame_store, alone, monitor_epochs=1)
    finals = together(size, partial(in_one_of_several, config, frame_store, shared), tmp_path)
    assert all(final == finals[0] for final in finals)
    assert_equal(finals[0] | {"device": ""}, expected | {"device": ""}, rtol=1e-5, atol=1e-5)
    state, events = outcome(shared)
    expected_state, expected_events = outcome(alone)
    assert_equal(state, expected_state, rtol=1e-4, atol=1e-5)
    assert_equal(events, expected_events, rtol=1e-5, atol=1e-5)
    weights = Learner(config, frame_store.videos["label_index"].to_numpy(), CPU).head.weight.detach()
    assert float((state["learner"]["head.weight"] - weights).abs().max()) > 1e-3  # what agrees to 1e-5 has moved


def run_finetuning(config, store, folder, world):
    running = RunFolder(folder / "running", config.identify(), world=world)
    model = finetune.run(config, store, None, running, CPU, world=world)
    return np.stack(finetune.predict(config, store, model, CPU, world=world)["logits"])


def test_a_finetuning_and_its_test_do_not_depend_on_the_number_of_processes(frame_store, tmp_path, exact):
    config = experiment(**BATCHES).finetuning(1, 1, "random")
    expected = run_finetuning(config, frame_store, tmp_path / "alone", World())
    found = together(2, partial(run_finetuning, config, frame_store, tmp_path / "shared"), tmp_path)
    assert np.array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 0.01


def leave_often(config, store, folder, world):
    """Train, while one process (not the writing one) is asked to leave after the first step of three attempts."""
    left = 0
    while True:
        is_stopping = partial(bool, world.rank == 1 and left < 3)
        try:
            run_pretraining(config, store, folder, is_stopping=is_stopping, world=world, monitor_epochs=1)
        except Interrupted:
            left += 1
            world.collect(left)  # all have left before one comes back, as when commands end
        else:
            return left


@pytest.mark.parametrize("size", [3, *(pytest.param(n, marks=pytest.mark.full) for n in (2, 4))])
def test_processes_leave_and_resume_together_and_end_bit_identical(size, frame_store, tmp_path):
    """Two can't sum in another order, three and four can."""
    config = experiment(**{"pretrain.optimiser.batch_size": 8 if size == 4 else 6}).pretraining(1, 1)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    together(size, partial(in_one_of_several, config, frame_store, undisturbed), tmp_path)
    assert together(size, partial(leave_often, config, frame_store, disturbed), tmp_path) == [3] * size
    assert_equal(outcome(disturbed), outcome(undisturbed))
    assert (disturbed / "b.safetensors").read_bytes() == (undisturbed / "b.safetensors").read_bytes()


def look_often(config, store, folder, world):
    """Train, while only the first process finds that it is time to look at every epoch's features."""
    monitor.SHARE = 1e-9 if world.rank else 1e9
    run_pretraining(config, store, folder, world=world, monitor_epochs=None)


def test_processes_look_when_the_first_one_does(frame_store, tmp_path):
    config = pretraining("MAC-SC-2")
    together(2, partial(look_often, config, frame_store, tmp_path), tmp_path)
    seen = [event["epoch"] for event in journal.read(tmp_path / "j.jsonl") if "monitor/knn_top1" in event]
    assert seen == [1, 2]


def diverge(config, store, folder, world):
    try:
        in_one_of_several(config, store, folder, world)
    except NotFiniteError as error:
        return str(error)


def test_divergence_on_one_process_stops_all(frame_store, tmp_path, monkeypatch):
    def spoil(learner, batch, drawn):
        loss, metrics = original(learner, batch, drawn)
        return (loss * float("nan") if learner.world.rank == 1 and drawn["epoch"] == 1 else loss), metrics

    def draw(learner, videos, epoch):
        return original_draw(learner, videos, epoch) | {"epoch": epoch}

    original, original_draw = pretrain.Learner.forward, pretrain.Learner.draw
    monkeypatch.setattr(pretrain.Learner, "forward", spoil)
    monkeypatch.setattr(pretrain.Learner, "draw", draw)
    messages = together(2, partial(diverge, pretraining("MAC-SC-2"), frame_store, tmp_path / "run"), tmp_path)
    assert messages[0] == messages[1]
    assert "loss nan" in messages[0]
    assert "epoch 2" in messages[0]


@pytest.mark.full
def test_one_command_starts_the_processes_and_passes_a_stop_on(root, frame_store, tmp_path):
    config = pretraining("MAC-SC-2")
    command = pretrain_command(config, frame_store, tmp_path, "--processes", "2", "--monitor-epochs", "1")
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    written = tmp_path / "running" / "journal.jsonl"
    while process.poll() is None and not (written.exists() and written.stat().st_size):
        time.sleep(0.01)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 75, message
    assert not (tmp_path / "b.safetensors").exists()
    assert load_state(tmp_path / "running" / SNAPSHOT, f"{config.identify()} on data {frame_store.digest}")
    subprocess.run(command, cwd=root, check=True, timeout=120)
    assert "continued" in [event["event"] for event in journal.read(tmp_path / "j.jsonl")]
    undisturbed = tmp_path / "undisturbed"
    together(2, partial(in_one_of_several, config, frame_store, undisturbed), tmp_path)
    assert_equal(outcome(tmp_path), outcome(undisturbed))
    assert json.loads((tmp_path / "m.json").read_text())["device"].startswith("2 × CPU")
    spoilt = subprocess.run([*command, "--previous", tmp_path / "none"], cwd=root, capture_output=True, text=True)
    assert spoilt.returncode == 1
    assert "of 2 processes one failed" in spoilt.stderr


@pytest.mark.full
def test_the_processes_end_with_the_one_that_started_them(root, frame_store, tmp_path):
    """Killed with SIGKILL, it can't tell them: the kernel does."""
    config = pretraining("MAC-SC-2")
    config = config.model_copy(update={"optimiser": config.optimiser.model_copy(update={"epochs": 10_000})})
    command = pretrain_command(config, frame_store, tmp_path, "--processes", "2")
    process = subprocess.Popen(command, cwd=root)
    written = tmp_path / "running" / "journal.jsonl"
    while process.poll() is None and "metrics" not in (written.read_text() if written.exists() else ""):
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.kill()
    process.wait()
    for _ in range(100):
        if not any(is_running(child) for child in children):
            return
        time.sleep(0.1)
    raise AssertionError("they train on")


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def normalise_typed(dtype, world):
    layer = nn.Sequential(nn.BatchNorm3d(3))
    distributed._share_statistics(layer, CPU)
    x = torch.randn(4, 3, 2, 4, 4, generator=torch.manual_seed(0))
    y = layer(x[world.share(np.arange(4))].to(dtype))
    expected = nn.BatchNorm3d(3)(x)[world.share(np.arange(4))]
    return y.dtype, layer[0].running_mean.dtype, float((y.float() - expected).detach().abs().max())


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 0.05), (torch.float32, 1e-5)])
def test_shared_normalisation_keeps_the_type_it_is_given(dtype, rounding, tmp_path):
    for given, kept, error in together(2, partial(normalise_typed, dtype), tmp_path):
        assert (given, kept) == (dtype, torch.float32)
        assert error < rounding
