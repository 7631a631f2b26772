"""Tables, curve and summary from made-up results."""

import csv
import io
import json
import shutil

import pytest
import yaml
from scipy.stats import binomtest

from mac import plan
from mac.report import figures
from mac.report.results import MixedDataError, Results, from_folder, from_mapping
from mac.report.statistics import wilson
from mac.report.summary import data_note, summary
from mac.report.tables import comma_separated, markdown


@pytest.fixture(scope="module")
def demo(request):
    return plan.load(request.config.rootpath / "config", "demo")


def metrics(planned, finetune_id, top1, videos=400):
    config = planned.finetunings[finetune_id].config
    return {
        "top1": top1, "correct": round(top1 / 100 * videos), "videos": videos,
        "seed": config.seed, "split": config.split,
        "device": "CPU (test)", "commit": "abc", "torch": "2", "index_digest": config.store.dataset.identify(),
    }  # fmt: skip


def results(planned, tops=None, digests=None):
    tops = tops if tops is not None else {i: 50.0 + n for n, i in enumerate(planned.finetunings)}
    content = {f"finetune/{i}/metrics.json": metrics(planned, i, top) for i, top in tops.items()}
    for key, digest in (digests or {}).items():
        content[f"finetune/{key}/metrics.json"]["index_digest"] = digest
    return Results(planned, from_mapping(content))


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (5, 10), (10, 10), (3208, 3783), (1, 531)])
def test_wilson_agrees_with_scipy(correct, total):
    reference = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert wilson(correct, total) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_a_finished_table_shows_measured_beside_printed(demo):
    text = markdown(demo.tables["T8"], results(demo), data_note(demo))
    rows = [line for line in text.splitlines() if line.startswith("| λ") and "is best" not in line]
    assert len(rows) == 3
    top = 50.0 + list(demo.finetunings).index(demo.tables["T8"].rows[0].cells[0].finetunes[0])
    low, high = (100 * limit for limit in wilson(4 * top, 400))
    run = demo.tables["T8"].rows[0].cells[0].finetunes[0]
    assert rows[0] == f"| λ = 10 | **{top:.1f}** [{low:.1f}, {high:.1f}] | 81.1 | `{run}` |"
    for fact in ("scale demo", "seeds 1", "device CPU (test)", "commit abc", "ucf101", "not comparable"):
        assert fact in text


def test_cited_methods_are_marked_and_have_no_measurement(demo):
    text = markdown(demo.tables["T1"], results(demo), "")
    assert "| PacePred (cited) | – | 66.3 | – | 32.2 | – |" in text


def test_every_cell_links_to_its_runs_by_our_id(demo):
    linked = Results(demo, from_mapping({}), "http://127.0.0.1:5000/#/experiments/1/runs")
    for row in demo.tables["T1"].rows:
        line = next(line for line in markdown(demo.tables["T1"], linked, "").splitlines() if row.label in line)
        for run in [run for cell in row.cells for run in cell.finetunes]:
            address = f"http://127.0.0.1:5000/#/experiments/1/runs?searchFilter=tags.%60mac.id%60%20%3D%20%27{run}%27"
            assert f"[`{run}`]({address})" in line


def test_open_cells_are_pending(demo):
    text = summary(demo, results(demo, tops={}))
    assert "| λ = 10 | pending | 81.1 |" in text
    assert "| k = 4 is best | pending |" in text
    assert text.count("pending") > 25


def test_claims_compare_what_was_measured(demo):
    t8 = demo.tables["T8"]
    ids = [row.cells[0].finetunes[0] for row in t8.rows]
    right = results(demo, tops=dict(zip(ids, (60.0, 65.0, 64.0), strict=True)))
    wrong = results(demo, tops=dict(zip(ids, (66.0, 65.0, 64.0), strict=True)))
    assert "| λ = 30 is best | yes (+1.0 points) |" in markdown(t8, right, "")
    assert "| λ = 30 is best | no (-1.0 points) |" in markdown(t8, wrong, "")


def test_embedded_data_are_not_compared_with_cited_numbers(demo):
    text = markdown(demo.tables["T1"], results(demo), "")
    assert "| MAC beats every cited method on both sets | not comparable: cited numbers are of the real data |" in text


def test_claims_against_cited_numbers_are_settled_on_real_data(request):
    paper = plan.load(request.config.rootpath / "config", "paper")
    cells = paper.tables["T1"].rows[-1].cells
    tops = {cell.finetunes[0]: top for cell, top in zip(cells, (80.0, 39.0), strict=True)}
    assert "| no (+2.9, -1.0 points) |" in markdown(paper.tables["T1"], results(paper, tops), "")


def test_csv_holds_the_same_numbers(demo):
    rows = list(csv.DictReader(io.StringIO(comma_separated(demo.tables["T1"], results(demo)))))
    ours = [row for row in rows if row["row"] == "MAC-SC-2"]
    assert [row["column"] for row in ours] == ["UCF101", "HMDB51"]
    assert float(ours[0]["measured"]) == 50.0
    assert float(ours[0]["low"]) == pytest.approx(100 * wilson(200, 400)[0], abs=1e-3)
    assert [row["cited"] for row in rows].count("True") == 8


def test_several_seeds_are_averaged_in_their_cell(root, tmp_path):
    folder = shutil.copytree(root / "config", tmp_path / "config")
    tree = yaml.safe_load((folder / "scales" / "demo.yaml").read_text()) | {"seeds": [1, 2, 3]}
    (folder / "scales" / "demo.yaml").write_text(yaml.safe_dump(tree))
    planned = plan.load(folder, "demo")
    cell = planned.tables["T8"].rows[0].cells[0]
    tops = dict(zip(cell.finetunes, (60.0, 63.0, 66.0), strict=True))
    score = results(planned, tops).score(cell)
    assert (score.top1, score.spread, score.runs, score.planned) == (63.0, 3.0, 3, 3)
    partial = results(planned, dict(list(tops.items())[:2]))
    assert "(2 of 3 runs)" in markdown(planned.tables["T8"], partial, "")


def test_numbers_from_different_data_are_not_mixed(demo):
    first = next(iter(demo.finetunings))
    with pytest.raises(MixedDataError, match=r"data set ucf101: its content changed between runs — .*0000000000"):
        results(demo, digests={first: "0000000000"})


def test_a_folder_and_a_mapping_give_the_same_pages(demo, tmp_path):
    content = {f"finetune/{i}/metrics.json": metrics(demo, i, 61.0) for i in demo.finetunings}
    for key, value in content.items():
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / key).write_text(json.dumps(value))
    by_folder, by_mapping = (Results(demo, read) for read in (from_folder(tmp_path), from_mapping(content)))
    assert summary(demo, by_folder) == summary(demo, by_mapping)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_curve_is_drawn_reproducibly(demo, tmp_path, ending):
    for name in ("a", "b"):
        figures.draw_curve(demo.tables["F1"], results(demo), "note", [tmp_path / f"{name}.{ending}"])
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first == second
    tops = dict.fromkeys(demo.finetunings, 10.0)
    figures.draw_curve(demo.tables["F1"], results(demo, tops), "note", [tmp_path / f"c.{ending}"])
    assert (tmp_path / f"c.{ending}").read_bytes() != first
