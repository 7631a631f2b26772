"""The SLURM profile on a real SLURM of one node: the whole workflow by sbatch; preemption and time limits."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from single_node import Cluster, missing

from benchmarks.copies import check_out
from mac import plan
from mac.tracking import journal
from mac.validation import read_yaml

pytestmark = [pytest.mark.full, pytest.mark.skipif(bool(missing()), reason=f"no SLURM: {missing()}")]
EPOCHS = 1000  # of the pretraining that is interrupted: 55 seconds where one takes .055
PROFILE = ["--profile", "workflow/profiles/slurm"]
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--slurm-status-command", "squeue", "--latency-wait", "10"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    try:
        single = Cluster(tmp_path_factory.mktemp("slurm"))
    except PermissionError as error:  # in a container that may not make device files
        pytest.skip(f"no SLURM: pretend GPUs can't be made here: {error}")
    try:
        single.start()
        yield single
    finally:
        single.stop()


def test_jobs_inside_one_allocation_share_its_devices_without_sharing_one(cluster):
    one = "python -m mac.runtime.lease --gpus 1 -- sh -c 'echo $CUDA_VISIBLE_DEVICES; sleep 8'"
    seen = cluster.run("srun", "--gpus=3", "sh", "-c", f"{one} & {one} & {one} & wait").split()
    assert len(seen) == len(set(seen)) == 3
    assert set(seen) < {"0", "1", "2", "3"}


@contextlib.contextmanager
def snakemake(folder, environment, *arguments):
    """Snakemake at work in a folder, its words in snakemake.log; it ends with this process, however that ends."""
    command = ["setpriv", "--pdeathsig", "KILL", "snakemake", *arguments]
    with (folder / "snakemake.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(process, folder, seconds=900):
    assert process.wait(seconds) == 0, (folder / "snakemake.log").read_text()[-5000:]


@pytest.fixture(scope="module")
def smoke(cluster, root, tmp_path_factory):
    """A folder in which the smoke scale ran by sbatch, each training under a witness of its device."""
    folder, witness = tmp_path_factory.mktemp("workflow"), tmp_path_factory.mktemp("witness")
    check_out(root, folder)
    python = witness / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent}/witness.py {witness} "$@"\n')
    python.chmod(0o755)
    environment = cluster.environment | {"PATH": f"{witness}:{cluster.environment['PATH']}"}
    with snakemake(folder, environment, *PROFILE, *QUICK, "--config", "scale=smoke") as process:
        finish(process, folder)
    return folder, witness


def test_the_whole_workflow_runs_by_sbatch(cluster, smoke):
    folder, _ = smoke
    planned = plan.load(folder / "config", "smoke")
    for finetune_id in planned.finetunings:
        assert journal.read(folder / "results" / "finetune" / finetune_id / "journal.jsonl")[-1]["event"] == "end"
    for pretrain_id, pretraining in planned.pretrainings.items():
        for epoch in pretraining.epochs:
            assert (folder / "results" / "pretrain" / pretrain_id / f"epoch_{epoch}.safetensors").exists()
    count = len(planned.finetunings)
    assert f"{count} of {count} finetunings done" in (folder / "reports" / "smoke" / "README.md").read_text()


def test_light_rules_stay_where_snakemake_runs(smoke):
    folder, _ = smoke
    log = (folder / "snakemake.log").read_text()
    submitted = set(re.findall(r"/logs/slurm/rule_(\w+)/", log))
    trained = {"pretrain", "finetune", "probe", "gradcam"}
    assert submitted == {"generate", "scan", "detect", "extract", "mask_check", "sweep", "gains"} | trained
    assert {"fetch", "track_pretraining", "table", "learning", "summary", "page"}.isdisjoint(submitted)


def test_trainings_have_a_device_each_and_never_more_than_four_at_once(cluster, smoke):
    folder, witness = smoke
    planned = plan.load(folder / "config", "smoke")
    trainings = [json.loads(line) for line in (witness / "trainings.jsonl").read_text().splitlines()]
    segments = sum(len(pretraining.epochs) for pretraining in planned.pretrainings.values())
    assert len(trainings) == segments + len(planned.finetunings)
    assert len({training["job"] for training in trainings}) == len(trainings)
    assert not (witness / "clash").exists()
    assert {training["device"] for training in trainings} == {"0", "1", "2", "3"}
    at_once = [sum(b["began"] <= a["began"] < b["ended"] for b in trainings) for a in trainings]
    assert 2 <= max(at_once) <= 4
    for a in trainings:
        same = [b for b in trainings if b is not a and b["device"] == a["device"]]
        assert all(b["ended"] <= a["began"] or a["ended"] <= b["began"] for b in same)


def test_jobs_ask_for_a_gpu_only_where_they_train_or_look_into_a_network(cluster, smoke):
    folder, _ = smoke
    jobs = re.findall(r"SLURM jobid (\d+) \(log: \S*/rule_(\w+)/", (folder / "snakemake.log").read_text())
    for job, rule in jobs:
        facts = cluster.run("scontrol", "show", "job", job)
        assert "JobState=COMPLETED" in facts
        assert ("TresPerJob=gres:gpu:1" in facts) == (rule in ("pretrain", "finetune", "probe", "gradcam"))


class Workflow:
    """A copy of the finished data, in which one pretraining of many epochs runs."""

    def __init__(self, smoke: Path, folder: Path) -> None:
        self.folder = folder
        left_out = shutil.ignore_patterns(".snakemake", "pretrain", "finetune", "tracking", "mlflow.db*", "reports")
        shutil.copytree(smoke, folder, symlinks=True, ignore=left_out)
        scale = read_yaml(folder / "config" / "scales" / "smoke.yaml")
        scale["pretrain"]["optimiser"]["epochs"] = EPOCHS
        scale["tables"] = dict.fromkeys(("T2", "T3", "T4", "T5", "T6", "T7", "T8", "F1", "F2-F4"))
        (folder / "config" / "scales" / "long.yaml").write_text(json.dumps(scale))
        (pretrain_id,) = plan.load(folder / "config", "long").pretrainings
        self.target = f"results/pretrain/{pretrain_id}/epoch_{EPOCHS}"
        self.running = folder / "results" / "pretrain" / pretrain_id / f"running_{EPOCHS}" / "journal.jsonl"

    def run(self, environment, *arguments, readers=0):
        settings = ["scale=long", f"loader_workers={readers}"]
        target = f"{self.target}.safetensors"
        return snakemake(self.folder, environment, *arguments, "--config", *settings, "--", target)

    def result(self):
        return (self.folder / f"{self.target}.safetensors").read_bytes()

    def events(self, kind):
        return [event for event in journal.read(self.folder / f"{self.target}.jsonl") if event["event"] == kind]

    def jobs(self):
        return re.findall(r"SLURM jobid (\d+)", (self.folder / "snakemake.log").read_text())

    def hold_still_until(self, elapsed, cluster):
        """Stop the running job's processes until it has used ``elapsed`` seconds of its limit: fast machines wait."""
        job = self.jobs()[-1]
        cluster.run("scancel", "--full", "--signal=STOP", job)
        while 0 <= seconds_used(cluster, job) < elapsed:
            time.sleep(0.2)
        cluster.run("scancel", "--full", "--signal=CONT", job)

    def wait_for_epochs(self, count, seconds=600):
        deadline = time.monotonic() + seconds
        while not self.running.exists() or self.running.read_bytes().count(b"\n") < count:
            assert time.monotonic() < deadline, (self.folder / "snakemake.log").read_text()[-5000:]
            time.sleep(0.2)


