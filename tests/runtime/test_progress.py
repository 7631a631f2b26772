"""What a person sees while Snakemake runs, and of a job that fails."""

import json
import re
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from mac import __version__, plan
from mac.cli import main
from mac.runtime import progress
from mac.runtime.forecast import NOTHING, Forecast
from mac.runtime.jobs import Job, Jobs, ending
from mac.validation import read_yaml

INTERRUPTED = "mac pretrain: saved in results/x; the same command continues it"
REFUSED = "mac finetune: data/x.avi: damaged — delete it and run again"
CRASHED = "Traceback (most recent call last):\n  File x\nSomeError: no"


@pytest.fixture(scope="module")
def smoke(root):
    return plan.load(root / "config", "smoke")


@pytest.fixture
def run(root, tmp_path, monkeypatch, capsys):
    """A function that runs words under `mac progress`; gives the exit status and what a person saw."""

    def call(*words, terminal=False, options=()):
        monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.1)
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
        monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
        own = read_yaml(root / "config" / "config.yaml") | {n: str(tmp_path / n) for n in ("results", "reports")}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(own))
        settings = ["--settings", str(tmp_path / "config.yaml"), "--config-dir", str(root / "config")]
        with pytest.raises(SystemExit) as exited:
            main(["progress", "--scale", "smoke", *settings, *options, "--", *words])
        return exited.value.code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)

    return call


def snakefile(folder, smoke, script):
    """A workflow of two jobs with the rules' names: a finetuning that runs a script, and a table after it."""
    own = next(iter(smoke.finetunings))
    (folder / "Snakefile").write_text(
        textwrap.dedent(f"""
            rule all:
                input: "table.md"
            rule table:
                input: "made"
                output: "table.md"
                log: "logs/table/smoke_T5.log"
                shell: "sleep 0.5; touch {{output}}"
            rule finetune:
                output: "made"
                log: "{folder}/results/logs/finetune/{own}.log"
                shell: "{script}"
        """)
    )
    return own, ["snakemake", "--cores", "1", "--directory", str(folder), "--snakefile", str(folder / "Snakefile")]


@pytest.mark.parametrize("terminal", [False, True])
def test_one_line_says_how_far_it_is_and_what_runs_for_which_row(run, smoke, tmp_path, terminal):
    own, words = snakefile(tmp_path, smoke, "sleep 1; touch {output}")
    status, told = run(*words, terminal=terminal)
    assert status == 0
    row = smoke.finetunings[own].used_by[0]
    assert re.search(rf"0 of 3 jobs, time left known after the first epochs: finetuning {re.escape(row)}", told)
    assert "1 of 3 jobs, about a minute left: writing a table (T5)" in told
    assert "Done in " in told
    assert "Building DAG" in (tmp_path / "results" / "logs" / "snakemake-smoke.log").read_text()
    assert "Building DAG" not in told


def test_a_failure_names_the_run_its_rows_the_end_of_its_own_log_and_the_way_out(run, smoke, tmp_path):
    own, words = snakefile(tmp_path, smoke, f"echo starting > {{log}}; echo '{REFUSED}' >> {{log}}; exit 1")
    status, told = run(*words)
    assert status == 1
    assert re.search(rf"Failed at [\d:]+: finetuning {re.escape(smoke.finetunings[own].used_by[0])}", told)
    assert f" — finetune {own}\n" in told
    assert f"    {REFUSED}\n" in told
    assert told.count(REFUSED) == 1
    assert "The message says what to do" in told
    assert f"Failed, as told above: finetune {own}. Not begun or not ended because of it: 2 jobs." in told
    assert str(tmp_path / "results" / "logs" / "snakemake-smoke.log") in told
    for dump in ("Error in rule", "RuleException", "jobid", "shell:", "starting"):
        assert dump not in told


def test_where_no_job_failed_snakemakes_own_message_is_shown_and_its_status_passed_on(run):
    status, told = run("sh", "-c", "echo Using profile; echo WorkflowError:; echo no such file x; exit 7")
    assert status == 7
    assert "WorkflowError:\nno such file x\nNo job failed, but Snakemake did" in told
    assert "Using profile" not in told


@pytest.mark.parametrize(
    ("script", "status"), [("kill -9 $$", -9), ("trap 'exit 1' TERM; sleep 1; kill -TERM $PPID; sleep 9", 1)]
)
def test_who_ends_it_is_told_that_the_same_command_continues(run, script, status):
    exited, told = run("sh", "-c", script)
    assert exited == status
    assert "Stopped. What is finished or saved is kept; the same command continues." in told
    assert "No job failed" not in told


