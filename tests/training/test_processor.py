"""Where a training computes: a GPU that is there is used or the job fails; readers and numerics follow the device."""

import os

import pytest
import torch

from mac.training import processor
from mac.training.processor import GpuError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def no_cuda(tmp_path, monkeypatch):
    """A machine whose torch sees no GPU, and whose nvidia-smi tells one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("CUDA_VISIBLE_DEVICES", "MAC_DEVICES", "MAC_PRETEND_GPUS"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ntest $1 = -L || echo NVIDIA A40, 535.104.05\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_a_machine_without_gpus_trains_on_the_cpu(no_cuda):
    assert processor.prepare("auto", 1) == CPU


def test_a_granted_gpu_that_torch_cannot_use_fails_the_job(no_cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setattr(torch.version, "cuda", "13.0")

    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).\nMore words.")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(GpuError) as error:
        processor.prepare("auto", 1)
    for words in (
        "given the GPU 2, but torch can't use it",
        f"torch {torch.__version__} was built for CUDA 13.0",
        "driver on your system is too old (found version 12020).",
        "nvidia-smi says: NVIDIA A40, 535.104.05.",
        "CUDA 13 needs 580 or newer",
        "set `device: cpu`",
    ):
        assert words in str(error.value)
    assert processor.prepare("cpu", 1) == CPU


def test_a_build_for_cpus_is_told_and_cuda_that_is_asked_for_is_used_or_refused(no_cuda, monkeypatch):
    with pytest.raises(GpuError, match="device: cuda, but torch can't use it"):
        processor.prepare("cuda", 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(GpuError, match="was built for CPUs only"):
        processor.prepare("auto", 1)


def test_devices_that_tests_made_up_leave_trainings_on_the_cpu(no_cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("MAC_PRETEND_GPUS", "1")
    assert processor.prepare("auto", 1) == CPU


@pytest.mark.parametrize(
    ("capability", "precision", "found"),
    [((9, 0), "tf32", "tf32"), ((7, 5), "tf32", "fp32"), ((8, 0), "fp32", "fp32"), ((9, 0), "bf16", "bf16")],
)
def test_tf32_is_recorded_only_where_there_is_such_arithmetic(monkeypatch, capability, precision, found):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert processor.arithmetic(precision, GPU) == found
    assert processor.arithmetic("tf32", CPU) == "fp32"


def test_a_cpu_refuses_bfloat16():
    """A convolution of 115 channels over two frames: torch 2.13 gives weight gradients of 1e34 and more."""
    with pytest.raises(GpuError, match="precision: bf16 is for GPUs.* allowed here are tf32 and fp32"):
        processor.prepare("cpu", 1, "bf16")


def test_a_card_without_bfloat16_refuses_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    with pytest.raises(GpuError, match="precision: bf16, but Tesla T4 .* allowed here are tf32 and fp32"):
        processor.prepare("auto", 1, "bf16")


@pytest.mark.parametrize(
    ("device", "options", "expected"),
    [
        (CPU, {}, 0),
        (CPU, {"cores": 16}, 0),
        (CPU, {"wanted": 2, "cores": 1}, 2),
        (GPU, {"cores": 4}, 3),
        (GPU, {"cores": 8, "processes": 2}, 3),
        (GPU, {"cores": 8, "threads": 3}, 5),
        (GPU, {"cores": 1}, 1),
        (GPU, {"cores": 64}, 16),
        (GPU, {"wanted": 0, "cores": 64}, 0),
    ],
)
def test_readers_are_what_the_cores_leave(device, options, expected):
    assert processor.count_readers(device, **options) == expected


def test_running_out_of_memory_says_the_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 40 * 2**30))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 39 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    told = r"held 39.0 GiB of 40.0 GiB, 1.0 GiB were free.*gpus_per_run: 2`.*tried to"
    with pytest.raises(GpuError, match=told), processor.explained(GPU):
        raise torch.OutOfMemoryError("CUDA out of memory: tried to allocate\nmore")
