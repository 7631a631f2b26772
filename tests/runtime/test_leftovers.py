"""Cleaning up: what is listed, what is deleted, and all that must survive."""

import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from mac import leftovers, plan
from mac.cli import runs
from mac.config import write_config
from mac.leftovers import Leftover, NoResultsError
from mac.pipeline import configs_of
from mac.validation import ConfigError, read_yaml

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "wb")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def config(root, tmp_path):
    """A configuration folder with one small scale."""
    folder = shutil.copytree(root / "config", tmp_path / "config")
    for name in ("demo", "paper", "ucf101-21"):
        (folder / "scales" / f"{name}.yaml").unlink()
    return folder


@pytest.fixture
def results(config, tmp_path):
    """Files of every run of the scale, with receipts, logs and MLflow's own."""
    folder = tmp_path / "results"
    for stage, configs in configs_of(plan.load(config, "smoke")).items():
        for run_id, one in configs.items():
            write_config(folder / stage / run_id / "config.yaml", one)
            touch(folder / "logs" / stage / f"{run_id}.log", 10)
    for run_id, p in plan.load(config, "smoke").pretrainings.items():
        for epoch in p.epochs:
            for ending, size in {"json": 2, "jsonl": 3, "safetensors": 100, "state.pt": 300}.items():
                touch(folder / "pretrain" / run_id / f"epoch_{epoch}.{ending}", size)
            touch(folder / "tracking" / "pretrain" / f"{run_id}_{epoch}.json", 5)
    for name in (
        "mlflow.db",
        "mlflow-artifacts/0123456789/file",
        "own notes.txt",
        "pretrain/mine/file",
        "logs/smoke.log",
    ):
        touch(folder / name, 7)
    for path in folder.rglob("*"):
        age(path)
    return folder


def age(path):
    """Let a file have been changed two days ago."""
    long_ago = time.time() - 2 * leftovers.RECENT
    os.utime(path, (long_ago, long_ago))


