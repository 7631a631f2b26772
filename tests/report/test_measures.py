"""Columns that show probes: linear probe and recall@1 in a table, its pairs, its claims and its page."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from made_up import answers, files, predictions, read
from scipy.stats import binomtest

from mac.cli import main
from mac.report.claims import judge_table
from mac.report.comparisons import compare
from mac.report.pages import page, summary
from mac.report.reading import from_folder
from mac.report.results import Results
from mac.report.scores import score
from mac.report.tables import comma_separated, latex, markdown
from mac.report.texts import UNTRAINED

PACE, ON_CLIPS = "Pace prediction", "Pace prediction on MAC's clips"
FINETUNED, FEW, PROBED, NEAREST = range(4)


def row_of(planned, label):
    return next(row for row in planned.tables["X3"].rows if row.label == label)


def ranks(right):
    """Rank of the first neighbour of the class: 1 where it is right, else 2."""
    return np.where(right, 1, 2)


def row_content(planned, label, tops):
    """Files of a row of X3 whose four cells have these numbers [percent]."""
    cells, order = row_of(planned, label).cells, np.random.default_rng(len(label)).permutation(400)
    right = [order < 4 * top for top in tops]
    found = files(planned, cells[PROBED].runs[0], right[PROBED], ranks(right[NEAREST]))
    return found | {
        key: value for n in (FINETUNED, FEW) for key, value in files(planned, cells[n].runs[0], right[n]).items()
    }


@pytest.fixture(scope="module")
def content(smoke):
    found = {}
    for number, row in enumerate(smoke.tables["X3"].rows):
        found |= row_content(smoke, row.label, (60 + number, 50 + number, 40 + number, 20 + number))
    return found


def test_each_column_shows_its_own_measure_of_the_same_weights(smoke, content):
    table, found = smoke.tables["X3"], read(smoke, content)
    for number, row in enumerate(table.rows):
        scores = [found.score(cell) for cell in row.cells]
        assert [s.top1 for s in scores] == pytest.approx([60 + number, 50 + number, 40 + number, 20 + number])
    right = np.random.default_rng(len(row.label)).permutation(400) < 4 * (20 + number)
    assert scores[NEAREST] == score([predictions(right)], 1)  # the interval is that of any share of test videos
    line = next(line for line in markdown(table, found).splitlines() if line.startswith(f"| {row.label} |"))
    assert re.findall(r"\*\*([\d.]+)\*\*", line) == ["65.0", "55.0", "45.0", "25.0"]
    assert line.count(row.cells[PROBED].runs[0]) == 1  # one run, though two columns show it


def test_the_csv_says_what_was_measured_and_by_which_run(smoke, content):
    table, found = smoke.tables["X3"], read(smoke, content)
    lines = list(csv.DictReader(io.StringIO(comma_separated(table, found))))
    assert [line["measure"] for line in lines[:4]] == ["finetune", "finetune", "probe", "recall@1"]
    for line, cell in zip(lines, (cell for row in table.rows for cell in row.cells), strict=True):
        assert line[f"{cell.stage}_ids"].split() == list(cell.runs)
        assert bool(line["finetune_ids"]) != bool(line["probe_ids"])
    assert "probe_ids" not in comma_separated(smoke.tables["T1"], found)


def test_only_a_table_with_probes_says_what_they_are(smoke, content, tmp_path):
    found = read(smoke, content)
    for name, is_said in (("X3", True), ("T1", False)):
        assert (UNTRAINED in markdown(smoke.tables[name], found)) == is_said
        assert (UNTRAINED in latex(smoke.tables[name], found)) == is_said
    assert summary(found).count(UNTRAINED) == 1
    assert "12 of 12 finetunings done; 6 of 6 probes done" in markdown(smoke.tables["X3"], found)


def test_two_rows_are_compared_on_the_videos_whose_nearest_neighbour_is_right(smoke, content):
    found = compare(smoke.tables["X3"], read(smoke, content))
    pair = found[(found["first"] == PACE) & (found["second"] == ON_CLIPS)].set_index("column")
    first, second = (
        np.random.default_rng(len(label)).permutation(400) < 4 * top for label, top in ((PACE, 24), (ON_CLIPS, 25))
    )
    only = int((first & ~second).sum()), int((second & ~first).sum())
    assert pair.loc["recall@1", "difference"] == pytest.approx(-1.0)
    assert pair.loc["recall@1", "mcnemar_p"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert pair.loc["linear probe", "difference"] == pytest.approx(-1.0)
    assert len(found) == 15 * 4


@pytest.mark.parametrize(
    ("better", "outcome"),
    [((90, 90, 90, 90), "holds"), ((90, 90, 90, 10), "contradicted"), ((90, 90, 50, 90), "undecided")],
)
def test_a_claim_holds_if_it_does_by_every_measure(smoke, better, outcome):
    content = row_content(smoke, PACE, (50, 50, 50, 50)) | row_content(smoke, ON_CLIPS, better)
    (judgement,) = judge_table(smoke.tables["X3"], read(smoke, content))
    assert (judgement.models, judgement.method) == (outcome, "too few trainings")
    assert f"{ON_CLIPS} over {PACE} (recall@1) {better[-1] - 50:+.1f} [" in judgement.evidence


def test_a_claim_may_be_of_some_columns_alone(smoke):
    content = row_content(smoke, PACE, (50, 50, 50, 50)) | row_content(smoke, ON_CLIPS, (90, 90, 10, 10))
    table = smoke.tables["X3"]
    (both,) = table.claims
    for columns, outcome in (([FINETUNED, FEW], "holds"), ([PROBED], "contradicted"), ([FEW, NEAREST], "contradicted")):
        claim = both.model_copy(update={"columns": [table.columns[number] for number in columns]})
        (judgement,) = judge_table(replace(table, claims=(claim,)), read(smoke, content))
        assert judgement.models == outcome
        named = [name for name in table.columns if f"({name})" in judgement.evidence]
        assert named == [table.columns[number] for number in columns]


def test_a_claim_is_open_while_a_probe_is_missing_or_damaged(smoke):
    content = row_content(smoke, PACE, (50,) * 4) | row_content(smoke, ON_CLIPS, (90,) * 4)
    probe_id = row_of(smoke, PACE).cells[PROBED].runs[0]
    content[f"probe/{probe_id}/metrics.json"] = b'{"top1": 5'
    found = read(smoke, content)
    (judgement,) = judge_table(smoke.tables["X3"], found)
    assert (judgement.models, judgement.evidence.split(":")[0]) == ("open", f"probe/{probe_id}")
    line = next(line for line in markdown(smoke.tables["X3"], found).splitlines() if line.startswith(f"| {PACE} |"))
    assert line.count(f"left out: probe/{probe_id}: metrics.json is cut or no JSON") == 2
    assert "Cells that are pending fill" in summary(found).split("Rivals under one recipe")[1].split("## Which")[0]


def test_a_printed_number_of_a_probe_is_held_against_the_measured_one(changed):
    planned = changed(
        "paper",
        tables={"T4": {"columns": [{"label": "UCF101"}, {"label": "probe", "measure": "probe"}], "claims": [],
                       "rows": [{"label": "Cross-entropy", "printed": [84.8, 50.0], "default": True}]}},
        probe={"penalties": [1.0], "folds": 5},
    )  # fmt: skip
    _, probed = planned.tables["T4"].rows[0].cells
    for top, verdict in ((50.0, "reproduced"), (90.0, "differs")):
        right = answers(planned, planned.default, top, 4000)
        found = read(planned, files(planned, probed.runs[0], right, ranks(right)))
        lines = list(csv.DictReader(io.StringIO(comma_separated(planned.tables["T4"], found))))
        assert [line["verdict"] for line in lines] == ["open", verdict]


def test_the_page_leads_from_a_probes_number_to_its_run(smoke, content, write_results, tmp_path, capsys):
    results = write_results(content, tmp_path / "results")
    text = page(Results(smoke, from_folder(results)), tmp_path, results, "# L\n")
    cell = row_of(smoke, ON_CLIPS).cells[PROBED]
    shown = re.findall(rf'<a href="#run-{cell.runs[0]}">([^<]+)</a>', text)
    box = re.search(rf'<details id="run-{cell.runs[0]}">(.*?)</details>', text, re.S)[1]
    assert f"pretrain/{smoke.probes[cell.runs[0]].config.pretrain_id}/epoch_2.safetensors" in box
    assert "pretrain.attenuate" in box
    assert "penalties" not in box
    main(re.search(r"python -m mac (score \S+probe/\S+parquet)", box)[1].split())
    assert capsys.readouterr().out.startswith(shown[0])
    ids = set(re.findall(r'\bid="([^"]*)"', text))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= ids
