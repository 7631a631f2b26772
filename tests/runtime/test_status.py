"""`mac status`: what runs, waits, failed or was interrupted, read off a results folder that it leaves as it is."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from mac import plan
from mac.cli import main
from mac.config import write_config
from mac.pipeline import configs_of, writes
from mac.runtime import lease, status
from mac.runtime.status_text import write
from mac.tracking.journal import Journal
from mac.training.run_folder import RunFolder

TRAIN = """
import sys, time
from pathlib import Path
from mac.training.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]), "a run")
folder.write("start", epoch=0, until=5, device="CPU (x86_64)")
folder.write("metrics", epoch=1, clips_per_second=12.5)
print("trains", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def smoke(root):
    return plan.load(root / "config", "smoke")


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def start():
    """A function that starts a process and waits for its first line."""
    started = []

    def call(*words, **how):
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, **how))
        assert started[-1].stdout.readline()
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.wait()


def log(results, rule, name, text):
    path = results / "logs" / rule / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def stopped(results, run_id, *, host=None, ago=0.0):
    """The folder of a finetuning whose process is gone, killed in its third epoch."""
    folder = results / "finetune" / run_id / "running"
    journal = Journal(folder / "journal.jsonl")
    journal.write("start", epoch=0, until=5, device="NVIDIA X")
    for epoch in (1, 2):
        journal.write("metrics", epoch=epoch, clips_per_second=3.0)
    journal.close()
    (folder / "lock").write_text(json.dumps({"host": host or socket.gethostname(), "pid": 1, "gpus": None}))
    for path in folder.iterdir():
        os.utime(path, (time.time() - ago,) * 2)
    return folder


def finish(results, stage, run_id, epoch=None):
    path = list(writes(stage, run_id, results, epoch).values())[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def look(results, smoke):
    return status.look(results, smoke, [])


def test_a_training_that_runs_is_shown_with_its_place_its_epoch_speed_and_rows(results, smoke, start, root):
    run_id, run = next(iter(smoke.finetunings.items()))
    own = os.environ | {"PYTHONPATH": str(root), lease.LEASED: "GPU-0123"}
    process = start(sys.executable, "-c", TRAIN, str(results / "finetune" / run_id / "running"), env=own)
    (work,) = look(results, smoke).running
    assert (work.rule, work.name, work.rows) == ("finetune", run_id, run.used_by)
    assert work.where == f"{socket.gethostname()}, GPU-0123, CPU (x86_64)"
    assert (work.far.epoch, work.far.until, work.far.clips_per_second) == (1, 5, 12.5)
    told = write(look(results, smoke), results, "smoke")
    assert f"finetuning {run.used_by[0]}" in told
    assert "epoch 2 of 5, 12.5 clips/s, about a minute left" in told
    process.kill()
    process.wait()
    found = look(results, smoke)
    assert not found.running
    (work,) = found.interrupted
    assert f"after epoch 1 of 5, 0 minutes ago on {socket.gethostname()}" in write(found, results, "smoke")
    assert "The same command goes on" in work.end.way_out


def test_looking_neither_holds_a_lock_nor_changes_a_file(results, smoke):
    run_id = next(iter(smoke.finetunings))
    folder = RunFolder(results / "finetune" / run_id / "running", "a run")
    log(results, "finetune", run_id, "")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    look(results, smoke)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    folder.write("start", epoch=0)
    stopped(results, list(smoke.finetunings)[1])
    look(results, smoke)
    RunFolder(results / "finetune" / list(smoke.finetunings)[1] / "running", "another run")  # its lock is free


def test_the_lock_names_who_trains(results, monkeypatch):
    monkeypatch.setenv(lease.LEASED, "GPU-a,GPU-b")
    (results / "lock").parent.mkdir()
    (results / "lock").write_text("an older and longer owner" * 20)
    RunFolder(results, "a run")
    owner = json.loads((results / "lock").read_text())
    assert owner == {"host": socket.gethostname(), "pid": os.getpid(), "gpus": "GPU-a,GPU-b"}


def test_failed_is_what_has_no_result_and_a_log_that_ends_in_an_error(results, smoke):
    first, second, third, fourth = list(smoke.finetunings)[:4]
    for run_id in (first, second, third):
        log(results, "finetune", run_id, "warning: a: b\nmac finetune: clip.avi: damaged — delete it\n")
    finish(results, "finetune", second)
    log(results, "finetune", third, "mac finetune: saved in x; the same command continues it\n")
    stopped(results, third)
    log(results, "finetune", fourth, "")  # has begun a moment ago, or was killed before it did anything
    check, store = next(iter(smoke.mask_checks)), next(iter(smoke.stores))
    log(results, "mask_check", check, "mac masks check: marks nothing\n")
    log(results, "extract", f"{store}_0-of-1", "Traceback (most recent call last):\nOSError: disk full\n")
    log(results, "list", next(iter(smoke.datasets)), "")  # done: the next rule hasn't begun
    log(results, "table", "smoke_T5", "mac report: finetune/0123456789 is left out: damaged\n")
    found = look(results, smoke)
    assert {(work.rule, work.name) for work in found.failed} == {
        ("finetune", first),
        ("mask_check", check),
        ("extract", f"{store}_0-of-1"),
    }
    assert [work.name for work in found.interrupted] == [third]
    told = write(found, results, "smoke")
    assert "    mac finetune: clip.avi: damaged — delete it\n" in told
    assert "    OSError: disk full\n" in told
    assert str(results / "logs" / "finetune" / f"{first}.log") in told
    assert "It was interrupted and saved itself. The same command goes on." in told


def test_a_training_that_failed_before_and_runs_again_is_not_failed(results, smoke, start, root):
    run_id = next(iter(smoke.finetunings))
    log(results, "finetune", run_id, "mac finetune: no\n")
    stopped(results, run_id)
    assert [work.name for work in look(results, smoke).failed] == [run_id]
    own = os.environ | {"PYTHONPATH": str(root)}
    start(sys.executable, "-c", TRAIN, str(results / "finetune" / run_id / "running"), env=own)
    found = look(results, smoke)
    assert ([work.name for work in found.running], found.failed) == ([run_id], [])


@pytest.mark.parametrize(("ago", "kind"), [(60, "running"), (3600, "interrupted")])
def test_of_another_machine_whose_lock_does_not_tell_its_last_sign_counts(results, smoke, ago, kind):
    run_id = next(iter(smoke.finetunings))
    stopped(results, run_id, host="elsewhere", ago=ago)
    (work,) = getattr(look(results, smoke), kind)
    assert work.name == run_id
    assert work.where == "elsewhere, NVIDIA X"


@pytest.mark.parametrize("before", [[], ["-m", "mac.runtime.lease", "--gpus", "1", "--", "python"]])
def test_a_job_without_a_lock_is_found_by_its_process(results, smoke, start, tmp_path, before):
    probe = next(iter(smoke.probes))
    package = tmp_path / "package" / "mac"
    (package / "runtime").mkdir(parents=True)
    for name in ("__main__", "runtime/lease"):
        (package / f"{name}.py").write_text("import time; print('works or waits', flush=True); time.sleep(60)")
    words = [*before, "-m", "mac", "probe", "--config", f"results/probe/{probe}/config.yaml"]
    log(results, "probe", probe, "")
    start(sys.executable, *words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(package.parent)})
    (work,) = look(results, smoke).running
    assert (work.rule, work.name, work.rows) == ("probe", probe, smoke.probes[probe].used_by)
    elsewhere = tmp_path / "other" / "results"
    elsewhere.mkdir(parents=True)
    assert not look(elsewhere, smoke).running, "it works in another folder"


