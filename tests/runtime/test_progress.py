"""Progress: what is read off a results folder, and what a person sees while a command runs."""

import json
import re

import pytest
import yaml

from mac import plan
from mac.cli import main
from mac.runtime import progress
from mac.validation import read_yaml


@pytest.fixture(scope="module")
def smoke(root):
    return plan.load(root / "config", "smoke")


def touch(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def measure(smoke, folder):
    return {bar.name: bar.done for bar in progress.bars(smoke, folder, folder / "reports")}


def test_each_stage_is_measured_by_the_files_it_leaves(smoke, tmp_path):
    run, planned = next((i, p) for i, p in smoke.pretrainings.items() if len(p.epochs) > 1)
    first, second, *_ = sorted(planned.epochs)
    assert set(measure(smoke, tmp_path).values()) == {0}
    touch(tmp_path / "store" / next(iter(smoke.stores)) / "store.json")
    touch(tmp_path / "masks" / next(iter(smoke.mask_checks)) / "check.json")
    touch(tmp_path / "pretrain" / run / f"epoch_{first}.json")
    own, other = list(smoke.finetunings)[:2]
    touch(tmp_path / "finetune" / own / "metrics.json")
    touch(
        tmp_path / "finetune" / other / "running" / "journal.jsonl", json.dumps({"event": "metrics", "epoch": 1}) + "\n"
    )
    touch(tmp_path / "reports" / "tables" / f"{next(iter(smoke.tables))}.md")
    done = smoke.finetunings[own].config.optimiser.epochs
    expected = {"data sets": 1, "mask checks": 1, "pretraining": first, "finetuning": done + 1, "tables": 1}
    assert measure(smoke, tmp_path) == expected
    touch(
        tmp_path / "pretrain" / run / f"running_{second}" / "journal.jsonl",
        json.dumps({"event": "metrics", "epoch": first + 1}) + "\n",
    )
    assert measure(smoke, tmp_path)["pretraining"] == first + 1


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("script", "status"), [("sleep 0.3; echo done", 0), ("sleep 0.3; echo SomeError: no; exit 7", 7)]
)
def test_a_commands_output_is_logged_and_its_status_passed_on(
    root, tmp_path, monkeypatch, capsys, terminal, script, status
):
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.1)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
    own = read_yaml(root / "config" / "config.yaml") | {name: str(tmp_path / name) for name in ("results", "reports")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(own))
    settings = ["--settings", str(tmp_path / "config.yaml"), "--config-dir", str(root / "config")]
    words = ["progress", "--scale", "smoke", *settings, "--", "sh", "-c", script]
    with pytest.raises(SystemExit) as exited:
        main(words)
    assert exited.value.code == status
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert "Scale smoke: 13 pretrainings, 22 finetunings, 8 tables" in told
    assert ("/100 %" in told) == terminal
    assert ("data sets 0/4 sets — estimating the time left" in told) != terminal
    if status:
        assert "SomeError: no" in told
        assert "Finished runs are kept" in told
    else:
        assert (tmp_path / "results" / "logs" / "snakemake-smoke.log").read_text() == "done\n"
        assert "Done in 0.0 minutes" in told


@pytest.mark.parametrize(
    ("done", "text"),
    [(50, "estimating the time left"), (60, "about 7 minutes left"), (100, "nothing left to train")],
)
def test_the_time_left_is_what_the_pace_since_the_start_says(done, text):
    now = 0.0
    with progress.Progress(disable=True, get_time=lambda: now, speed_estimate_period=progress.math.inf) as display:
        whole = display.add_task("whole", total=100, completed=50)
        if done > 50:
            now = 1.0
            display.update(whole, completed=50.1)
            now = 101.0
            display.update(whole, completed=done)
        assert progress._time_left(display.tasks[whole]) == text
