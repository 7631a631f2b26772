"""The whole workflow for real, at smoke scale: one row per code path on tiny synthetic data."""

import html
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from checkouts import call_snakemake

from benchmarks.copies import check_out
from mac import plan
from mac.cli import main
from mac.runtime import packages
from mac.tracking import journal, replay, store
from mac.validation import read_yaml

WORDS = ["--cores", str(os.cpu_count()), "--resources", "gpu=4", "--config", "scale=smoke"]


@pytest.fixture(scope="module")
def smoke(request, tmp_path_factory):
    """A folder in which the smoke scale has run."""
    folder = tmp_path_factory.mktemp("smoke")
    check_out(request.config.rootpath, folder)
    run = subprocess.run(["snakemake", *WORDS], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def planned(smoke):
    return plan.load(smoke / "config", "smoke")


def test_every_planned_run_left_its_results(smoke, planned):
    for finetune_id in planned.finetunings:
        folder = smoke / "results" / "finetune" / finetune_id
        metrics = json.loads((folder / "metrics.json").read_text())
        predictions = pd.read_parquet(folder / "predictions.parquet")
        correct = int((predictions["label"] == predictions["predicted"]).sum())
        assert metrics["top1"] == pytest.approx(100 * correct / len(predictions))
        assert journal.read(folder / "journal.jsonl")[-1]["event"] == "end"
    for probe_id in planned.probes:
        folder = smoke / "results" / "probe" / probe_id
        metrics = json.loads((folder / "metrics.json").read_text())
        predictions = pd.read_parquet(folder / "predictions.parquet")
        near = 100 * (predictions["first_match"] <= 5).mean()
        assert metrics["recall"]["5"] == pytest.approx(near)
    for pretrain_id, pretraining in planned.pretrainings.items():
        for epoch in pretraining.epochs:
            assert (smoke / "results" / "pretrain" / pretrain_id / f"epoch_{epoch}.safetensors").exists()


def test_every_table_and_the_curve_are_there_and_full(smoke, planned):
    reports = smoke / "reports" / "smoke"
    for name in planned.tables:
        assert "pending" not in (reports / "tables" / f"{name}.md").read_text()
        table = pd.read_csv(reports / "tables" / f"{name}.csv")
        assert table.loc[~table["cited"], "measured"].notna().all()
    for picture in ("tables/F1.png", "figures/mask_sweep.png"):
        assert (reports / picture).stat().st_size > 1000
    assert not list(reports.rglob("*.svg"))
    summary = (reports / "README.md").read_text()
    assert "pending" not in summary
    assert "22 of 22 finetunings done" in summary


def test_the_figures_compare_the_default_model_with_the_supervised_one(smoke, planned):
    folder = smoke / "reports" / "smoke" / "figures"
    found = json.loads((folder / "gradcam.json").read_text())
    ids = [model["finetune_id"] for model in found["models"]]
    assert "T4: Cross-entropy" in planned.finetunings[ids[0]].used_by
    assert planned.finetunings[ids[1]].used_by == ["F2-F4: Supervised pretraining"]
    assert "stand-in" in found["models"][1]["name"]
    wrong = []
    for finetune_id, model in zip(ids, found["models"], strict=True):
        predictions = pd.read_parquet(smoke / "results" / "finetune" / finetune_id / "predictions.parquet")
        wrong.append((predictions["label"] != predictions["predicted"]).to_numpy())
        assert model["right"] == (~wrong[-1]).sum()
    sizes = [int((~wrong[0] & wrong[1]).sum()), int((wrong[0] & ~wrong[1]).sum()), int((wrong[0] & wrong[1]).sum())]
    assert [figure["size"] for figure in found["figures"].values()] == sizes
    for name in [name for figure in found["figures"].values() for name in figure["files"]]:
        assert (folder / name).stat().st_size > 1000
    inside = [100 * np.mean(own) for own in found["overlap"]["each"]["share_inside"]]
    shown = f"lies {inside[0]:.1f} % of the mass of T4: Cross-entropy's maps against {inside[1]:.1f} %"
    for page in ("claims.md", "tables/F2-F4.md", "index.html"):
        assert shown in html.unescape((folder.parent / page).read_text()), page
    judged = r"\| F2-F4 \| MAC looks at what moves [^|]*\| (holds|undecided|contradicted) \|"
    assert re.search(judged, (folder.parent / "README.md").read_text())


def test_every_run_is_in_mlflow_under_its_parent(smoke, planned):
    client = store.connect(f"sqlite:///{smoke}/results/mlflow.db")
    runs = {run.data.tags[store.ID]: run for run in store.find(client, "")}
    tested = planned.finetunings | planned.probes
    assert runs.keys() == planned.pretrainings.keys() | tested.keys()
    for run_id, planned_run in tested.items():
        run, parent = runs[run_id], planned_run.config.pretrain_id
        assert run.info.status == "FINISHED"
        assert run.data.tags.get(replay.PARENT) == (runs[parent].info.run_id if parent else None)
        assert run.data.tags["scale"] == "smoke"
        assert run.data.tags["arithmetic"] == "fp32"
        assert run.data.tags["lock"] == packages.describe()
        assert run.data.tags["rows"] == "; ".join(planned_run.used_by)
        assert run.data.params["evaluate.num_clips"] == str(planned_run.config.evaluate.num_clips)
        files = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        results = {"config.yaml", "journal.jsonl", "metrics.json", "predictions.parquet"}
        assert files == results | {"confusion_matrix.png"}
        run = client.get_run(run.info.run_id)  # a search leaves models out
        (dataset,) = run.inputs.dataset_inputs
        expected = planned_run.config.store.dataset.name, run.data.tags["index_digest"]
        assert (dataset.dataset.name, dataset.dataset.digest) == expected
        assert len(run.inputs.model_inputs) == (1 if parent else 0)
    for pretrain_id, pretraining in planned.pretrainings.items():
        history = client.get_metric_history(runs[pretrain_id].info.run_id, "loss")
        assert [point.step for point in history] == list(range(1, max(pretraining.epochs) + 1))
        models = runs[pretrain_id].outputs.model_outputs
        assert {model.step for model in models} == pretraining.epochs
        assert len(models) == len(pretraining.epochs)
        pictures = {a.path for a in client.list_artifacts(runs[pretrain_id].info.run_id)} & {"check.png"}
        assert bool(pictures) == pretraining.config.needs_mask


def test_the_report_from_mlflow_alone_is_the_same_bytes(smoke, planned, tmp_path, monkeypatch):
    monkeypatch.chdir(smoke)
    runs_page = read_yaml(smoke / "config" / "config.yaml")["runs_page"]
    words = ["--scale", "smoke", "--from-mlflow", f"sqlite:///{smoke}/results/mlflow.db", "--runs-page", runs_page]
    (tmp_path / "figures").mkdir()
    shutil.copy(smoke / "reports/smoke/figures/gradcam.json", tmp_path / "figures")  # not recorded in MLflow
    main(["report", *words, "--out", str(tmp_path)])
    names = ["README.md", *(f"tables/{name}.{ending}" for name in planned.tables for ending in ("md", "csv"))]
    for name in [*names, "claims.md", "tables/F1.png"]:
        assert (tmp_path / name).read_bytes() == (smoke / "reports" / "smoke" / name).read_bytes(), name


def test_a_second_call_does_nothing(smoke):
    status, text = call_snakemake(smoke, *WORDS)
    assert status == 0, text
    assert "Nothing to be done" in text


def test_a_deleted_result_is_made_again_bit_for_bit(smoke, planned):
    finetune_id = next(i for i, f in planned.finetunings.items() if f.config.initial == "random")
    folder = smoke / "results" / "finetune" / finetune_id
    before = pd.read_parquet(folder / "predictions.parquet")
    shutil.copytree(folder, smoke / "kept")
    for name in ("predictions.parquet", "metrics.json", "journal.jsonl"):
        (folder / name).unlink()
    status, text = call_snakemake(smoke, *WORDS, "--", f"results/finetune/{finetune_id}/metrics.json")
    assert status == 0, text
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), before)
    shutil.rmtree(folder)
    shutil.move(smoke / "kept", folder)  # other tests read what the report was made of