def test_a_probe_without_process_result_or_sign_was_interrupted(results, smoke):
    probe = next(iter(smoke.probes))
    path = log(results, "probe", probe, "")
    assert not look(results, smoke).interrupted, "it may run on another machine"
    os.utime(path, (time.time() - 2 * status.QUIET,) * 2)
    (work,) = look(results, smoke).interrupted
    assert (work.name, work.rows) == (probe, smoke.probes[probe].used_by)
    assert "ended without a word" in write(look(results, smoke), results, "smoke")
    finish(results, "probe", probe)
    assert not look(results, smoke).interrupted


def test_the_counts_add_up_to_what_the_scale_needs(results, smoke):
    first, second = list(smoke.finetunings)[:2]
    finish(results, "finetune", first)
    stopped(results, second)
    run_id, planned = next((i, p) for i, p in smoke.pretrainings.items() if len(p.epochs) > 1)
    finish(results, "pretrain", run_id, min(planned.epochs))
    found = look(results, smoke)
    segments = sum(len(p.epochs) for p in smoke.pretrainings.values())
    assert found.counts["finetune"] == (1, len(smoke.finetunings))
    assert found.counts["pretrain"] == (1, segments)
    (line,) = [line for line in write(found, results, "smoke").splitlines() if line.startswith("finetuning")]
    assert line.split() == ["finetuning", "1", "0", "0", "1", str(len(smoke.finetunings) - 2)]


def test_disk_is_counted_by_stage_and_a_frame_store_by_what_it_says(results, smoke):
    store = next(iter(smoke.stores))
    (results / "store" / store).mkdir(parents=True)
    (results / "store" / store / "store.json").write_text('{"bytes": 5000000000}')
    (results / "finetune").mkdir()
    (results / "finetune" / "file").write_bytes(b"x" * 2_000_000)
    (results / "mlflow.db").write_bytes(b"x" * 3_000_000)
    found = look(results, smoke)
    assert found.disk == {"store": 5_000_000_000, "finetune": 2_000_000, "logs, MLflow and others": 3_000_000}
    assert found.free == pytest.approx(shutil.disk_usage(results).free, rel=0.01)
    assert "frame stores 5.0 GB, finetuning 2.0 MB" in write(found, results, "smoke")


@pytest.mark.parametrize("exists", [False, True])
def test_where_nothing_has_run_everything_waits(results, smoke, root, capsys, exists):
    if exists:
        for stage, configs in configs_of(smoke).items():
            for run_id, config in configs.items():
                write_config(results / stage / run_id / "config.yaml", config)
    main(["status", "--results", str(results), "--scale", "smoke", "--config-dir", str(root / "config")])
    told = capsys.readouterr().out
    assert ("not there yet" in told) != exists
    (line,) = [line.split() for line in told.splitlines() if line.startswith("finetuning ")]
    assert line == ["finetuning", "0", "0", "0", "0", str(len(smoke.finetunings))]
    assert all(f"{kind}: nothing" in told for kind in ("Running", "Failed", "Interrupted"))
    assert results.exists() == exists, "nothing was made"