def touch(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def clean(config, results, *, yes=False, states=False, scales=()):
    runs.clean.callback(config_dir=config, results=results, yes=yes, states=states, scales=scales)


def ids(config):
    return {i for configs in configs_of(plan.load(config, "smoke")).values() for i in configs}


def forget(config, *tables):
    """Take tables out of the scale; returns ids of runs that nothing refers to any more."""
    before = ids(config)
    path = config / "scales" / "smoke.yaml"
    tree = read_yaml(path)
    tree["tables"] |= dict.fromkeys(tables)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    gone = before - ids(config)
    assert gone
    return gone


@pytest.fixture
def hold():
    """A function that has another process hold a lock file."""
    held = []

    def start(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held.append(subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE))
        assert held[-1].stdout.readline()

    yield start
    for process in held:
        process.kill()
        process.wait()


def test_what_tables_refer_to_is_never_listed(config, results, capsys):
    before = files(results)
    clean(config, results, yes=True)
    assert "nothing" in capsys.readouterr().out
    assert files(results) == before


def test_a_row_less_lists_its_runs_and_deletes_exactly_them(config, results, capsys):
    gone, before = forget(config, "T3", "T5"), files(results)
    clean(config, results)
    shown = capsys.readouterr().out
    assert files(results) == before, "nothing is deleted without --yes"
    assert all(run_id in shown for run_id in gone)
    clean(config, results, yes=True)
    assert files(results) == {name for name in before if not any(run_id in name for run_id in gone)}
    assert {"mlflow.db", "mlflow-artifacts/0123456789/file", "own notes.txt", "pretrain/mine/file"} <= files(results)


def test_sizes_are_the_files(config, results):
    gone = forget(config, "T3", "T5")
    found, _ = leftovers.find(leftovers.Folder(results), [plan.load(config, "smoke")])
    expected = sum((results / name).stat().st_size for name in files(results) if any(i in name for i in gone))
    assert sum(one.size for one in found) == expected


def test_epochs_no_table_asks_for_go_alone(config, results):
    run_id, p = next(iter(plan.load(config, "smoke").pretrainings.items()))
    touch(results / "pretrain" / run_id / "epoch_99.safetensors", 9)
    before = files(results)
    clean(config, results, yes=True)
    assert 99 not in p.epochs
    assert before - files(results) == {f"pretrain/{run_id}/epoch_99.safetensors"}


def test_another_scale_may_refer_to_it(root, config, results, capsys):
    shutil.copy(config / "scales" / "smoke.yaml", config / "scales" / "larger.yaml")
    forget(config, "T3", "T5")
    before = files(results)
    clean(config, results, yes=True)
    assert files(results) == before
    clean(config, results, scales=["smoke"])
    assert "no table refers to it" in capsys.readouterr().out


def test_a_run_being_trained_stays_with_all_it_is_made_from(config, results, hold, capsys):
    gone = forget(config, "T3")
    (busy,) = gone & set(leftovers.Folder(results).ids("finetune"))
    made_from = read_yaml(results / "finetune" / busy / "config.yaml")["pretrain_id"]
    assert made_from in gone
    hold(results / "finetune" / busy / "running" / "lock")
    clean(config, results, yes=True, states=True)
    assert f"Kept: finetune/{busy}" in capsys.readouterr().out
    assert (results / "finetune" / busy / "config.yaml").exists()
    assert (results / "pretrain" / made_from / "config.yaml").exists()


def test_a_training_that_began_after_the_listing_is_left_alone(config, results, hold):
    gone = forget(config, "T3")
    listed, _ = leftovers.find(leftovers.Folder(results), [plan.load(config, "smoke")])
    one = next(entry for entry in listed if entry.name.startswith("pretrain/"))
    run = results / one.name
    assert run.name in gone
    hold(run / "running_2" / "lock")
    before = files(results)
    assert not leftovers.remove(one, results)
    assert files(results) == before


def test_links_lead_nowhere(config, results, tmp_path, capsys):
    gone = forget(config, "T3")
    elsewhere = tmp_path / "elsewhere"
    touch(elsewhere / "precious", 9)
    linked, within = sorted(
        gone & set(leftovers.Folder(results).ids("pretrain") + leftovers.Folder(results).ids("finetune"))
    )
    stage = next(s for s in leftovers.TRAINED if (results / s / linked).exists())
    shutil.move(results / stage / linked, elsewhere / linked)
    (results / stage / linked).symlink_to(elsewhere / linked)
    stage = next(s for s in leftovers.TRAINED if (results / s / within).exists())
    (results / stage / within / "link").symlink_to(elsewhere)
    before = files(elsewhere)
    clean(config, results, yes=True)
    assert files(elsewhere) == before
    assert not (results / stage / within).exists()
    assert "a link: what it leads to is left alone" in capsys.readouterr().out


def test_a_linked_stage_is_left_alone(config, results, tmp_path):
    shutil.move(results / "store", tmp_path / "big disk")
    (results / "store").symlink_to(tmp_path / "big disk")
    forget(config, "T3", "T5")
    before = files(tmp_path / "big disk")
    clean(config, results, yes=True)
    assert files(tmp_path / "big disk") == before


def test_nothing_outside_the_folder_can_be_removed(results, tmp_path):
    touch(tmp_path / "elsewhere" / "file", 3)
    one = Leftover("x", (tmp_path / "elsewhere" / "file",), "")
    with pytest.raises(ValueError, match="not within"):
        leftovers.remove(one, results)
    with pytest.raises(ValueError, match="not within"):
        leftovers.remove(Leftover("x", (results / "mlflow.db",), ""), results)
    assert (tmp_path / "elsewhere" / "file").exists()


def test_states_and_snapshots_are_listed_only_when_asked_for(config, results, hold, capsys):
    ids = list(plan.load(config, "smoke").pretrainings)
    unfinished, abandoned, busy = ids[:3]
    for path in (results / "pretrain" / unfinished).glob("epoch_*.json"):
        path.unlink()
    touch(results / "pretrain" / abandoned / "running_9" / "lock", 0)
    touch(results / "pretrain" / abandoned / "running_9" / "a.snapshot", 50)
    for path in (results / "pretrain" / abandoned / "running_9").iterdir():
        age(path)
    hold(results / "pretrain" / busy / "running_9" / "lock")
    before = files(results)
    clean(config, results, yes=True)
    assert files(results) == before
    clean(config, results, yes=True, states=True)
    gone = before - files(results)
    assert all(name.endswith(".state.pt") or "running_9" in name for name in gone)
    assert not any(unfinished in name or busy in name for name in gone)
    assert any(f"{abandoned}/running_9/a.snapshot" in name for name in gone)
    assert any("epoch_2.state.pt" in name for name in gone)
    capsys.readouterr()


def test_what_was_changed_of_late_and_is_not_finished_stays_whatever_locks_say(config, results, capsys):
    """Locks may not reach from one machine of a cluster to another."""
    run = next(iter(plan.load(config, "smoke").pretrainings))
    touch(results / "pretrain" / run / "running_2" / "lock", 0)
    touch(results / "pretrain" / run / "running_2" / "a.snapshot", 50)
    for name in ("shards/0-of-9.parquet", "videos/x.avi"):
        touch(results / "store" / "aaaaaaaaaa" / name, 5)
    touch(results / "store" / "bbbbbbbbbb" / "store.json", 5)
    before = files(results)
    clean(config, results, yes=True, states=True)
    gone = before - files(results)
    assert "store/bbbbbbbbbb/store.json" in gone
    assert not any("running_2" in name or "aaaaaaaaaa" in name for name in gone)
    assert "store/aaaaaaaaaa — not finished and changed within a day" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["seeds: [oops]\n", "tables: {T99: null}\n", "a: [\n"])
def test_a_broken_scale_deletes_nothing(config, results, broken):
    forget(config, "T3")
    (config / "scales" / "other.yaml").write_text(broken)
    before = files(results)
    with pytest.raises(ConfigError, match="nothing was deleted"):
        clean(config, results, yes=True)
    assert files(results) == before


def test_wrong_names_are_refused(config, tmp_path, results):
    with pytest.raises(ConfigError, match="no scale 'smok' — did you mean 'smoke'"):
        clean(config, results, yes=True, scales=["smok"])
    with pytest.raises(NoResultsError, match="no results folder"):
        clean(config, tmp_path / "nowhere", yes=True)
