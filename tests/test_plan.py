"""The plan of each scale: counts, sharing, and what an edit changes."""

import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from mac import plan
from mac.experiment import merge
from mac.methods import method_of
from mac.validation import read_yaml


def edit(path, change):
    tree = read_yaml(path)
    change(tree)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


def override(folder, scale, tree):
    path = folder / "scales" / f"{scale}.yaml"
    path.write_text(yaml.safe_dump(merge(read_yaml(path), tree), allow_unicode=True))


def counts(planned):
    segments = sum(len(p.epochs) for p in planned.pretrainings.values())
    return len(planned.pretrainings), segments, len(planned.finetunings)


@pytest.mark.parametrize(("scale", "expected"), [("paper", (21, 24, 27)), ("demo", (22, 25, 27))])
def test_a_scale_trains_what_the_supplementary_needs_and_no_more(root, scale, expected):
    assert counts(plan.load(root / "config", scale)) == expected


def test_ucf101_alone_has_the_papers_runs_that_need_no_other_videos(root):
    whole, alone = (plan.load(root / "config", scale) for scale in ("paper", "paper-ucf101"))
    assert {dataset.name for dataset in alone.datasets.values()} == {"ucf101"}
    needed = {i for i, run in whole.finetunings.items() if uses_ucf101_only(whole, run.config)}
    assert needed - alone.finetunings.keys() == {
        i for i in needed if whole.finetunings[i].used_by == ["F1: random init"]
    }
    assert alone.finetunings.keys() <= needed
    assert alone.pretrainings.keys() <= whole.pretrainings.keys()


def uses_ucf101_only(planned, config):
    start = planned.pretrainings.get(config.pretrain_id)
    return {c.store.dataset.name for c in (config, *([start.config] if start else []))} == {"ucf101"}


def test_draws_of_labels_repeat_the_cells_that_learn_from_few(folder):
    """Every seed is finetuned on each draw; cells with all labels, probes and ids of what was planned stay."""
    few = {"finetune.videos_per_class": 10, "seeds": [1, 2]}
    columns = [{"label": "all"}, {"label": "ten", "set": few}, {"label": "probe", "measure": "probe", "set": few}]
    probe = {"penalties": [1.0], "folds": 2}
    override(folder, "demo", {"finetune": {"videos_per_class": None}, "probe": probe})
    override(folder, "demo", {"tables": {"X3": {"columns": columns, "only": ["MAC-S-2"]}}})
    before = plan.load(folder, "demo")
    override(folder, "demo", {"label_draws": [1, 2, 3]})
    after = plan.load(folder, "demo")
    (row,) = after.tables["X3"].rows
    (old,) = before.tables["X3"].rows
    assert [len(cell.runs) for cell in row.cells] == [1, 6, 2]
    assert [row.cells[n].runs for n in (0, 2)] == [old.cells[n].runs for n in (0, 2)]
    configs = [after.finetunings[i].config for i in row.cells[1].runs]
    assert [(c.seed, c.label_draw) for c in configs] == [(s, d) for s in (1, 2) for d in (1, 2, 3)]
    assert len({c.pretrain_id for c in configs}) == 2
    assert after.pretrainings.keys() == before.pretrainings.keys()


def test_a_supervised_pretraining_stands_in_where_there_are_no_weights(folder):
    override(folder, "paper", {"supervised_baseline": "pretrain"})
    planned = plan.load(folder, "paper")
    assert counts(planned) == (22, 25, 27)
    (stand_in,) = (p.config for p in planned.pretrainings.values() if p.config.task == "supervised")
    assert (stand_in.store.dataset.name, stand_in.optimiser.epochs) == ("kinetics400", 90)


def test_smoke_stays_small(root):
    assert counts(plan.load(root / "config", "smoke"))[0] <= 13


def test_the_default_row_is_trained_once_and_serves_five_tables(root):
    planned = plan.load(root / "config", "paper")
    shared = [p.used_by for p in planned.pretrainings.values() if len(p.used_by) > 1 and "F1" not in p.used_by[0]]
    assert [[use.split(":")[0] for use in uses] for uses in shared] == [["T4", "T5", "T6", "T7", "T8"]]


