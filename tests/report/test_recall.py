"""Kept results stand in for their runs: which ones, whether they are what was kept, and what then still runs."""

import json
import os
import time

import made_up
import numpy as np
import pytest
from checkouts import Checkout

from mac import cli, plan, recall
from mac.recall import KeptError, Recalled


@pytest.fixture(scope="module")
def smoke(root):
    return plan.load(root / "config", "smoke")


def all_runs(planned):
    runs = [f"finetune/{i}" for i in planned.finetunings] + [f"probe/{i}" for i in planned.probes]
    return runs + [f"pretrain/{i}/epoch_{e}" for i, p in planned.pretrainings.items() for e in p.epochs]


def kept(planned, folder, runs, lost=(), of=()):
    """A report's folder that keeps these runs and all products, but for ``lost`` files; ``of`` says otherwise."""
    for product in recall.products(planned).values():
        touch(folder, product.files)
    for run in runs:
        touch(folder / "kept", recall.files_of(run))
    for name in lost:
        (folder / name).unlink()
    (folder / "kept").mkdir(exist_ok=True)
    made = {name: list(product.of) for name, product in recall.products(planned).items()}
    content = {"runs": {run: {} for run in runs}, "report": made | dict(of)}
    (folder / "kept" / recall.PROVENANCE).write_text(json.dumps(content))
    return folder / "kept"


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_nothing_is_recalled_where_nothing_was_kept(smoke, tmp_path):
    assert recall.recall(smoke, tmp_path / "kept") == Recalled()


def test_everything_kept_needs_no_run_and_no_data(smoke, tmp_path):
    found = recall.recall(smoke, kept(smoke, tmp_path, all_runs(smoke)))
    assert found.products == set(recall.products(smoke))
    assert found.finetunings == set(smoke.finetunings)
    assert found.probes == set(smoke.probes)
    assert found.pretrainings == set(smoke.pretrainings)


@pytest.mark.parametrize("way", ["lost", "of another run"])
def test_a_lost_picture_brings_back_the_runs_it_is_made_of_and_no_others(smoke, tmp_path, way):
    lost, of = (["figures/F3.png"], ()) if way == "lost" else ((), {"figures/gradcam": ["0123456789", "9876543210"]})
    found = recall.recall(smoke, kept(smoke, tmp_path, all_runs(smoke), lost, of))
    assert found.products == set(recall.products(smoke)) - {"figures/gradcam"}
    pair = set(smoke.gradcam_pair)
    assert found.finetunings == set(smoke.finetunings) - pair
    assert found.pretrainings == set(smoke.pretrainings) - {smoke.finetunings[i].config.pretrain_id for i in pair}
    assert found.probes == set(smoke.probes)


@pytest.mark.parametrize("name", ["data/ucf101", "figures/mask"])
def test_a_lost_card_brings_back_no_run(smoke, tmp_path, name):
    lost = recall.products(smoke)[name].files[0]
    found = recall.recall(smoke, kept(smoke, tmp_path, all_runs(smoke), [lost]))
    assert found.products == set(recall.products(smoke)) - {name}
    assert found.finetunings == set(smoke.finetunings)
    assert found.pretrainings == set(smoke.pretrainings)


@pytest.mark.parametrize("damage", ["no JSON", "<<<<<<< HEAD", '{"runs": []}', '{"runs": {}, "report": []}'])
def test_a_damaged_provenance_is_named(smoke, tmp_path, damage):
    folder = kept(smoke, tmp_path, [])
    (folder / recall.PROVENANCE).write_text(damage)
    with pytest.raises(KeptError, match="provenance.json: can't be read .*restore it, or delete .*kept"):
        recall.recall(smoke, folder)


def test_a_missing_kept_file_is_named(smoke, tmp_path):
    run = all_runs(smoke)[0]
    folder = kept(smoke, tmp_path, [run], [f"kept/{run}/journal.jsonl"])
    with pytest.raises(KeptError, match="journal.jsonl: is missing; restore it, or delete .*kept"):
        recall.recall(smoke, folder)


@pytest.mark.parametrize("stage", ["finetune", "probe"])
def test_a_run_that_was_not_kept_brings_back_its_pretraining(smoke, tmp_path, stage):
    planned = {"finetune": smoke.finetunings, "probe": smoke.probes}[stage]
    own = [i for i, run in planned.items() if run.config.pretrain_id and i not in smoke.gradcam_pair]
    lost = own[-1]
    runs = [run for run in all_runs(smoke) if run != f"{stage}/{lost}"]
    found = recall.recall(smoke, kept(smoke, tmp_path, runs))
    assert planned[lost].config.pretrain_id not in found.pretrainings
    assert lost not in (found.finetunings | found.probes)
    assert set(smoke.gradcam_pair) <= found.finetunings


def test_a_pretraining_lacking_an_epoch_runs_but_what_was_made_of_it_need_not(smoke, tmp_path):
    curve = next(i for i, p in smoke.pretrainings.items() if len(p.epochs) > 1)
    last = f"pretrain/{curve}/epoch_{max(smoke.pretrainings[curve].epochs)}"
    found = recall.recall(smoke, kept(smoke, tmp_path, [run for run in all_runs(smoke) if run != last]))
    assert curve not in found.pretrainings
    made = {i for i, f in smoke.finetunings.items() if f.config.pretrain_id == curve}
    assert made <= found.finetunings


