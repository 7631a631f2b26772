"""Cleaning up: what is listed, what is deleted, and all that must survive."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mac import leftovers, plan
from mac.cli import runs
from mac.config import write_config
from mac.leftovers import Leftover, NoResultsError
from mac.overrides import Overrides
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
def results(root, tmp_path):
    """Files of every run of a small scale, with receipts, logs and MLflow's own; its configuration lies beside it."""
    folder, config = tmp_path / "results", shutil.copytree(root / "config", tmp_path / "config")
    for name in ("demo", "demo-rivals", "paper", "paper-ucf101", "ucf101-21-cpu"):
        (config / "scales" / f"{name}.yaml").unlink()
    smoke = planned(folder)
    for stage, configs in configs_of(smoke).items():
        for run_id, one in configs.items():
            write_config(folder / stage / run_id / "config.yaml", one)
            touch(folder / "logs" / stage / f"{run_id}.log", 10)
    for run_id, p in smoke.pretrainings.items():
        for epoch in p.epochs:
            for ending, size in {"json": 2, "jsonl": 3, "safetensors": 100, "state.pt": 300}.items():
                touch(folder / "pretrain" / run_id / f"epoch_{epoch}.{ending}", size)
            touch(folder / "tracking" / "pretrain" / f"{run_id}_{epoch}.json", 5)
    for name in ("mlflow.db", "mlflow-artifacts/0123456789/file", "own notes.txt", "pretrain/mine/file", "logs/a.log"):
        touch(folder / name, 7)
    for path in folder.rglob("*"):
        age(path)
    return folder


def planned(results):
    return plan.load(results.parent / "config", "smoke")


def age(path):
    """Let a file have been changed two days ago."""
    long_ago = time.time() - 2 * leftovers.RECENT
    os.utime(path, (long_ago, long_ago))