def test_there_are_24_rows_of_our_own(root):
    planned = plan.load(root / "config", "paper")
    rows = [row for name, t in planned.tables.items() if name.startswith("T") for row in t.rows if not row.cited]
    assert len(rows) == 24
    printed = {cell.printed for row in rows for cell in row.cells}
    assert {84.6, 53.2, 76.6, 82.5, 83.5, 82.0, 78.0, 87.8, 81.5, 84.8, 83.4, 81.1} <= printed


def test_the_kinetics_pretraining_is_a_chain(root):
    planned = plan.load(root / "config", "paper")
    (pretrain_id,) = (i for i, p in planned.pretrainings.items() if len(p.epochs) > 1)
    chain = planned.pretrainings[pretrain_id]
    assert chain.epochs == {5, 15, 30, 80}
    assert chain.config.optimiser.epochs == 90


def test_paper_rows_hold_the_papers_recipe(root):
    planned = plan.load(root / "config", "paper")
    row = {r.label: r for t in planned.tables.values() for r in t.rows}["MAC-SC-4, R3D-18"]
    config = planned.pretrainings[planned.finetunings[row.cells[0].runs[0]].config.pretrain_id].config
    assert (config.pretext.k, config.pretext.segments, config.clip.strides) == (4, 4, [1, 2, 3])
    assert (config.optimiser.lr, config.optimiser.milestones, config.contrast.queue) == (0.01, [100, 200], 65536)


def test_seeds_and_splits_multiply_a_row_and_share_its_cell(folder):
    override(folder, "paper", {"seeds": [1, 2, 3], "splits": [1, 2]})
    planned = plan.load(folder, "paper")
    cell = planned.tables["T8"].rows[0].cells[0]
    assert len(cell.runs) == 6
    configs = [planned.finetunings[i].config for i in cell.runs]
    assert {(c.seed, c.split) for c in configs} == {(s, p) for s in (1, 2, 3) for p in (1, 2)}
    assert len({c.pretrain_id for c in configs}) == 6
    kinetics = [p.config for p in planned.pretrainings.values() if p.config.store.dataset.name == "kinetics400"]
    assert {c.split for c in kinetics} == {1}
    assert len(kinetics) == 3


def cells_of_both(one, more):
    """Configurations of each cell that is trained at both scales, and the cell's id at the first scale."""
    for name, table in more.tables.items():
        for row, other in zip(table.rows, one.tables[name].rows, strict=True):
            for cell, single in zip(row.cells, other.cells, strict=True):
                if not row.cited:
                    (first,) = single.runs
                    assert cell.runs[0] == first
                    yield [more.finetunings[i].config for i in cell.runs]


def test_three_seeds_train_every_row_three_times_and_share_the_first_with_the_paper_scale(root):
    one, more = (plan.load(root / "config", scale) for scale in ("paper", "paper-3-seeds"))
    for configs in cells_of_both(one, more):
        assert [config.seed for config in configs] == [1, 2, 3]
        starts = [more.pretrainings[c.pretrain_id].config.seed for c in configs if c.initial == "pretrained"]
        assert starts in ([1, 2, 3], [])
    for runs, known in ((more.pretrainings, one.pretrainings), (more.finetunings, one.finetunings)):
        assert {run.config.seed for i, run in runs.items() if i in known} == {1}
        assert {run.config.seed for i, run in runs.items() if i not in known} == {2, 3}


def test_three_splits_pretrain_on_ucf101_without_each_splits_test_videos_and_on_kinetics_once(root):
    one, more = (plan.load(root / "config", scale) for scale in ("paper", "paper-3-splits"))
    for configs in cells_of_both(one, more):
        assert [(config.seed, config.split) for config in configs] == [(1, 1), (1, 2), (1, 3)]
        starts = [more.pretrainings[c.pretrain_id].config for c in configs if c.initial == "pretrained"]
        ucf101 = [start.split for start in starts if start.store.dataset.name == "ucf101"]
        assert ucf101 in ([1, 2, 3], [])
        assert len({start.identify() for start in starts}) == (3 if ucf101 else bool(starts))
    for runs, known in ((more.pretrainings, one.pretrainings), (more.finetunings, one.finetunings)):
        assert {run.config.split for i, run in runs.items() if i in known} == {1}
        assert {run.config.split for i, run in runs.items() if i not in known} == {2, 3}


