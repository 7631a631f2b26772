"""GPU leases on pretend devices: whole, distinct, released by the kernel, and never waited for in a circle."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

# A job locks a witness file per device, which fails if another job holds the device too, and then works or hangs.
JOB = """
import fcntl, os, sys, time
for device in os.environ["CUDA_VISIBLE_DEVICES"].split(","):
    fcntl.flock(os.open(f"{sys.argv[1]}/{device}", os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX | fcntl.LOCK_NB)
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment with four pretend devices and lock files of its own."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "MAC_LEASED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAC_DEVICES", "0,1,2,3")
    monkeypatch.setenv("MAC_LEASE_DIR", str(tmp_path / "locks"))
    (tmp_path / "witness").mkdir()
    return tmp_path


def start(gpus, *command, options=(), **environment):
    """A command under a lease; what is None in ``environment`` is not set."""
    line = [sys.executable, "-m", "mac.runtime.lease", "--gpus", str(gpus), *options, "--", *command]
    env = {name: value for name, value in (os.environ | environment).items() if value is not None}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def keep(*, gpus=1, **named):
    """A command under a lease that says what it got and keeps it."""
    return start(gpus, "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; exec sleep 30", **named)


def devices(process):
    """What a command has said."""
    return process.stdout.readline().strip()


def waits(process):
    """Whether a command waits for its lease."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)


def end(*processes):
    for process in processes:
        process.kill()
        process.communicate(timeout=60)


def job(machine, gpus, seconds=0.0, **named):
    return start(gpus, sys.executable, "-c", JOB, str(machine / "witness"), str(seconds), **named)


def shown(gpus, **named):
    """What a command sees of the devices it was given."""
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    return start(gpus, sys.executable, "-c", code, **named).communicate(timeout=60)[0].strip()


def stress(machine, jobs, seed):
    draw = random.Random(seed)
    plans = [(draw.randint(1, 3), draw.random() < 1 / 3, draw.uniform(0, 0.05)) for _ in range(jobs)]

    def play(plan):
        gpus, killed, seconds = plan
        process = job(machine, gpus, 60 if killed else seconds)
        line = process.stdout.readline()
        if killed:
            process.send_signal(signal.SIGKILL)
        _, problems = process.communicate(timeout=120)
        return gpus, line.strip().split(","), process.returncode, problems

    with ThreadPoolExecutor(12) as pool:
        for (gpus, killed, _), (_, devices, status, problems) in zip(plans, pool.map(play, plans), strict=True):
            assert status == (-signal.SIGKILL if killed else 0), problems
            assert len(set(devices)) == gpus
    assert len(shown(4).split(",")) == 4  # none leaked


def test_concurrent_jobs_hold_distinct_devices_though_some_are_killed(machine):
    stress(machine, 30, seed=1)


@pytest.mark.full
def test_two_hundred_jobs_hold_distinct_devices_though_a_third_is_killed(machine):
    stress(machine, 200, seed=2)


def test_a_job_of_many_devices_is_not_passed_by(machine):
    holders = [job(machine, 1, 30) for _ in range(4)]
    assert all(devices(holder) for holder in holders)
    large = job(machine, 3)
    time.sleep(0.5)
    small = [job(machine, 1) for _ in range(6)]
    for holder in holders[:3]:
        holder.kill()
    assert len(large.stdout.readline().split(",")) == 3
    holders[3].kill()
    for process in (*holders, large, *small):
        process.communicate(timeout=60)


def test_a_grant_from_outside_is_kept_to(machine):
    assert sorted(shown(2, MAC_DEVICES=None, CUDA_VISIBLE_DEVICES="5,7").split(",")) == ["5", "7"]


def grant(cluster_job, granted):
    """A command under a lease within a SLURM job's grant."""
    return keep(MAC_DEVICES=None, SLURM_JOB_ID=cluster_job, CUDA_VISIBLE_DEVICES=granted)


def test_cluster_jobs_whose_devices_are_numbered_alike_dont_wait_for_each_other(machine):
    jobs = [grant(number, "0") for number in ("17", "18", "19")]
    assert [devices(job) for job in jobs] == ["0", "0", "0"]
    end(*jobs)


def test_trainings_within_one_cluster_job_share_its_grant_without_sharing_a_device(machine):
    jobs = [grant("17", "0,1,2,3") for _ in range(4)]
    assert sorted(map(devices, jobs)) == ["0", "1", "2", "3"]
    fifth = grant("17", "0,1,2,3")
    waits(fifth)
    end(jobs.pop())
    assert devices(fifth) in "0123"
    end(*jobs, fifth)


def test_a_cluster_job_that_was_granted_nothing_takes_part_with_the_machine(machine):
    holders = [job(machine, 1, 30) for _ in range(4)]
    assert all(devices(holder) for holder in holders)
    waiting = start(1, "true", SLURM_JOB_ID="17")
    waits(waiting)
    end(*holders, waiting)


def test_a_command_under_a_lease_needs_no_second_one(machine):
    inner = [sys.executable, "-m", "mac.runtime.lease", "--gpus", "2", "--", "printenv", "CUDA_VISIBLE_DEVICES"]
    outer = start(4, *inner)
    assert len(outer.communicate(timeout=20)[0].split(",")) == 4


def test_several_jobs_may_share_a_device_and_spread_first(machine):
    options = ("--per-device", "2")
    sleepers = [keep(options=options) for _ in range(8)]
    assert sorted(map(devices, sleepers)) == sorted("00112233")
    late = start(1, "true", options=options)
    waits(late)
    end(*sleepers)
    late.communicate(timeout=60)


def test_a_machine_without_gpus_runs_the_command_as_it_is(machine):
    assert shown(1, MAC_DEVICES="") == "None"
    assert shown(0) == "None"


@pytest.mark.parametrize(
    ("gpus", "command", "message"),
    [
        (5, ["true"], "lease: 5 GPUs asked for, but there are 4 (0, 1, 2, 3)"),
        (1, ["no-such-command"], "lease: no-such-command: No such file or directory"),
        (1, [], "name a command after --"),
    ],
)
def test_what_cant_be_leased_or_run_is_told(machine, gpus, command, message):
    process = start(gpus, *command)
    _, problems = process.communicate(timeout=60)
    assert process.returncode != 0
    assert message in problems


def test_the_commands_own_status_comes_through(machine):
    process = start(1, "sh", "-c", "exit 75")
    process.communicate(timeout=60)
    assert process.returncode == 75
