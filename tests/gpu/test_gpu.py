"""What only a GPU can show: ``make test-gpu``, some minutes on one. Elsewhere each test says why it is skipped."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from kinds import (
    CPU,
    KINDS,
    assert_equal,
    build,
    experiment,
    loop_of,
    outcome,
    pretrain_command,
    reader,
    run_pretraining,
    train,
)

from benchmarks.stand_ins import RandomStore, default_row
from mac.masks.frame_difference import foreground_masks
from mac.methods.learner import Learner
from mac.models.cam import class_activation_maps
from mac.runtime import lease
from mac.stages import probe
from mac.tracking import journal
from mac.training import processor
from mac.training.processor import GpuError
from mac.training.run_folder import Interrupted
from mac.training.transfer import Readback, send

HAS_GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason=f"torch {torch.__version__} sees no GPU here"),
]
GPU = torch.device("cuda", 0)
# How far a first step's losses and its gradient's norm may lie from the CPU's, relative: rounding to 24, 11 and 8 bits
# through a whole random network, whose few features the contrastive loss divides by a temperature of 0.2; and the
# release's masks cut gray levels off, so a rounding error can move one by a whole level.
TOLERANCES = {"fp32": (1e-3, 5e-2), "tf32": (2e-2, 0.5), "bf16": (0.1, math.inf)}


@pytest.fixture(autouse=True)
def fp32():
    if HAS_GPU:
        processor.prepare("cuda", 1, "fp32")


def first_losses(kind, settings, device):
    """The loss and metrics of a training's first step, and the norm of its gradient."""
    store, config, learner = build(kind, settings, device)
    learner.train()
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    loss, metrics = learner(batch.to(device), send(learner.draw(batch.videos, 0), device))
    loss.backward()
    norm = torch.stack([p.grad.float().norm() for p in learner.trained if p.grad is not None]).norm()
    return {name: float(value) for name, value in metrics.items()} | {"gradient": float(norm.detach())}


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_first_step_is_the_cpus_up_to_its_precision(kind, precision):
    expected = first_losses(kind, experiment(**KINDS[kind], precision="fp32"), CPU)
    processor.prepare("cuda", 1, precision)
    found = first_losses(kind, experiment(**KINDS[kind], precision=precision), GPU)
    loss, gradient = TOLERANCES[precision]
    for name in (name for name in expected if "loss" in name):
        assert found[name] == pytest.approx(expected[name], rel=loss), name
    assert math.isfinite(found["gradient"])
    assert abs(found["gradient"] - expected["gradient"]) <= gradient * expected["gradient"]


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_repeats_bit_for_bit_and_no_step_makes_the_device_wait(kind, precision):
    processor.prepare("cuda", 1, precision)
    settings = experiment(**KINDS[kind], precision=precision)
    forbid, allow = (partial(torch.cuda.set_sync_debug_mode, mode) for mode in ("error", "default"))
    try:
        first = train(kind, settings, GPU, forbid, allow)
    finally:
        allow()
    assert_equal(train(kind, settings, GPU), first)


@pytest.mark.parametrize("preset", ["paper", "release"])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 1.0])
def test_masks_are_the_cpus_bit_for_bit(preset, momentum):
    levels = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 112, 112)).astype(np.float32)
    clips = torch.from_numpy(levels / 255 if preset == "release" else levels / 256)
    expected = foreground_masks(clips, momentum, 30.0, preset)
    assert 0 < expected.mean() < 1
    assert torch.equal(foreground_masks(clips.to(GPU), momentum, 30.0, preset).cpu(), expected)