@pytest.mark.parametrize(
    ("text", "kind", "lines"),
    [
        (f"warning: a: b\n{REFUSED}\n", "message", [REFUSED]),
        ("mac list: two problems\n  a\n  b\n", "message", ["mac list: two problems", "  a", "  b"]),
        ("lease: 4 GPUs asked for, but there are 2\n", "message", ["lease: 4 GPUs asked for, but there are 2"]),
        (f"epoch 1\n{CRASHED}\n", "traceback", ["epoch 1", *CRASHED.splitlines()]),
        (f"{CRASHED}\n{INTERRUPTED}\n", "saved", [INTERRUPTED]),
        ("Traceback (most recent call last):\nKeyboardInterrupt\n", "stopped", ["KeyboardInterrupt"]),
        ("", "silent", []),
        ("mac report: finetune/0123456789 is left out: it is damaged\n", "silent", None),
    ],
)
def test_a_jobs_own_log_says_how_it_ended(tmp_path, text, kind, lines):
    (tmp_path / "a.log").write_text(text)
    end = ending(tmp_path / "a.log")
    assert end.kind == kind
    assert end.is_error == (kind in ("message", "traceback"))
    assert lines is None or end.lines == lines


def test_a_log_that_grows_is_read_as_it_would_be_at_once(tmp_path):
    lines = ["job  count", "---  ---", "pretrain  2", "total  2", ""]
    for number, at in (("1", "10"), ("2", "20")):
        lines += [f"[Fri Nov 27 11:47:{at} 2026]", "rule pretrain:", "    output: x"]
        lines += [f"    log: logs/pretrain/{number * 10}_12.log", f"    jobid: {number}", "    wildcards: epoch=12"]
    lines += ["[Fri Nov 27 11:48:00 2026]", "Finished jobid: 1 (Rule: pretrain)", "[Fri Nov 27 11:49:00 2026]"]
    lines += ["Error in rule pretrain:", "    message: None", "    jobid: 2", "    log: logs/pretrain/2.log (check it)"]
    text = "\n".join([*lines, ""])
    whole, pieces = Jobs(tmp_path / "whole"), Jobs(tmp_path / "pieces")
    (tmp_path / "whole").write_text(text)
    failed, told = whole.read(), []
    with (tmp_path / "pieces").open("a") as file:
        for begin in range(0, len(text), 7):
            file.write(text[begin : begin + 7])
            file.flush()
            told += pieces.read()
    assert told == failed == [whole.begun["2"]]
    assert pieces.begun == whole.begun
    assert pieces.planned == whole.planned == {"pretrain": 2}
    assert [job.name for job in whole.done] == ["1111111111_12"]
    assert whole.begun["1"].ended - whole.begun["1"].began == 50


def test_a_training_is_named_by_its_row_and_epoch(smoke, tmp_path):
    run_id, planned = next((i, p) for i, p in smoke.pretrainings.items() if len(p.used_by) > 1)
    last = max(planned.epochs)
    folder = tmp_path / "pretrain" / run_id / f"running_{last}"
    folder.mkdir(parents=True)
    begin = {"event": "start", "time": 1.0, "epoch": 0, "until": last, "device": "CPU"}
    (folder / "journal.jsonl").write_text(json.dumps(begin) + "\n")
    jobs = Jobs(tmp_path / "none")
    jobs.planned, jobs.begun = {"pretrain": 2}, {"1": Job("pretrain", Path(f"{run_id}_{last}.log"), time.time())}
    line = progress.Watch(smoke, tmp_path, jobs, Forecast({"pretrain": {}}, lambda job: NOTHING)).line(time.time())
    more = len(planned.used_by) - 1
    rows = f"{planned.used_by[0]} (and {more} more row{'s' * (more > 1)})"
    assert line == f"0 of 2 jobs, time left known after the first epochs: pretraining {rows}, epoch 1 of {last}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "time left known after the first epochs"),
        (20, "about a minute left"),
        (400, "about 7 minutes left"),
        (9000, "about 2.5 hours left"),
        (4 * 86400, "about 4.0 days left"),
    ],
)
def test_the_time_left_in_words(seconds, text):
    assert progress.time_text(seconds) == text


def test_tables_that_come_first_are_named_to_snakemake(run, tmp_path):
    assert run("echo", options=["--first", "T1", "X9"])[0] == 0
    said = (tmp_path / "results" / "logs" / "snakemake-smoke.log").read_text()
    assert said == f"--prioritize {tmp_path / 'reports'}/smoke/tables/T1.md\n"


def test_jobs_start_warm(run, tmp_path):
    job = "until [ -S $MAC_WARM ]; do sleep 0.1; done; python -m mac --version"
    assert run("bash", "-c", job, options=["--warm"])[0] == 0
    assert (tmp_path / "results" / "logs" / "snakemake-smoke.log").read_text() == f"mac, version {__version__}\n"
