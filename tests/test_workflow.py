"""The workflow by dry runs: what runs, what an edit changes, and what changes nothing."""

import os
import re
import time

import pytest
from checkouts import Checkout, call_snakemake

from mac import plan
from mac.experiment import merge


@pytest.fixture
def paper(root, tmp_path):
    return Checkout(root, tmp_path, "paper")


@pytest.fixture(scope="module")
def everything_run(root, tmp_path_factory):
    return Checkout(root, tmp_path_factory.mktemp("finished"), "paper").finish()


@pytest.fixture
def finished(everything_run, tmp_path):
    """The paper scale with every job done, as Snakemake itself recorded it."""
    return everything_run.copy(tmp_path)


def test_the_paper_scale_shows_its_jobs(paper):
    jobs = paper.jobs()
    assert jobs["pretrain"] == 24
    assert jobs["finetune"] == 27
    assert jobs["table"] + jobs["curve"] == 10
    assert jobs["learning"] == jobs["page"] == 1
    assert jobs["track"] >= 27
    assert jobs["gradcam"] == 1


def test_a_table_with_columns_of_probes_waits_for_them_and_others_do_not(root, tmp_path):
    smoke = Checkout(root, tmp_path, "smoke")
    assert smoke.jobs("reports/smoke/tables/X3.md")["probe"] == 6
    assert "probe" not in smoke.jobs("reports/smoke/tables/T1.md")


def test_a_number_of_gpus_that_no_batch_can_be_split_over_is_refused(paper):
    text = paper.snakemake("-n", gpus_per_run=3, check=False)
    assert "gpus_per_run: 3 doesn't divide the batch of 32 videos" in text
    assert paper.jobs(gpus_per_run=4)["pretrain"] == 24


@pytest.mark.parametrize("question", ["--unlock", "--summary", "--rulegraph"])
def test_snakemakes_questions_need_no_number_of_cores(paper, question):
    status, text = call_snakemake(paper.folder, question, "--config", "scale=paper")
    assert status == 0, text[-1000:]


@pytest.mark.parametrize("workers", ["some", -1])
def test_wrong_settings_of_the_machine_are_refused_together_with_what_is_allowed(paper, workers):
    text = paper.snakemake("-n", check=False, loader_workers=workers, training_threads=0, training_memory=2.5)
    for setting, least in ((f"loader_workers: found {workers!r}", 0), ("training_threads: found 0", 1),
                           ("training_memory: found 2.5", 1)):  # fmt: skip
        assert f"{setting} — allowed are auto and whole numbers from {least} on" in text


def test_the_cluster_is_asked_for_what_each_training_takes(paper):
    # With a number of cores a dry run shows threads.
    profile = ["--profile", "workflow/profiles/slurm", "--config", "scale=paper"]
    status, text = call_snakemake(paper.folder, "-n", "--cores", "99", *profile)
    assert status == 0, text[-1000:]
    asked = {"pretrain": set(), "finetune": set()}
    for block in re.split(r"^\[.*\]$", text, flags=re.M):
        for rule in asked:
            if re.search(rf"^rule {rule}:", block, re.M):
                asked[rule].add(tuple(int(re.search(name, block)[1]) for name in (r"threads: (\d+)", r"mem_mb=(\d+)")))
    assert {threads for threads, _ in asked["pretrain"]} >= {2, 3}  # SC with one reader, S with two
    for threads, memory in asked["pretrain"] | asked["finetune"]:
        assert 2 <= threads <= 6
        assert 4500 < memory < 12_000


def test_trainings_are_told_of_their_time_limit_whatever_defaults_a_user_names(paper):
    words = ["--profile", "workflow/profiles/slurm", "--config", "scale=paper", "--default-resources", "mem_mb=1000"]
    status, text = call_snakemake(paper.folder, "-n", "--cores", "99", *words)
    assert status == 0, text[-1000:]
    trainings = re.findall(r"^rule (?:pretrain|finetune):$.*?^    resources: (.*?)$", text, re.M | re.S)
    assert len(trainings) >= 40
    assert all("slurm_extra=--signal=TERM@120 --open-mode=append" in asked for asked in trainings)


def test_a_single_table_is_a_target_of_its_own(paper):
    jobs = paper.jobs("reports/paper/tables/T7.md")
    assert (jobs["pretrain"], jobs["finetune"], jobs["table"]) == (3, 3, 1)
    # It waits for its own data and mask checks only, not for those of Kinetics.
    assert jobs["fetch"] == jobs["store"] == 1
    assert jobs["mask_check"] == 3


