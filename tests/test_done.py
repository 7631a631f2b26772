"""A call that says it is done has made what it was asked for, whatever else it had to run; runs that are there stay."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from checkouts import Checkout

from mac import plan


class Smoke(Checkout):
    """The smoke scale, whose jobs stand-ins run that write files only."""

    def __init__(self, root, folder) -> None:
        super().__init__(root, folder, "smoke")
        self.plan = plan.load(folder / "config", "smoke")
        self.lost = self.plan.tables["T5"].finetunes[0]

    def run(self, *targets, check=True, **settings):
        """Run for real, with stand-ins; returns what was run, by the name of its command."""
        before = len(self.commands())
        text = self.snakemake(*targets, "-q", "all", path=f"{self.folder}/bin:", check=check, **settings)
        return text if not check else self.commands()[before:]

    def commands(self):
        log = self.folder / "commands.log"
        return log.read_text().split() if log.exists() else []

    def lose(self, *patterns):
        for pattern in patterns:
            found = list(self.folder.glob(pattern))
            assert found, pattern
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def limit(self):
        self.edit("scales/smoke.yaml", lambda tree: tree["mask_limits"].update(min_foreground=0.002))


@pytest.fixture(scope="module")
def everything_run(root, tmp_path_factory):
    return Smoke(root, tmp_path_factory.mktemp("finished")).finish()


@pytest.fixture
def finished(everything_run, tmp_path):
    return everything_run.copy(tmp_path)


def other_times(finished):
    """New times for all files, each newer than what is made of it: the reverse of the order they were made in."""
    paths = [path for path in finished.folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    for i, path in enumerate(sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)):
        os.utime(path, (time.time() - 9999 + i, time.time() - 9999 + i))


def other_content(finished):
    """An index that another version wrote: the data jobs after it have to run."""
    for path in finished.folder.glob("results/dataset/*/listing.parquet"):
        path.write_text("another")


def other_folder(finished):
    """Data that lie elsewhere now."""
    shutil.move(finished.folder / "data", finished.folder / "elsewhere")
    finished.edit("config.yaml", lambda tree: tree.update(data_root="elsewhere"))


def killed_and_locked(finished):
    """A segment on which Snakemake was killed, with its files in place: it runs again."""
    start = finished.plan.finetunings[finished.lost].config
    path = finished.folder / "results" / "pretrain" / start.pretrain_id / f"epoch_{start.epoch}.json"
    path.unlink()
    (finished.folder / "kill").write_text(str(path.relative_to(finished.folder)))
    command = ["snakemake", "--cores", "1", "--config", "scale=smoke", "--", str(path.relative_to(finished.folder))]
    environment = os.environ | {"PATH": f"{finished.folder}/bin:{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=finished.folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode < 0, run.stderr
    assert path.exists()
    (finished.folder / "kill").unlink()


def killed(finished):
    """The same, and the lock that it leaves is removed by hand."""
    killed_and_locked(finished)
    finished.snakemake("--unlock")


def without_states(finished):
    finished.lose("results/pretrain/*/*.state.pt")
    finished.limit()


UPSTREAM = {
    "mask limits": Smoke.limit,
    "times": other_times,
    "data": other_content,
    "data folder": other_folder,
    "killed segment": killed,
    "mask limits after cleaning": without_states,
}


@pytest.mark.parametrize("change", UPSTREAM)
def test_what_is_missing_is_made_in_the_same_call(finished, change):
    UPSTREAM[change](finished)
    finished.lose("reports/smoke/tables/T5.*", f"results/finetune/{finished.lost}")
    # Each alone was hidden: everything as the target, and a table of its own.
    targets = [] if change.startswith("mask limits") else ["reports/smoke/tables/T5.md"]
    commands = finished.run(*targets)
    assert (finished.folder / "reports" / "smoke" / "tables" / "T5.md").exists()
    assert (finished.folder / "results" / "finetune" / finished.lost / "metrics.json").exists()
    assert commands.count("finetune") == 1
    assert commands.count("pretrain") == (change == "killed segment")
    assert finished.jobs(*targets) == {}


@pytest.mark.parametrize(
    ("pattern", "job"),
    [
        ("results/finetune/*/predictions.parquet", "finetune"),
        ("results/finetune/*/journal.jsonl", "finetune"),
        ("results/probe/*/predictions.parquet", "probe"),
        ("results/probe/*/journal.jsonl", "probe"),
        ("results/pretrain/*/epoch_*.json", "pretrain"),
        ("results/pretrain/*/epoch_*.jsonl", "pretrain"),
        ("results/store/*/offsets.npy", "store"),
        ("results/store/*/sizes.npy", "store"),
        ("results/store/*/videos.parquet", "store"),
        ("reports/smoke/claims.md", "summary"),
    ],
)
def test_a_deleted_file_of_a_result_is_made_again(everything_run, pattern, job):
    path = sorted(everything_run.folder.glob(pattern))[0]
    aside = path.rename(path.with_name(f"{path.name}.aside"))
    try:
        assert everything_run.jobs().get(job) == 1
    finally:
        aside.rename(path)


def test_a_table_that_is_asked_for_alone_needs_no_other_file_of_its_job(finished):
    finished.lose("reports/smoke/tables/T5.tex", "reports/smoke/tables/T4.md")
    assert len(finished.run(*(f"reports/smoke/tables/{name}.md" for name in ("T4", "T5")))) == 1
    assert finished.jobs() == {"table": 1, "page": 1}


def test_a_target_that_went_missing_meanwhile_is_named_and_fails_the_call(finished):
    """No fault of the graph is known that does this; here a job deletes what another has made."""
    finished.lose("reports/smoke/tables/T5.*")
    thief = finished.folder / "thief" / "python"
    thief.parent.mkdir()
    thief.write_text(f'#!/bin/bash\nrm -f reports/smoke/tables/T4.md\nexec "{finished.folder}/bin/python" "$@"\n')
    thief.chmod(0o755)
    targets = [f"reports/smoke/tables/{name}.md" for name in ("T4", "T5")]
    text = finished.snakemake(*targets, path=f"{thief.parent}:", check=False)
    assert "This call ended, but what it was asked for is missing: reports/smoke/tables/T4.md" in text


@pytest.mark.parametrize("place", ["environment", "config.yaml"])
def test_a_password_of_the_tracking_store_is_in_no_command_and_no_file(finished, monkeypatch, place):
    address = "http://bob:S3{1}cret@127.0.0.1:9"
    if place == "environment":
        monkeypatch.setenv("MAC_TRACKING_URI", address)
    else:
        finished.edit("config.yaml", lambda tree: tree.update(tracking_uri=address))
    python = finished.folder / "noting" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/bash\necho "$@" >> words.log\nexec "{finished.folder}/bin/python" "$@"\n')
    python.chmod(0o755)
    finished.lose("reports/smoke/tables/T5.*", f"results/finetune/{finished.lost}", "results/tracking/finetune")
    text = finished.snakemake("-p", path=f"{python.parent}:")
    assert "-m mac track run" in (finished.folder / "words.log").read_text()
    assert "-m mac track run" in text
    files = [path for path in finished.folder.rglob("*") if path.is_file() and path.name != "config.yaml"]
    assert not [path for path in files if b"cret" in path.read_bytes().replace(b"secret", b"")]
    assert "cret" not in text


def test_a_deleted_data_folder_brings_index_and_store_back_and_repeats_no_training(finished):
    dataset = next(iter(finished.plan.datasets))
    finished.lose(f"results/dataset/{dataset}")
    jobs = finished.jobs()
    assert (jobs["list"], jobs["scan"], jobs["index"], jobs["store"]) == (1, 1, 1, 1)
    assert not {"pretrain", "finetune", "probe"} & jobs.keys()


def test_a_deleted_store_is_made_for_a_new_run_and_repeats_no_other(finished):
    finished.lose("results/store/*", "results/pretrain/*/*.safetensors", f"results/finetune/{finished.lost}")
    jobs = finished.jobs()
    assert jobs["finetune"] == 1
    assert jobs["pretrain"] <= 2  # what this finetuning starts from
    assert jobs["store"] >= 1


def test_everything_can_be_forced(finished, root, tmp_path_factory):
    fresh = Checkout(root, tmp_path_factory.mktemp("fresh"), "smoke").jobs()
    assert finished.jobs("-F") == fresh


def test_no_file_that_a_job_makes_is_ancient(root):
    found = [line for path in root.glob("workflow/rules/*.smk") for line in path.read_text().splitlines()]
    uses = [line.strip() for line in found if "ancient(" in line and not line.startswith("#")]
    assert all("KEPT" in line or "docs/discrepancies.md" in line for line in uses)


def test_after_a_power_loss_the_demos_command_goes_on(finished):
    killed_and_locked(finished)
    words = ["--scale", "smoke", "--settings", "config/config.yaml"]
    log = finished.folder / "results" / "logs" / "snakemake-smoke.log"
    command = ["snakemake", "--cores", "1", "--resources", "gpu=1", "--config", "scale=smoke"]
    environment = os.environ | {"PATH": f"{finished.folder}/bin:{os.environ['PATH']}"}
    call = [sys.executable, "-m", "mac", "progress", *words, "--", *command]
    run = subprocess.run(call, cwd=finished.folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "A Snakemake that was killed left its lock on this folder: it is removed." in run.stdout
    assert "LockException" not in log.read_text()