def touch(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def clean(results, *, yes=True, states=False, scales=(), set=()):
    """Clean up; returns the files that are gone."""
    before, config = files(results), results.parent / "config"
    asked = {"yes": yes, "states": states, "scales": scales, "set": set, "sweep": ()}
    runs.clean.callback(config_dir=config, results=results, **asked)
    return before - files(results)


def forget(results, *tables):
    """Take tables out of the scale; returns ids of runs that nothing refers to any more."""
    before, path = configs_of(planned(results)), results.parent / "config" / "scales" / "smoke.yaml"
    tree = read_yaml(path)
    tree["tables"] |= dict.fromkeys(tables)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    after = configs_of(planned(results))
    gone = {run_id for stage in before for run_id in before[stage].keys() - after[stage].keys()}
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


def test_what_tables_refer_to_is_never_listed(results, capsys):
    assert not clean(results)
    assert "nothing" in capsys.readouterr().out


def test_a_row_less_lists_its_runs_with_their_sizes_and_deletes_exactly_them(results, capsys):
    gone = forget(results, "T3", "T5")
    expected = {name for name in files(results) if any(run_id in name for run_id in gone)}
    assert not clean(results, yes=False), "nothing is deleted without --yes"
    shown = capsys.readouterr().out
    assert all(run_id in shown for run_id in gone)
    found, _ = leftovers.find(leftovers.Folder(results), [planned(results)])
    assert sum(one.size for one in found) == sum((results / name).stat().st_size for name in expected)
    assert clean(results) == expected


def test_epochs_no_table_asks_for_go_alone(results):
    run_id, p = next(iter(planned(results).pretrainings.items()))
    touch(results / "pretrain" / run_id / "epoch_99.safetensors", 9)
    assert 99 not in p.epochs
    assert clean(results) == {f"pretrain/{run_id}/epoch_99.safetensors"}


def test_another_scale_may_refer_to_it(results, capsys):
    scales = results.parent / "config" / "scales"
    shutil.copy(scales / "smoke.yaml", scales / "larger.yaml")
    forget(results, "T3", "T5")
    assert not clean(results)
    clean(results, yes=False, scales=["smoke"])
    assert "no table refers to it" in capsys.readouterr().out


def test_rows_from_the_command_line_stay_where_they_are_named(results):
    words = ("pretrain.mask.threshold=17",)
    row = plan.load(results.parent / "config", "smoke", Overrides.from_words(words, ())).pretrainings
    (run_id,) = row.keys() - planned(results).pretrainings.keys()
    write_config(results / "pretrain" / run_id / "config.yaml", row[run_id].config)
    age(results / "pretrain" / run_id / "config.yaml")
    assert not clean(results, scales=["smoke"], set=words)
    assert clean(results, scales=["smoke"]) == {f"pretrain/{run_id}/config.yaml"}


def test_a_run_being_trained_stays_with_all_it_is_made_from(results, hold, capsys):
    gone = forget(results, "T3")
    (busy,) = gone & set(leftovers.Folder(results).ids("finetune"))
    made_from = read_yaml(results / "finetune" / busy / "config.yaml")["pretrain_id"]
    assert made_from in gone
    hold(results / "finetune" / busy / "running" / "lock")
    clean(results, states=True)
    assert f"Kept: finetune/{busy}" in capsys.readouterr().out
    assert (results / "finetune" / busy / "config.yaml").exists()
    assert (results / "pretrain" / made_from / "config.yaml").exists()


def test_a_probe_that_runs_keeps_what_it_is_made_from(results):
    """It holds no lock: what isn't finished and has a fresh log may be running."""
    probes = planned(results).probes
    forget(results, *planned(results).tables)
    run_id, probe = next((i, p.config) for i, p in probes.items() if p.config.pretrain_id)
    (results / "logs" / "probe" / f"{run_id}.log").touch()
    clean(results)
    stay = {f"probe/{run_id}", f"store/{probe.store.identify()}", f"dataset/{probe.store.dataset.identify()}"}
    for name in (*stay, f"pretrain/{probe.pretrain_id}"):
        assert (results / name / "config.yaml").exists()
    assert (results / "pretrain" / probe.pretrain_id / f"epoch_{probe.epoch}.safetensors").exists()


def test_a_lock_of_somebody_else_can_be_asked_for(tmp_path, monkeypatch, hold):
    """It can be read, not written."""
    lock, opened = tmp_path / "lock", Path.open
    lock.touch()

    def open_to_read(path, mode="r", *args, **named):
        if "+" in mode or "w" in mode:
            raise PermissionError(path)
        return opened(path, mode, *args, **named)

    monkeypatch.setattr(Path, "open", open_to_read)
    assert leftovers.can_hold([lock])
    hold(lock)
    assert not leftovers.can_hold([lock])


def test_a_training_that_began_after_the_listing_is_left_alone(results, hold):
    gone = forget(results, "T3")
    listed, _ = leftovers.find(leftovers.Folder(results), [planned(results)])
    one = next(entry for entry in listed if entry.name.startswith("pretrain/"))
    assert (results / one.name).name in gone
    hold(results / one.name / "running_2" / "lock")
    before = files(results)
    assert not leftovers.remove(one, results)
    assert files(results) == before


def test_links_lead_nowhere(results, tmp_path, capsys):
    gone, folder, elsewhere = forget(results, "T3"), leftovers.Folder(results), tmp_path / "elsewhere"
    touch(elsewhere / "precious", 9)
    linked, within = (
        results / stage / run_id for stage in leftovers.TRAINED for run_id in sorted(gone & set(folder.ids(stage)))
    )
    shutil.move(linked, elsewhere / linked.name)
    linked.symlink_to(elsewhere / linked.name)
    (within / "link").symlink_to(elsewhere)
    before = files(elsewhere)
    clean(results)
    assert files(elsewhere) == before
    assert not within.exists()
    assert "a link: what it leads to is left alone" in capsys.readouterr().out


def test_a_linked_stage_is_left_alone(results, tmp_path):
    shutil.move(results / "store", tmp_path / "big disk")
    (results / "store").symlink_to(tmp_path / "big disk")
    forget(results, "T3", "T5")
    before = files(tmp_path / "big disk")
    clean(results)
    assert files(tmp_path / "big disk") == before


def test_nothing_outside_the_folders_of_runs_can_be_removed(results, tmp_path):
    touch(tmp_path / "elsewhere" / "file", 3)
    for path in (tmp_path / "elsewhere" / "file", results / "mlflow.db"):
        with pytest.raises(ValueError, match="not within"):
            leftovers.remove(Leftover("x", (path,), ""), results)
        assert path.exists()


def test_states_and_snapshots_are_listed_only_when_asked_for(results, hold):
    unfinished, abandoned, busy = list(planned(results).pretrainings)[:3]
    for path in (results / "pretrain" / unfinished).glob("epoch_*.json"):
        path.unlink()
    for name, size in (("lock", 0), ("snapshot.pt", 50)):
        touch(results / "pretrain" / abandoned / "running_9" / name, size)
        age(results / "pretrain" / abandoned / "running_9" / name)
    hold(results / "pretrain" / busy / "running_9" / "lock")
    assert not clean(results)
    gone = clean(results, states=True)
    assert all(name.endswith(".state.pt") or "running_9" in name for name in gone)
    assert not any(unfinished in name or busy in name for name in gone)
    assert any(f"{abandoned}/running_9/snapshot.pt" in name for name in gone)
    assert any("epoch_2.state.pt" in name for name in gone)


def test_what_was_changed_of_late_and_is_not_finished_stays_whatever_locks_say(results, capsys):
    """Locks may not reach from one machine of a cluster to another."""
    run = next(iter(planned(results).pretrainings))
    touch(results / "pretrain" / run / "running_2" / "lock", 0)
    touch(results / "pretrain" / run / "running_2" / "snapshot.pt", 50)
    for name in ("aaaaaaaaaa/shards/0-of-9.parquet", "aaaaaaaaaa/videos/x.avi", "bbbbbbbbbb/store.json"):
        touch(results / "store" / name, 5)
    gone = clean(results, states=True)
    assert "store/bbbbbbbbbb/store.json" in gone
    assert not any("running_2" in name or "aaaaaaaaaa" in name for name in gone)
    assert "store/aaaaaaaaaa — not finished and changed within a day" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["seeds: [oops]\n", "tables: {T99: null}\n", "a: [\n"])
def test_a_broken_scale_deletes_nothing(results, broken):
    forget(results, "T3")
    (results.parent / "config" / "scales" / "other.yaml").write_text(broken)
    before = files(results)
    with pytest.raises(ConfigError, match="nothing was deleted"):
        clean(results)
    assert files(results) == before


def test_wrong_names_are_refused(results):
    with pytest.raises(ConfigError, match="no scale 'smok' — did you mean 'smoke'"):
        clean(results, scales=["smok"])
    with pytest.raises(NoResultsError, match="no results folder"):
        clean(results.with_name("nowhere"))