def test_features_and_maps_are_the_cpus_up_to_rounding():
    store, config = RandomStore(8, 32, 24), experiment()
    measured = config.probing(config.finetuning(1, 1, "random"))
    clips = torch.rand(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for device in (CPU, GPU):
        network = processor.to_fast_layout(build("finetuning", config, device)[2].classifier, device).eval()
        maps = class_activation_maps(network, clips.to(device), torch.tensor([0, 1]).to(device)).cpu()
        found.append((probe.features(measured, store, network.backbone, np.arange(8), device), maps))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_the_papers_own_network_repeats_bit_for_bit():
    """All its operations have deterministic forms at full size, too."""
    config, _ = default_row("paper")
    o = config.optimiser
    config = config.model_copy(update={"optimiser": o.model_copy(update={"batch_size": 8})})
    processor.prepare("cuda", 1, config.precision)
    states = []
    for _ in range(2):
        store = RandomStore(16, 192, 144)
        learner = Learner(config, store.videos["label_index"].to_numpy(), GPU)
        loop = loop_of(config, learner)
        loop.train(2, lambda _: [np.arange(8), np.arange(8, 16)], reader(store, 16, pinned=True))
        states.append({name: value.cpu() for name, value in learner.state_dict().items() if torch.is_tensor(value)})
    assert_equal(states[0], states[1])


def test_numbers_come_back_late_but_whole():
    for step in range(200):
        value = torch.full((5,), float(step), device=GPU)
        for _ in range(20):
            value = value * 1.0
        assert Readback(value).wait() == [float(step)] * 5


def test_an_interrupted_training_ends_bit_for_bit_where_an_undisturbed_one_does(frame_store, tmp_path):
    config = experiment(**{"pretrain.optimiser.epochs": 3, "precision": "tf32"}).pretraining(1, 1)
    processor.prepare("cuda", 1, config.precision)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    run_pretraining(config, frame_store, undisturbed, device=GPU)
    asked, left = [0], 0

    def is_stopping():
        asked[0] += 1
        return asked[0] % 4 == 0

    while True:
        try:
            run_pretraining(config, frame_store, disturbed, is_stopping=is_stopping, device=GPU)
            break
        except Interrupted:
            left += 1
    assert left >= 3
    assert (disturbed / "b.safetensors").read_bytes() == (undisturbed / "b.safetensors").read_bytes()
    assert_equal(outcome(disturbed)[0], outcome(undisturbed)[0])


@pytest.fixture
def command(frame_store):
    """A pretraining as a rule calls it, in a folder."""

    def build_command(folder, *more, epochs=400):
        config = experiment(**{"pretrain.optimiser.epochs": epochs, "precision": "tf32"}).pretraining(1, 1)
        return pretrain_command(config, frame_store, folder, *more, device="auto")

    return build_command


def leased(command):
    return [sys.executable, "-m", "mac.runtime.lease", "--gpus", "1", "--per-device", "2", "--", *command]


def wait_for_epochs(process, folder):
    written = folder / "running" / "journal.jsonl"
    while process.poll() is None and not (written.exists() and "metrics" in written.read_text()):
        time.sleep(0.02)


def test_a_job_with_readers_that_is_terminated_saves_itself(root, command, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stopped, undisturbed = (leased(command(tmp_path / name, "--loader-workers", "2", epochs=30)) for name in "ab")
    process = subprocess.Popen(stopped, cwd=root, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_for_epochs(process, tmp_path / "a")
    os.killpg(process.pid, signal.SIGTERM)  # as SLURM's --signal does
    _, message = process.communicate(timeout=60)
    assert process.returncode == 75, message
    again, other = (subprocess.Popen(line, cwd=root) for line in (stopped, undisturbed))  # both on one GPU
    assert [again.wait(300), other.wait(300)] == [0, 0]
    assert "continued" in [event["event"] for event in journal.read(tmp_path / "a" / "j.jsonl")]
    files = [(tmp_path / name / "b.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    facts = json.loads((tmp_path / "a" / "m.json").read_text())
    assert facts["device"] == torch.cuda.get_device_name(GPU)
    has_tf32 = torch.cuda.get_device_capability(GPU) >= (8, 0)
    assert facts["arithmetic"] == ("tf32" if has_tf32 else "fp32")


def test_a_lease_gives_a_device_that_torch_sees(root):
    see = "import os, torch; print(os.environ['CUDA_VISIBLE_DEVICES'], torch.zeros(1).cuda().device)"
    line = [sys.executable, "-m", "mac.runtime.lease", "--gpus", "1", "--", sys.executable, "-c", see]
    told = subprocess.run(line, cwd=root, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"(GPU|MIG)-\S+ cuda:0\n", told)


def test_each_way_to_write_a_device_is_the_same_device(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first = lease.devices()[0]
    for written in ("0", " 0", "0,-1", first, first[:12], "0,NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", written)
        assert lease.devices() == [first]


def test_a_granted_gpu_that_torch_cannot_use_fails_the_job(root, command, tmp_path):
    blind = "import torch; torch.cuda.is_available = lambda: False; from mac.cli import main; main()"
    line = [sys.executable, "-c", blind]
    told = subprocess.run([*line, *command(tmp_path)[3:]], cwd=root, capture_output=True, text=True)
    assert told.returncode == 1
    assert f"torch {torch.__version__} was built for CUDA {torch.version.cuda}" in told.stderr
    assert torch.cuda.get_device_name(GPU) in told.stderr  # nvidia-smi's words


def test_running_out_of_memory_says_the_way_out():
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        with pytest.raises(GpuError, match=r"ran out of memory: .* `jobs_per_gpu: 1`"), processor.explained(GPU):
            torch.empty(2**34, dtype=torch.uint8, device=GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_use_of_the_gpu_can_be_read():
    assert 0 <= torch.cuda.utilization(GPU) <= 100


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason=f"{torch.cuda.device_count()} GPUs here; two are needed")
def test_two_gpus_train_what_one_does_up_to_rounding(root, command, tmp_path):
    found = []
    for name, count in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        line = command(tmp_path / name, "--processes", str(count), epochs=2)
        subprocess.run(line, cwd=root, check=True, timeout=300)
        found.append(torch.load(tmp_path / name / "s.pt", weights_only=True)["learner"])
    for key, value in found[0].items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(found[1][key], value, rtol=2e-2, atol=2e-2)
