"""Kept results stand in for their runs: which ones, whether they are what was kept, and what then still runs."""

import io
import json
import os
import time

import made_up
import numpy as np
import pandas as pd
import pytest
from checkouts import Checkout

from mac import cli, kept, plan
from mac.kept import KeptError, Restorable
from mac.pipeline import files_of


@pytest.fixture(scope="module")
def smoke(root):
    return plan.load(root / "config", "smoke")


def all_runs(planned):
    runs = [f"finetune/{i}" for i in planned.finetunings] + [f"probe/{i}" for i in planned.probes]
    return runs + [f"pretrain/{i}/epoch_{e}" for i, p in planned.pretrainings.items() for e in p.epochs]


def keep(planned, folder, runs, lost=(), of=()):
    """A report's folder that keeps these runs and all products, but for ``lost`` files; ``of`` says otherwise."""
    for product in kept.products(planned).values():
        touch(folder, product.files)
    for run in runs:
        touch(folder / "kept", map(kept.kept_name, files_of(run)))
    for name in lost:
        (folder / name).unlink()
    (folder / "kept").mkdir(exist_ok=True)
    made = kept.made(planned, folder, {})
    for name, ids in dict(of).items():
        made[name]["of"] = ids
    content = {"runs": {run: {} for run in runs}, "report": made}
    (folder / "kept" / kept.PROVENANCE).write_text(json.dumps(content))
    return folder / "kept"


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_nothing_is_restored_where_nothing_was_keep(smoke, tmp_path):
    assert kept.restorable(smoke, tmp_path / "kept") == Restorable()


def lacking(planned, found):
    """What of a plan can't be restored: products, finetunings, pretrainings, probes."""
    wanted = {"products": kept.products(planned)}
    wanted |= {name: getattr(planned, name) for name in ("finetunings", "pretrainings", "probes")}
    return [set(all_of_them) - getattr(found, name) for name, all_of_them in wanted.items()]


def test_everything_kept_needs_no_run_and_no_data(smoke, tmp_path):
    assert lacking(smoke, kept.restorable(smoke, keep(smoke, tmp_path, all_runs(smoke)))) == [set()] * 4


@pytest.mark.parametrize("way", ["lost", "of another run"])
def test_a_lost_picture_brings_back_the_runs_it_is_made_of_and_no_others(smoke, tmp_path, way):
    lost, of = (["figures/F3.png"], ()) if way == "lost" else ((), {"figures/gradcam": ["0123456789", "9876543210"]})
    found = kept.restorable(smoke, keep(smoke, tmp_path, all_runs(smoke), lost, of))
    pair = set(smoke.gradcam_pair)
    starts = {smoke.finetunings[i].config.pretrain_id for i in pair}
    assert lacking(smoke, found) == [{"figures/gradcam"}, pair, starts, set()]


@pytest.mark.parametrize("name", ["data/ucf101", "figures/mask"])
def test_a_lost_card_brings_back_no_run(smoke, tmp_path, name):
    lost = kept.products(smoke)[name].files[0]
    found = kept.restorable(smoke, keep(smoke, tmp_path, all_runs(smoke), [lost]))
    assert lacking(smoke, found) == [{name}, set(), set(), set()]


@pytest.mark.parametrize("damage", ["no JSON", "<<<<<<< HEAD", '{"runs": []}', '{"runs": {}, "report": []}'])
def test_a_damaged_provenance_is_named(smoke, tmp_path, damage):
    folder = keep(smoke, tmp_path, [])
    (folder / kept.PROVENANCE).write_text(damage)
    with pytest.raises(KeptError, match="provenance.json: can't be read .*restore it, or delete .*kept"):
        kept.restorable(smoke, folder)


def test_a_missing_kept_file_is_named(smoke, tmp_path):
    run = all_runs(smoke)[0]
    folder = keep(smoke, tmp_path, [run], [f"kept/{run}/journal.jsonl.gz"])
    with pytest.raises(KeptError, match="journal.jsonl.gz: is missing; restore it, or delete .*kept"):
        kept.restorable(smoke, folder)


