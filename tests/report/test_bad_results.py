"""Damaged, foreign and missing results: named, left out, and the rest is reported."""

import json
import subprocess
import sys

import pytest
from made_up import answers, content, files, parquet, predictions, read, results, run_of

from mac.report.pages import claims_page, summary
from mac.report.reading import from_folder
from mac.report.results import Results
from mac.report.tables import comma_separated, markdown


def spoilt(demo, change):
    """All results, one of them (the first row of T8) changed."""
    run, found = run_of(demo), content(demo)
    change(found, f"finetune/{run}/metrics.json", f"finetune/{run}/predictions.parquet", run)
    return run, found


def set_metrics(**facts):
    def change(found, metrics, _, __):
        found[metrics] = json.dumps(json.loads(found[metrics]) | facts).encode()

    return change


def set_predictions(change_table):
    """Give a run other predictions, and metrics that agree with them."""

    def change(found, metrics, key, _):
        table = change_table(predictions([1] * 400))
        found[key] = parquet(table)
        set_metrics(top1=100.0, videos=len(table), correct=len(table))(found, metrics, key, _)

    return change


DAMAGE = {
    "cut metrics": (lambda f, m, p, _: f.update({m: f[m][:40]}), "metrics.json is cut or no JSON"),
    "empty metrics": (lambda f, m, p, _: f.update({m: b""}), "metrics.json is cut or no JSON"),
    "a list": (lambda f, m, p, _: f.update({m: b"[1]"}), "metrics.json holds no mapping"),
    "text": (set_metrics(top1="high"), "top1, videos, seconds must be numbers"),
    "a fact missing": (lambda f, m, p, _: f.update({m: b'{"top1": 1}'}), "metrics.json lacks videos, seconds, seed"),
    "no metrics": (lambda f, m, p, _: f.pop(m), "metrics.json is missing beside predictions.parquet"),
    "no predictions": (lambda f, m, p, _: f.pop(p), "predictions.parquet is missing beside metrics.json"),
    "cut predictions": (lambda f, m, p, _: f.update({p: f[p][:500]}), "predictions.parquet can't be read"),
    "a column missing": (
        lambda f, m, p, _: f.update({p: parquet(predictions([1] * 8).drop(columns="group"))}),
        "predictions.parquet can't be read",
    ),
    "other predictions": (
        lambda f, m, p, _: f.update({p: parquet(predictions([1] * 400))}),
        "predictions.parquet gives 400 videos at 100.00 %, metrics.json says 400 at",
    ),
    "no accuracy": (set_metrics(top1=float("nan")), "top1, videos, seconds must be numbers"),
    "no device": (set_metrics(device=None), "device, commit, torch, index_digest text"),
    "a list for a digest": (set_metrics(index_digest=["a"]), "device, commit, torch, index_digest text"),
    "groups missing": (
        set_predictions(lambda table: table.assign(group=table["group"].where(table.index % 4 > 0))),
        "predictions.parquet lacks values of group",
    ),
    "fewer videos": (
        set_predictions(lambda table: table.head(300)),
        "tested on 300 videos, most runs were tested on 400",
    ),
    "other videos": (
        set_predictions(lambda table: table.assign(path="x" + table["path"])),
        "tested on 400 videos, most runs were tested on 400 others",
    ),
    "another run's": (set_metrics(finetune_id="0000000000"), "another run's: finetune_id 0000000000"),
    "another seed's": (set_metrics(seed=9), "another run's: seed 9, not 1"),
    "another content": (set_metrics(index_digest="0000000000"), "another content of ucf101 (0000000000; most runs saw"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_result_is_named_and_left_out(demo, kind):
    change, reason = DAMAGE[kind]
    run, found = spoilt(demo, change)
    left = read(demo, found)
    assert list(left.problems) == [f"finetune/{run}"]
    assert reason in left.problems[f"finetune/{run}"]
    assert left.problems[f"finetune/{run}"].endswith(f"delete finetune/{run} and run again")
    page = markdown(demo.tables["T8"], left)
    assert f"| λ = 10 | left out: finetune/{run}: " in page
    assert "| λ = 30 is best | open |" in page
    whole = markdown(demo.tables["T8"], results(demo))
    lines = [line for line in whole.splitlines() if line.startswith(("| λ = 30 | **", "| λ = 60 | **"))]
    assert len(lines) == 2
    assert all(line in page for line in lines)


def test_summary_csv_and_claims_survive_and_name_it(demo):
    run, found = spoilt(demo, DAMAGE["cut metrics"][0])
    left = read(demo, found)
    assert f"* `finetune/{run}`: metrics.json is cut" in summary(left)
    assert "metrics.json is cut" in comma_separated(demo.tables["T8"], left)
    assert "metrics.json is cut" in claims_page(left)
    assert markdown(demo.tables["T7"], left) == markdown(demo.tables["T7"], results(demo))


def test_on_a_tie_no_content_stays(demo):
    first, second = run_of(demo), run_of(demo, row=2)
    found = files(demo, first, answers(demo, first, 50))
    left = read(demo, found | files(demo, second, answers(demo, second, 60), index_digest="x"))
    assert left.problems.keys() == {f"finetune/{first}", f"finetune/{second}"}
    assert "no content was seen by most runs" in left.problems[f"finetune/{first}"]
    assert left.metrics["finetune"] == left.digests == {}


def test_what_starts_from_a_pretraining_on_other_content_is_left_out_too(demo):
    run, config = run_of(demo), demo.finetunings[run_of(demo)].config
    key = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}"
    foreign = {"pretrain_id": config.pretrain_id, "epoch": config.epoch, "index_digest": "0000000000"}
    foreign |= {"seconds": 1.0, "device": "CPU", "commit": "abc"}
    left = read(demo, content(demo) | {f"{key}.json": foreign})
    assert left.problems.keys() == {key, f"finetune/{run}"}
    assert f"starts from {key}, which was made on another content" in left.problems[f"finetune/{run}"]
    cut = read(demo, content(demo) | {f"{key}.json": b"{"})  # says nothing of the content: the finetuning stays
    assert list(cut.problems) == [key]
    assert run in cut.metrics["finetune"]


def test_the_command_reports_the_rest_and_exits_0(demo, root, tmp_path, write_results):
    run, found = spoilt(demo, DAMAGE["cut predictions"][0])
    write_results(found, tmp_path / "results")
    command = [sys.executable, "-m", "mac", "report", "--scale", "demo", "--results", str(tmp_path / "results")]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0
    assert f"finetune/{run} is left out: predictions.parquet can't be read" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "claims.md"}


def test_the_content_that_frames_are_stored_of_counts_not_the_majority(demo):
    run, found = spoilt(demo, set_metrics(index_digest="0000000000"))
    store = demo.finetunings[run].config.store.identify()
    left = read(demo, found | {f"store/{store}/store.json": {"index_digest": "0000000000"}})
    assert run in left.metrics["finetune"]
    assert left.digests["ucf101"] == "0000000000"
    others = [i for i, f in demo.finetunings.items() if f.config.store.identify() == store and i != run]
    assert all("the stored frames are 0000000000" in left.problems[f"finetune/{i}"] for i in others)
    unseen = {f"store/{store}/store.json": {"index_digest": "ffffffffff"}}
    assert not read(demo, content(demo) | unseen).problems  # frames that no run saw change nothing


def test_a_folder_in_a_files_place_is_named(demo, tmp_path):
    (tmp_path / "finetune" / run_of(demo) / "metrics.json").mkdir(parents=True)
    assert "metrics.json is a folder" in Results(demo, from_folder(tmp_path)).problems[f"finetune/{run_of(demo)}"]
