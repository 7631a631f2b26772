"""Which devices there are: one name each, however it was written, as CUDA reads CUDA_VISIBLE_DEVICES."""

import os

import pytest

from mac.runtime import lease
from mac.runtime.lease import LeaseError
from tests.runtime.test_lease import devices, end, keep, start, waits

FIRST, SECOND, THIRD = (f"GPU-{i}aaaaaaa-1111-2222-3333-444444444444" for i in (1, 2, 3))
SMALL = [f"MIG-{i}bbbbbbb-1111-2222-3333-444444444444" for i in (1, 2)]
CARDS = f"""GPU 0: NVIDIA H100 80GB HBM3 (UUID: {FIRST})
GPU 1: NVIDIA H100 80GB HBM3 (UUID: {SECOND})
"""
CUT_UP = f"""GPU 0: NVIDIA A100-SXM4-40GB (UUID: {FIRST})
  MIG 3g.20gb     Device  0: (UUID: {SMALL[0]})
  MIG 3g.20gb     Device  1: (UUID: {SMALL[1]})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: {SECOND})
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose nvidia-smi says what it is told to."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "MAC_LEASED", "MAC_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAC_LEASE_DIR", str(tmp_path / "locks"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(lease, "DEVICE_FILES", tmp_path)

    def says(text, status=0):
        (tmp_path / "says").write_text(text)
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat {tmp_path}/says\nexit {status}\n")
        program.chmod(0o755)
        return tmp_path

    return says


def granted(monkeypatch, text):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
    return lease.devices()


def test_all_of_a_machines_gpus_are_leased_where_none_are_named(machine):
    machine(CARDS)
    assert lease.devices() == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0,1", [FIRST, SECOND]),
        ("0, 1", [FIRST, SECOND]),
        (" 1 ,0", [SECOND, FIRST]),
        (f"{SECOND},0", [SECOND, FIRST]),
        ("GPU-2aa", [SECOND]),
        ("-1", []),
        ("NoDevFiles", []),
        ("", []),
        ("1,-1,0", [SECOND]),
        ("0,7,1", [FIRST]),
        ("0,x,1", [FIRST]),
        (f"{THIRD},0", []),
        ("GPU-", []),
    ],
)
def test_a_list_is_read_as_cuda_reads_it(machine, monkeypatch, written, expected):
    machine(CARDS)
    assert granted(monkeypatch, written) == expected


@pytest.mark.parametrize("written", ["0,0", "0, 0", f"1,{SECOND}", f"{SECOND},GPU-2", "1,0,01"])
def test_a_device_named_twice_is_refused(machine, monkeypatch, written):
    machine(CARDS)
    with pytest.raises(LeaseError, match=r"names the device GPU-.* twice; CUDA would show none. Name it once"):
        granted(monkeypatch, written)


def test_the_instances_of_a_gpu_that_is_cut_up_are_leased_one_by_one(machine, monkeypatch):
    machine(CUT_UP)
    assert lease.devices() == [*SMALL, SECOND]
    assert granted(monkeypatch, "0,1") == [SMALL[0], SECOND]  # CUDA takes the first instance
    assert granted(monkeypatch, ",".join(SMALL)) == SMALL


def test_names_are_taken_as_they_are_where_no_program_lists_gpus(machine, monkeypatch):
    machine("", status=9)
    assert lease.devices() == []
    assert granted(monkeypatch, "03, 1,x") == ["3", "1"]
    assert granted(monkeypatch, f"{THIRD}, {SMALL[0]}") == [THIRD, SMALL[0]]


def test_gpus_that_cant_be_listed_are_an_error_unless_they_are_named(machine, monkeypatch):
    folder = machine("Failed to initialize NVML: Driver/library version mismatch", status=18)
    (folder / "nvidia0").touch()
    with pytest.raises(LeaseError, match=r"can't list it: Failed to .* mismatch. Mend the .* CUDA_VISIBLE_DEVICES=0,1"):
        lease.devices()
    assert granted(monkeypatch, "0, 1") == ["0", "1"]


def test_one_device_is_not_leased_twice_under_two_spellings(machine):
    machine(CARDS)
    holder = keep(gpus=2, CUDA_VISIBLE_DEVICES="0, 1")
    assert set(devices(holder).split(",")) == {FIRST, SECOND}
    waiting = keep(gpus=2, CUDA_VISIBLE_DEVICES=f"{SECOND},0")
    waits(waiting)
    holder.kill()
    assert set(devices(waiting).split(",")) == {FIRST, SECOND}
    end(holder, waiting)


def test_more_devices_than_there_are_are_refused(machine):
    machine(CARDS)
    process = start(3, "true")
    _, problems = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"lease: 3 GPUs asked for, but there are 2 ({FIRST}, {SECOND})" in problems