def test_a_product_is_of_what_it_was_made_of_until_it_is_made_again(smoke, tmp_path):
    """Keeping again under another plan must not say that old figures are of new runs."""
    keep(smoke, tmp_path, [])
    old = kept.made(smoke, tmp_path, {})
    old["figures/gradcam"]["of"] = ["0123456789", "9876543210"]
    assert kept.made(smoke, tmp_path, old) == old
    (tmp_path / "figures/F4.png").write_bytes(b"drawn anew")
    assert kept.made(smoke, tmp_path, old)["figures/gradcam"]["of"] == list(smoke.gradcam_pair)


def test_the_card_shown_is_the_default_rows(smoke):
    default = smoke.finetunings[smoke.default].config.pretrain_id
    assert smoke.shown_check == smoke.pretrainings[default].config.mask_check.identify()


@pytest.mark.parametrize("stage", ["finetune", "probe"])
def test_a_run_that_was_not_kept_brings_back_its_pretraining(smoke, tmp_path, stage):
    planned = {"finetune": smoke.finetunings, "probe": smoke.probes}[stage]
    own = [i for i, run in planned.items() if run.config.pretrain_id and i not in smoke.gradcam_pair]
    lost = own[-1]
    runs = [run for run in all_runs(smoke) if run != f"{stage}/{lost}"]
    found = kept.restorable(smoke, keep(smoke, tmp_path, runs))
    assert planned[lost].config.pretrain_id not in found.pretrainings
    assert lost not in (found.finetunings | found.probes)
    assert set(smoke.gradcam_pair) <= found.finetunings


def test_a_pretraining_lacking_an_epoch_runs_but_what_was_made_of_it_need_not(smoke, tmp_path):
    curve = next(i for i, p in smoke.pretrainings.items() if len(p.epochs) > 1)
    last = f"pretrain/{curve}/epoch_{max(smoke.pretrainings[curve].epochs)}"
    found = kept.restorable(smoke, keep(smoke, tmp_path, [run for run in all_runs(smoke) if run != last]))
    assert curve not in found.pretrainings
    made = {i for i, f in smoke.finetunings.items() if f.config.pretrain_id == curve}
    assert made <= found.finetunings


def keep_results(root, folder):
    words = ["--config-dir", root / "config", "--results", folder / "results", "--out", folder / "report"]
    cli.main(["keep", "--scale", "smoke", *map(str, words)])


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
    keep_results(root, tmp_path)
    return tmp_path, [*(f"finetune/{i}" for i in finetunes), f"pretrain/{run}/epoch_{epoch}"]


def test_small_files_are_kept_and_come_back_as_they_were(finished):
    folder, runs = finished
    listed = json.loads((folder / "report" / "kept" / kept.PROVENANCE).read_text())
    assert sorted(listed["runs"]) == sorted(runs)
    assert not list((folder / "report").rglob("*.safetensors"))
    for run in runs:
        cli.main(["restore", run, "--kept", str(folder / "report" / "kept"), "--results", str(folder / "again")])
    back = {p.relative_to(folder / "again"): p.read_bytes() for p in (folder / "again").rglob("*") if p.is_file()}
    assert len(back) == 2 * 3 + 2
    for name, content in back.items():
        was = folder / "results" / name
        if name.suffix == ".parquet":
            found, before = pd.read_parquet(io.BytesIO(content)), pd.read_parquet(was)
            pd.testing.assert_frame_equal(found, before.drop(columns="logits"))
        else:
            assert was.read_bytes() == content


def test_what_was_restored_is_kept_again_as_it_is(finished, root):
    folder, (run, *_) = finished
    path = folder / "report" / "kept" / run / "predictions.parquet"
    before = path.read_bytes()
    assert "logits" in pd.read_parquet(folder / "results" / run / "predictions.parquet")
    kept.restore(folder / "report" / "kept", run, folder / "results")
    keep_results(root, folder)
    assert path.read_bytes() == before