METHODS = {
    "random init": None,
    "Contrast alone": "momentum contrast without masks",
    "Background erasing": "background erasing",
    "Clip order": "clip order",
    "Video cloze": "video cloze",
    "Pace prediction": "pace prediction",
    "Pace prediction on MAC's clips": "pace prediction on MAC's clips",
    "MAC-S-2": "MAC-S-2",
    "MAC-SC-2": "MAC-SC-2",
    "Supervised": "supervised pretraining on labels",
}


def test_rivals_are_trained_three_times_each_under_one_recipe(root):
    planned, found, recipes = plan.load(root / "config", "ucf101-21"), {}, set()
    for row in planned.tables["X3"].rows:
        configs = [[planned.tested[i].config for i in cell.runs] for cell in row.cells]
        assert all([config.seed for config in cell] == [1, 2, 3] for cell in configs)
        assert len({tuple(config.pretrain_id for config in cell) for cell in configs}) == 1  # all of the same weights
        starts = [planned.pretrainings[config.pretrain_id].config for config in configs[0] if config.pretrain_id]
        (found[row.label],) = {start.method for start in starts} or {None}
        recipes |= {
            repr((start.optimiser, start.model, start.colour, start.store, start.clip.size)) for start in starts
        }
    assert found == METHODS
    assert len(recipes) == 1


def test_a_column_of_probes_plans_the_probes_of_a_rows_weights_and_no_finetuning(folder):
    """Where only a probe is of a data set, that is indexed and stored as well."""
    before = plan.load(folder, "paper")
    probe = {"probe": {"penalties": [1.0], "folds": 5}}

    def change(tables):
        for row in tables["T8"]["rows"]:
            row["printed"] *= 3
        tables["T8"]["columns"] += [
            {"label": "probe", "measure": "probe", "set": probe},
            {"label": "nearest", "measure": "recall@1", "set": probe | {"finetune.dataset": "kinetics400"}},
        ]

    edit(folder / "tables.yaml", change)
    override(folder, "paper", {"tables": {"T1": None, "F1": None, "F2-F4": None}})
    after = plan.load(folder, "paper")
    assert after.finetunings.keys() < before.finetunings.keys()
    assert after.pretrainings.keys() < before.pretrainings.keys()
    assert {run.config.store.dataset.name for run in after.probes.values()} == {"ucf101", "kinetics400"}
    assert len(after.probes) == 6
    assert "kinetics400" in {dataset.name for dataset in after.datasets.values()}
    for row in after.tables["T8"].rows:
        finetuned, probed, nearest = ([after.tested[i].config for i in cell.runs] for cell in row.cells)
        assert len({(c.pretrain_id, c.epoch) for c in [*finetuned, *probed, *nearest]}) == 1
    assert (set(after.tables["T8"].finetunes) | set(after.tables["T8"].probes)) <= after.tested.keys()
    assert len(after.tables["T8"].probes) == 6


def test_probe_and_recall_of_the_same_weights_are_one_run(root):
    planned = plan.load(root / "config", "smoke")
    for row in planned.tables["X3"].rows:
        finetuned, _, probed, nearest = row.cells
        assert probed.runs == nearest.runs == (planned.finetunings[finetuned.runs[0]].probe,)
        assert planned.probes[probed.runs[0]].used_by.count(f"X3: {row.label}") == 1


def test_a_scale_takes_a_table_of_other_scales_by_naming_it(folder):
    before = plan.load(folder, "paper")
    assert "X3" not in before.tables
    override(folder, "paper", {"tables": {"X3": {}}})
    after = plan.load(folder, "paper")
    assert list(after.tables) == [*before.tables, "X3"]
    assert before.pretrainings.keys() < after.pretrainings.keys()
    assert before.finetunings.keys() < after.finetunings.keys()
    assert len(after.probes) == 30


def test_the_rivals_page_says_how_to_switch_the_table_on_and_which_videos_are_too_short(folder, root):
    text = (root / "docs" / "rivals.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```yaml\n# config/scales/(\w+).yaml\n(.*?)```", text, re.DOTALL))
    override(folder, "paper", yaml.safe_load(blocks["paper"]))
    assert counts(plan.load(folder, "paper"))[::2] == (21 + 25, 27 + 57)
    starts = [p.config for p in plan.load(folder, "ucf101-21").pretrainings.values() if p.config.clip.strides == [1]]
    shortest = sorted({method_of(config).shortest for config in starts if config.task != "mac"})
    lengths = pd.read_csv(folder / "subsets" / "ucf101-21.csv")["num_frames"]
    facts = [f"{len(lengths):,} videos of `ucf101-21`", *(f"{frames}" for frames in shortest)]
    facts += [" and ".join(str((lengths < frames).sum()) for frames in shortest)]
    assert shortest == [64, 88]
    assert all(fact in text for fact in facts)