@pytest.mark.parametrize("written", ["20", "'20'"])  # the second as Snakemake hands it on to a cluster's jobs
def test_a_row_set_on_the_command_line_runs_and_nothing_else(finished, written):
    jobs = finished.jobs(set=f"{{pretrain.mask.threshold: {written}}}")
    assert {rule: jobs[rule] for rule in ("pretrain", "finetune", "mask_check", "table")} == dict.fromkeys(
        ("pretrain", "finetune", "mask_check", "table"), 1
    )
    assert not {"extract", "curve", "gradcam"} & set(jobs)


def test_a_sweep_on_the_command_line_is_a_table_with_a_picture_that_shares_the_runs_there_are(finished):
    text = finished.snakemake("-n", "-p", sweep="{pretrain.pretext.k: [2,3,4,5,6]}")
    made = set(re.findall(r"^(?:local)?rule (\w+):", text, re.M))
    assert made == {"curve", "summary", "learning", "page", "all"}
    assert "reports/paper/tables/S1.png" in text
    (command,) = re.findall("python -m mac report .*--table S1", text)
    assert "--sweep 'pretrain.pretext.k=2, 3, 4, 5, 6'" in command
    text = finished.snakemake("-n", check=False, sweep="{pretrain.pretext.k: [1,2]}")
    assert "command line: pretrain.pretext.k: found 1 — input should be greater than or equal to 2" in text


def test_large_data_sets_are_scanned_and_extracted_in_shards(paper):
    jobs = paper.jobs("data", videos_per_job=2000)
    shards = {"ucf101": 7, "hmdb51": 4, "kinetics400": 130, "minikinetics100": 8}
    assert jobs["scan"] == jobs["extract"] == sum(shards.values())
    assert jobs["detect"] == shards["minikinetics100"]
    assert jobs["fetch"] == jobs["index"] == jobs["store"] == 4
    assert not {"pretrain", "finetune", "weights"} & set(jobs)


def test_nothing_is_left_to_do_when_all_is_done_nor_by_cutting_data_sets_into_other_shards(finished):
    assert finished.jobs() == finished.jobs(videos_per_job=100_000) == {}


def test_a_deleted_result_is_made_again_and_deleted_checkpoints_are_not(finished):
    for path in finished.folder.rglob("*.state.pt"):
        path.unlink()
    assert finished.jobs() == {}
    next(finished.folder.glob("results/finetune/*/metrics.json")).unlink()
    jobs = finished.jobs()
    assert jobs["finetune"] == 1
    assert "pretrain" not in jobs


def test_deleted_classifiers_are_made_again_only_where_the_figures_need_them(finished):
    classifiers = list(finished.folder.glob("results/finetune/*/classifier.safetensors"))
    assert len(classifiers) == 27
    for path in classifiers:
        path.unlink()
    assert finished.jobs() == {}
    figures = finished.folder / "reports/paper/figures"
    (figures / "F3.png").unlink()
    jobs = finished.jobs()
    assert (jobs["finetune"], jobs["gradcam"]) == (2, 1)
    assert "pretrain" not in jobs
    (figures / "F3.png").touch()
    (figures / "gradcam.json").unlink()
    for path in finished.folder.glob("results/pretrain/*/epoch_*.safetensors"):
        path.unlink()
    jobs = finished.jobs()
    assert (jobs["finetune"], jobs["gradcam"]) == (2, 1)
    assert jobs["pretrain"] == 1  # MAC's finetuning starts from it; the other from published weights


def test_claims_about_the_figures_wait_for_them(finished):
    claims, table, other = (f"reports/paper/{name}.md" for name in ("claims", "tables/F2-F4", "tables/T8"))
    for name in (claims, table, other, "reports/paper/figures/gradcam.json"):
        (finished.folder / name).unlink()
    assert finished.jobs(other) == {"table": 1}
    assert finished.jobs(claims) == {"gradcam": 1, "summary": 1}
    assert finished.jobs(table) == {"gradcam": 1, "table": 1}
    finished.edit("tables.yaml", lambda tables: tables["F2-F4"]["claims"].pop())
    assert finished.jobs(claims) == {"summary": 1}
    assert finished.jobs(table) == {"table": 1}


def test_figures_are_drawn_anew_when_their_results_change_and_only_where_both_models_are_planned(finished):
    pair = plan.load(finished.folder / "config", "paper").gradcam_pair
    for path in finished.folder.glob("results/finetune/*/predictions.parquet"):
        if path.parent.name not in pair:
            path.write_text("others")
    assert "gradcam" not in finished.jobs()
    (finished.folder / "results" / "finetune" / pair[0] / "predictions.parquet").write_text("others")
    assert finished.jobs()["gradcam"] == 1
    finished.edit("tables.yaml", lambda tables: tables.pop("F2-F4"))
    assert "gradcam" not in finished.jobs()