def test_what_another_report_keeps_can_be_kept_too(finished, root):
    folder, runs = finished
    theirs, own = folder / "report" / "kept", folder / "own"
    words = ["--config-dir", root / "config", "--results", theirs, "--out", own]
    cli.main(["keep", "--scale", "smoke", *map(str, words)])
    assert sorted(json.loads((own / "kept" / kept.PROVENANCE).read_text())["runs"]) == sorted(runs)
    for run in runs:
        kept.restore(own / "kept", run, folder / "again")
        for name in files_of(run):
            if not name.endswith(".parquet"):
                assert (folder / "again" / name).read_bytes() == (folder / "results" / name).read_bytes()


def test_what_the_plan_no_longer_has_is_dropped(finished, root):
    folder, runs = finished
    report = folder / "report"
    path = report / "kept" / kept.PROVENANCE
    listed = json.loads(path.read_text())
    gone = "finetune/0123456789"
    touch(report / "kept", map(kept.kept_name, files_of(gone)))
    path.write_text(json.dumps(listed | {"runs": listed["runs"] | {gone: {}}}))
    keep_results(root, folder)
    assert sorted(json.loads(path.read_text())["runs"]) == sorted(runs)
    assert not list((report / "kept" / gone).glob("*"))


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
        kept.restore(folder / "report" / "kept", run, folder / "again")
    assert not (folder / "again").exists()


def test_the_workflow_runs_what_was_not_kept_and_nothing_else(root, smoke, tmp_path):
    checkout = Checkout(root, tmp_path, "smoke")
    before = checkout.jobs()
    assert before["pretrain"] == sum(len(p.epochs) for p in smoke.pretrainings.values())
    report = tmp_path / "reports" / "smoke"
    runs = all_runs(smoke)
    keep(smoke, report, runs)
    jobs = checkout.jobs()
    assert (
        not {"pretrain", "finetune", "probe", "gradcam", "generate", "extract", "mask_check", "sweep", "describe"}
        & jobs.keys()
    )
    assert jobs["restore"] == before["finetune"] + before["probe"] == len(smoke.finetunings) + len(smoke.probes)
    assert jobs["restore_pretraining"] == before["pretrain"]
    other = next(i for i in smoke.probes if smoke.probes[i].config.initial == "random")
    keep(smoke, report, [run for run in runs if run != f"probe/{other}"])
    jobs = checkout.jobs()
    assert jobs["probe"] == 1
    assert not {"pretrain", "finetune", "gradcam"} & jobs.keys()
    keep(smoke, report, runs, lost=["figures/F2.png"])
    jobs = checkout.jobs()
    assert (jobs["gradcam"], jobs["finetune"]) == (1, 2)  # it looks into their classifiers
    assert jobs["pretrain"] >= 1


def test_a_run_that_is_there_is_not_written_over(root, smoke, tmp_path):
    """Kept files that are newer than one's own results, as after a pull, change nothing."""
    checkout = Checkout(root, tmp_path, "smoke")
    keep(smoke, tmp_path / "reports" / "smoke", all_runs(smoke))
    words = ["--scale", "smoke", "--config-dir", str(tmp_path / "config"), "--results", str(tmp_path / "results")]
    cli.main(["resolve", *words])
    restored = checkout.jobs()["restore"]
    own = f"finetune/{next(iter(smoke.finetunings))}"
    touch(tmp_path / "results", files_of(own))
    later = time.time() + 10
    for path in (tmp_path / "reports" / "smoke" / "kept").rglob("*"):
        os.utime(path, (later, later))
    assert checkout.jobs()["restore"] == restored - 1


def test_the_report_waits_for_restored_pretrainings(root, smoke, tmp_path):
    """Nothing else leads to them: no checkpoint is asked for."""
    checkout = Checkout(root, tmp_path, "smoke")
    keep(smoke, tmp_path / "reports" / "smoke", all_runs(smoke))
    for target in ("README.md", "index.html"):
        jobs = checkout.jobs(f"reports/smoke/{target}")
        assert jobs["restore_pretraining"] == sum(len(p.epochs) for p in smoke.pretrainings.values())