def test_a_degenerate_mask_stops_before_any_training(smoke, tmp_path):
    check_out(smoke, tmp_path, "data")
    scale = tmp_path / "config" / "scales" / "smoke.yaml"
    scale.write_text(scale.read_text().replace("\npretrain:\n", "\npretrain:\n  mask: {threshold: 255.0}\n"))
    status, text = call_snakemake(tmp_path, *WORDS, "--", "reports/smoke/tables/T4.md")
    assert status != 0
    assert "λ = 255 (paper) on ucf101" in text
    assert "0.00% of the pixels are foreground, allowed are 0.01% to 90.00%" in text
    assert "T4: Cross-entropy" in text
    assert not list((tmp_path / "results").rglob("*.safetensors"))


def history(uri):
    """A store's content, MLflow's own run ids aside."""
    client = store.connect(uri)
    runs = {run.info.run_id: run for run in store.find(client, "")}
    ids = {own: run.data.tags[store.ID] for own, run in runs.items()}
    content = {}
    for own, run in runs.items():
        points = {name: [(m.step, m.value) for m in client.get_metric_history(own, name)] for name in run.data.metrics}
        tags = {name: value for name, value in run.data.tags.items() if name.startswith("mac.")}
        files = sorted(artifact.path for artifact in client.list_artifacts(own))
        parent = ids.get(run.data.tags.get(replay.PARENT))
        data = [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs]
        whole = client.get_run(own)  # a search leaves models out
        models = sorted(model.step for model in whole.outputs.model_outputs), len(whole.inputs.model_inputs)
        content[ids[own]] = (run.info.status, run.data.params, points, tags, parent, files, data, models)
    return content


def test_a_lost_store_is_made_again_from_the_journals_and_a_second_sync_changes_nothing(
    smoke, planned, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(smoke)
    uri = f"sqlite:///{tmp_path}/again.db"
    runs = len(planned.pretrainings) + len(planned.finetunings) + len(planned.probes)
    for counts in (f"{runs} runs recorded, 0 there already, 0", f"0 runs recorded, {runs} there already, 0"):
        main(["track", "sync", "--scale", "smoke", "--results", "results", "--tracking-uri", uri])
        assert counts in capsys.readouterr().out
        assert history(uri) == history(f"sqlite:///{smoke}/results/mlflow.db")


def test_training_processes_import_neither_mlflow_nor_snakemake(root):
    modules = "mac.cli, mac.stages.pretrain, mac.stages.finetune, mac.stages.probe"
    code = f"import sys, {modules}; sys.exit(any(m in sys.modules for m in ('mlflow', 'snakemake')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