def test_a_scale_with_kept_results_has_no_row_that_was_never_run(root):
    for kept in (root / "reports").glob("*/kept"):
        planned = plan.load(root / "config", kept.parent.name)
        runs = [f"finetune/{i}" for i in planned.finetunings] + [f"probe/{i}" for i in planned.probes]
        assert not [run for run in runs if not (kept / run).is_dir()]


NEW_ROW = {"label": "λ = 90", "printed": [None], "set": {"pretrain.mask.threshold": 90.0}}
NEW_TABLE = {
    "title": "Temperature",
    "columns": [{"label": "UCF101"}],
    "rows": [{"label": "τ = .07", "printed": [None], "set": {"pretrain.contrast.temperature": 0.07}}],
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tables: tables["T8"]["rows"].append(NEW_ROW), (22, 25, 28)),
        (lambda tables: tables.update(T9=NEW_TABLE), (22, 25, 28)),
        (lambda tables: tables["T8"]["rows"][0]["set"].update(seeds=[1, 2, 3]), (23, 26, 29)),
    ],
    ids=["a row", "a table", "seeds of one row"],
)
def test_what_is_added_is_trained_and_nothing_else_changes(folder, change, expected):
    before = plan.load(folder, "paper")
    edit(folder / "tables.yaml", change)
    after = plan.load(folder, "paper")
    assert counts(after) == expected
    assert before.pretrainings.keys() < after.pretrainings.keys()
    assert before.finetunings.keys() < after.finetunings.keys()


def test_titles_labels_printed_numbers_and_checkpoints_are_no_part_of_an_id(folder):
    before = plan.load(folder, "paper")

    def change(tables):
        tables["T8"]["title"] = "Renamed"
        tables["T8"]["rows"][0]["label"] = "lambda 10"
        tables["T8"]["rows"][0]["printed"] = [1.0]
        tables["F1"]["curve"]["epochs"] = [0, 5, 15, 30, 50, 80]
        tables["F1"]["curve"]["printed"].append(None)

    edit(folder / "tables.yaml", change)
    after = plan.load(folder, "paper")
    assert before.pretrainings.keys() == after.pretrainings.keys()
    assert before.finetunings.keys() < after.finetunings.keys()


def test_planning_imports_no_torch(root):
    code = (
        "import sys, pkgutil, mac.plan, mac.report, mac.costs.machine, mac.costs.estimate, pathlib\n"
        "mac.plan.load(pathlib.Path('config'), 'smoke')\n"  # methods and backbones are read, too
        "for module in pkgutil.iter_modules(mac.report.__path__, 'mac.report.'): __import__(module.name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("scale", ["paper", "demo", "smoke", "ucf101-21"])
def test_figures_compare_the_default_row_with_the_supervised_model(root, scale):
    planned = plan.load(root / "config", scale)
    ours, supervised = (planned.finetunings[i] for i in planned.gradcam_pair)
    assert "T4: Cross-entropy" in ours.used_by
    assert supervised.used_by[0] == "F2-F4: Supervised pretraining"
    assert planned.pretrainings[ours.config.pretrain_id].config.task == "mac"


def test_there_is_no_pair_to_compare_where_one_of_the_two_is_not_planned(folder):
    before = plan.load(folder, "paper").gradcam_pair
    edit(folder / "tables.yaml", lambda tables: tables["T4"]["rows"][2].update(label="Renamed"))
    for name in ("T4", "F2-F4"):
        edit(folder / "tables.yaml", lambda tables, name=name: tables[name].pop("claims"))
    assert plan.load(folder, "paper").gradcam_pair == before
    override(folder, "paper", {"tables": {"F2-F4": None}})
    assert plan.load(folder, "paper").gradcam_pair is None
    override(folder, "smoke", {"tables": {"T4": None}})
    assert plan.load(folder, "smoke").gradcam_pair is None


def test_several_seeds_compare_the_first_of_each(folder):
    before = plan.load(folder, "paper").gradcam_pair
    override(folder, "paper", {"seeds": [1, 2]})
    assert plan.load(folder, "paper").gradcam_pair == before