def seconds_used(cluster, job):
    """How long a job has run; -1 once it has ended."""
    running = dict(line.split() for line in cluster.run("squeue", "--noheader", "--format=%i %M").splitlines())
    minutes, seconds = running.get(job, "0:-1").split(":")
    return 60 * int(minutes) + int(seconds)


@pytest.fixture(scope="module")
def trained(cluster, smoke, tmp_path_factory):
    """One pretraining three times, at once: undisturbed without SLURM, preempted, and with a limit of one minute.

    The two that SLURM disturbs have two reading processes each, which get its SIGTERM too.
    """
    folder = tmp_path_factory.mktemp("interrupted")
    workflows = {name: Workflow(smoke[0], folder / name) for name in ("undisturbed", "preempted", "limited")}
    undisturbed, preempted, limited = workflows.values()
    low = ["--set-resources", "pretrain:slurm_partition=low"]
    minute = [
        "--retries",
        "20",
        "--set-resources",
        "pretrain:runtime=1",
        "pretrain:slurm_extra='--signal=TERM@10 --open-mode=append'",
    ]
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(undisturbed.run(cluster.environment, "--cores", "1"))]
        processes.append(running.enter_context(preempted.run(cluster.environment, *PROFILE, *QUICK, *low, readers=2)))
        preempted.wait_for_epochs(20)
        cluster.run("sbatch", "--partition=main", "--gpus=4", "--output=/dev/null", "--wrap=sleep 1")
        processes.append(running.enter_context(limited.run(cluster.environment, *PROFILE, *QUICK, *minute, readers=2)))
        limited.wait_for_epochs(1)
        limited.hold_still_until(45, cluster)  # of 60, with a SIGTERM at 50
        for process, workflow in zip(processes, workflows.values(), strict=True):
            finish(process, workflow.folder)
    assert not undisturbed.events("continued")
    return workflows


def test_a_preempted_pretraining_is_requeued_and_ends_bit_identical(cluster, trained):
    preempted = trained["preempted"]
    (job,) = preempted.jobs()  # submitted once: SLURM, not Snakemake, started it again
    facts = cluster.run("scontrol", "show", "job", job)
    assert "Restarts=1" in facts
    assert re.search(r"CPUs/Task=3\b", facts)  # asked for what is used: a thread and two readers
    assert preempted.events("continued")
    assert preempted.result() == trained["undisturbed"].result()


def test_a_pretraining_at_its_time_limit_saves_itself_and_a_retry_continues_it(cluster, trained):
    limited = trained["limited"]
    first, *others = limited.jobs()
    assert others
    assert "JobState=FAILED" in cluster.run("scontrol", "show", "job", first)  # it left in time: else TIMEOUT
    assert "saved in" in (limited.folder / "snakemake.log").read_text()
    assert limited.events("continued")
    assert limited.result() == trained["undisturbed"].result()