def test_another_number_of_rows_draws_the_figures_anew_and_trains_nothing(finished):
    before = plan.load(finished.folder / "config", "paper")
    finished.edit("default.yaml", lambda tree: tree["figures"].update(rows=9))
    jobs = finished.jobs()
    assert jobs["gradcam"] == 1
    assert not {"pretrain", "finetune", "mask_check"} & jobs.keys()
    assert " --rows 9 " in finished.snakemake("-n", "-p")
    assert plan.load(finished.folder / "config", "paper").finetunings.keys() == before.finetunings.keys()


def test_a_new_row_runs_that_row_only(finished):
    def change(tables):
        tables["T8"]["rows"].append({"label": "λ = 90", "printed": [None], "set": {"pretrain.mask.threshold": 90.0}})

    finished.edit("tables.yaml", change)
    jobs = finished.jobs()
    assert [jobs[name] for name in ("pretrain", "finetune", "mask_check", "table")] == [1, 1, 1, 1]
    assert not {"curve", "scan", "index", "extract", "store"} & jobs.keys()


def test_a_renamed_label_rebuilds_one_table(finished):
    def change(tables):
        tables["T7"]["rows"][0]["label"] = "m = .1"

    finished.edit("tables.yaml", change)
    assert finished.jobs() == {"table": 1, "learning": 1, "summary": 1, "page": 1}


def test_an_added_checkpoint_epoch_trains_only_what_is_missing(finished):
    def change(tables):
        tables["F1"]["curve"]["epochs"] = [0, 5, 15, 30, 50, 80]
        tables["F1"]["curve"]["printed"] = [None] * 6

    finished.edit("tables.yaml", change)
    jobs = finished.jobs()
    assert (jobs["pretrain"], jobs["finetune"], jobs["curve"]) == (1, 1, 1)


def test_touched_files_and_edited_comments_retrain_nothing(finished):
    folder = finished.folder
    for path in [*folder.rglob("*.smk"), *folder.glob("config/**/*.yaml"), folder / "Snakefile"]:
        path.write_text("# a comment\n" + path.read_text())
    for name in ("config.yaml", "store.json", "index.parquet", "check.json"):
        for path in folder.rglob(name):
            path.touch()
    assert not {"pretrain", "finetune"} & finished.jobs().keys()


def test_an_edited_rule_retrains_nothing(finished):
    for path in finished.folder.rglob("*.smk"):
        path.write_text(path.read_text().replace("python -m mac", "python  -m mac"))
    assert finished.jobs() == {}


def test_a_fresh_checkout_over_old_results_retrains_nothing(finished):
    moment = time.time()
    for path in finished.folder.rglob("*"):
        if path.is_file() and "results" not in path.parts and "reports" not in path.parts:
            os.utime(path, (moment, moment))
    assert finished.jobs() == {}


def test_a_changed_mask_limit_checks_again_but_retrains_nothing(finished):
    finished.edit("default.yaml", lambda tree: tree["mask_limits"].update(min_foreground=0.002))
    jobs = finished.jobs()
    assert jobs["mask_check"] == 9
    assert not {"pretrain", "finetune"} & jobs.keys()


def test_scales_share_results_without_colliding(root):
    plans = [plan.load(root / "config", scale) for scale in ("paper", "demo", "smoke")]
    for i, a in enumerate(plans):
        for b in plans[i + 1 :]:
            assert not a.finetunings.keys() & b.finetunings.keys()


def test_a_bad_configuration_stops_before_anything(paper):
    paper.edit("scales/paper.yaml", lambda tree: tree.update(merge(tree, {"pretrain": {"mask": {"treshold": 3}}})))
    text = paper.snakemake("-n", check=False)
    assert "pretrain.mask.treshold: unknown key — did you mean 'threshold'?" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("tracking_uri", "http://127.0.0.1:9", "http://127.0.0.1:9: MLflow can't be used there"),
        ("results", "occupied/results", "occupied/results: can't be written, occupied is a file; change `results`"),
    ],
)
def test_what_can_not_be_used_stops_before_work_starts(root, tmp_path, setting, value, message):
    smoke = Checkout(root, tmp_path, "smoke")
    (tmp_path / "occupied").write_text("a file, not a folder")
    smoke.edit("config.yaml", lambda tree: tree.update({setting: value}))
    text = smoke.snakemake(check=False)
    assert message in text
    assert "Traceback" not in text
    assert not list((tmp_path / "results").rglob("config.yaml"))