@pytest.fixture
def finished(root, smoke, tmp_path):
    """Results of two finetunings and one segment, as runs leave them; the rest has not been run."""
    finetunes, results = list(smoke.finetunings)[:2], tmp_path / "results"
    files = {}
    for i in finetunes:
        files |= made_up.files(smoke, i, np.arange(made_up.VIDEOS) % 2 == 0)
        files[f"finetune/{i}/journal.jsonl"] = b'{"event": "start"}\n'
    run, planned = next((i, p) for i, p in smoke.pretrainings.items())
    epoch = max(planned.epochs)
    metrics = {"pretrain_id": run, "epoch": epoch, "seconds": 1.0, "device": "x", "commit": "y"}
    metrics["index_digest"] = planned.config.store.dataset.identify()
    files[f"pretrain/{run}/epoch_{epoch}.json"] = json.dumps(metrics).encode()
    files[f"pretrain/{run}/epoch_{epoch}.jsonl"] = b'{"event": "start"}\n'
    files[f"pretrain/{run}/epoch_{epoch}.safetensors"] = b"large"
    for name, content in files.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(content)
    cli.main(["keep", "--scale", "smoke", "--config-dir", str(root / "config"), "--results", str(results),
              "--out", str(tmp_path / "report")])  # fmt: skip
    return tmp_path, [*(f"finetune/{i}" for i in finetunes), f"pretrain/{run}/epoch_{epoch}"]


def test_small_files_are_kept_and_come_back_as_they_were(finished):
    folder, runs = finished
    listed = json.loads((folder / "report" / "kept" / recall.PROVENANCE).read_text())
    assert sorted(listed["runs"]) == sorted(runs)
    assert not list((folder / "report").rglob("*.safetensors"))
    for run in runs:
        cli.main(["recall", run, "--kept", str(folder / "report" / "kept"), "--results", str(folder / "again")])
    back = {p.relative_to(folder / "again"): p.read_bytes() for p in (folder / "again").rglob("*") if p.is_file()}
    assert len(back) == 2 * 3 + 2
    assert all((folder / "results" / name).read_bytes() == content for name, content in back.items())


@pytest.mark.parametrize("damage", ["changed", "missing", "unknown"])
def test_a_kept_result_that_was_touched_is_refused(finished, damage):
    folder, (run, *_) = finished
    path = folder / "report" / "kept" / run / "metrics.json"
    if damage == "changed":
        path.write_text(path.read_text().replace("50.0", "90.0"))
    elif damage == "missing":
        path.unlink()
    else:
        run = "finetune/0123456789"
    with pytest.raises(KeptError, match="restore it, or delete .*kept"):
        recall.checked(folder / "report" / "kept", run)


def test_the_workflow_runs_what_was_not_kept_and_nothing_else(root, smoke, tmp_path):
    checkout = Checkout(root, tmp_path, "smoke")
    before = checkout.jobs()
    assert before["pretrain"] == sum(len(p.epochs) for p in smoke.pretrainings.values())
    report = tmp_path / "reports" / "smoke"
    runs = all_runs(smoke)
    kept(smoke, report, runs)
    jobs = checkout.jobs()
    assert (
        not {"pretrain", "finetune", "probe", "gradcam", "draw", "extract", "card", "sweep", "describe"} & jobs.keys()
    )
    assert jobs["recall_finetuning"] == before["finetune"] == len(smoke.finetunings)
    assert jobs["recall_probe"] == before["probe"] == len(smoke.probes)
    assert jobs["recall_pretraining"] == before["pretrain"]
    other = next(i for i in smoke.probes if smoke.probes[i].config.initial == "random")
    kept(smoke, report, [run for run in runs if run != f"probe/{other}"])
    jobs = checkout.jobs()
    assert jobs["probe"] == 1
    assert not {"pretrain", "finetune", "gradcam"} & jobs.keys()
    kept(smoke, report, runs, lost=["figures/F2.png"])
    jobs = checkout.jobs()
    assert (jobs["gradcam"], jobs["finetune"]) == (1, 2)  # it looks into their classifiers
    assert jobs["pretrain"] >= 1


def test_a_run_that_is_there_is_not_written_over(root, smoke, tmp_path):
    """Kept files that are newer than one's own results, as after a pull, change nothing."""
    checkout = Checkout(root, tmp_path, "smoke")
    kept(smoke, tmp_path / "reports" / "smoke", all_runs(smoke))
    words = ["--scale", "smoke", "--config-dir", str(tmp_path / "config"), "--results", str(tmp_path / "results")]
    cli.main(["resolve", *words])
    recalled = checkout.jobs()["recall_finetuning"]
    own = f"finetune/{next(iter(smoke.finetunings))}"
    touch(tmp_path / "results", recall.files_of(own))
    later = time.time() + 10
    for path in (tmp_path / "reports" / "smoke" / "kept").rglob("*"):
        os.utime(path, (later, later))
    assert checkout.jobs()["recall_finetuning"] == recalled - 1


def test_the_report_waits_for_recalled_pretrainings(root, smoke, tmp_path):
    """Nothing else leads to them: no checkpoint is asked for."""
    checkout = Checkout(root, tmp_path, "smoke")
    kept(smoke, tmp_path / "reports" / "smoke", all_runs(smoke))
    for target in ("README.md", "index.html"):
        jobs = checkout.jobs(f"reports/smoke/{target}")
        assert jobs["recall_pretraining"] == sum(len(p.epochs) for p in smoke.pretrainings.values())
