"""What a report says first, and what it says could not be decided."""

import re
from html import unescape

import pytest
from made_up import content, read, results
from scipy.stats import binom

from mac import plan
from mac.report.claims import Judgement, judge
from mac.report.findings import findings, reasons
from mac.report.pages import page, summary


def answers(found):
    """Answer and further lines by the question's first two words."""
    return {" ".join(one.question.split()[:2]): " ".join([one.answer, *one.lines]) for one in findings(found)}


def pretrained(planned, right, videos=400, **facts):
    """Results of the default row's pretraining, with so many of the held-out videos right."""
    run = planned.finetunings[planned.default].config.pretrain_id
    epoch = max(planned.pretrainings[run].epochs)
    known = {"seconds": 1.0, "device": "CPU (test)", "commit": "abc", "index_digest": "0", "held_out_videos": videos}
    scores = {"pretext_top1_held_out": 100 * right / videos, "pretext_chance": 6.25}
    return {f"pretrain/{run}/epoch_{epoch}.json": {"pretrain_id": run, "epoch": epoch} | known | scores | facts}


@pytest.fixture(scope="module")
def rendered(demo, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    return page(results(demo), empty, empty, "# L\n")


def test_findings_come_first_then_pictures_then_what_is_open_then_claims_tables_and_runs(rendered, demo):
    places = [rendered.index(f'<h2 id="{name}">') for name in ("found", "pictures", "open", "claims", "tables", "runs")]
    assert places == sorted(places)
    text = summary(results(demo))
    heads = ("## What was found", "## Pictures", "## What could not be decided", "## Which claims", "## Table 1")
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)


def test_each_claim_has_one_line_and_a_reason_stands_once(rendered, demo):
    listed = rendered.split('<h2 id="claims">')[1].split("<h2 ")[0]
    lines = [unescape(re.sub("<[^>]*>", "", line)) for line in re.findall("<li>(.*?)</li>", listed, re.S)]
    claims = [claim.text for table in demo.tables.values() for claim in table.claims]
    assert len(lines) == len(claims)
    for claim in claims:
        assert sum(claim in line for line in lines) == 1
        assert unescape(rendered).count(f"<span>{claim}</span>") == 1
    assert rendered.count('class="tag not comparable"') == 3  # the claims'; of 26 cells none
    assert unescape(rendered).count("the paper's numbers are of the whole, real data") == 1


def test_claims_that_are_open_for_the_same_reason_share_a_sentence():
    pending = [Judgement("T1", "a", "open", "open", "pending"), Judgement("T2", "b", "open", "open", "pending")]
    decided = Judgement("T3", "c", "holds", "holds", "p 0.001")
    once = Judgement("T4", "d", "undecided", "too few trainings", "p 0.2")
    assert reasons([decided]) == []
    found = reasons([*pending, decided, once])
    assert len(found) == 3
    assert "2 claims are open: results are pending (T1, T2)." in found
    assert sum("(T4)" in sentence for sentence in found) == 2  # one of its models, one of the method


def test_every_claim_without_an_outcome_has_a_reason(demo):
    judgements = judge(results(demo))
    counted = [int(line.split()[0]) for line in reasons(judgements)]
    unknown = {"undecided", "open", "not comparable"}
    expected = sum(one.models in unknown for one in judgements)
    expected += sum(one.method in ("undecided", "too few trainings") for one in judgements)
    assert sum(counted) == expected


@pytest.mark.parametrize("right", [25, 34, 35, 100])
def test_a_pretext_is_learned_where_guessing_would_hardly_do_as_well(demo, right):
    text = answers(read(demo, pretrained(demo, right)))["Did the"]
    is_learned = binom.sf(right - 1, 400, 0.0625) <= 0.025
    assert text.startswith("Yes: the default row" if is_learned else "No: the default row")
    assert f"{right / 4:.1f} % [" in text
    assert (f"{right / 4 - 6.25:.1f} points above guessing" in text) == is_learned
    assert ("No better than guessing: “MAC-SC-2”" in text) == (not is_learned)


def test_held_out_videos_of_earlier_runs_are_those_that_its_finetuning_was_tested_on(demo):
    found = content(demo, {demo.default: 50.0})
    digest = demo.finetunings[demo.default].config.store.dataset.identify()
    found |= pretrained(demo, 100, held_out_videos=None, index_digest=digest)
    assert "on 400 videos" in answers(read(demo, found))["Did the"]


def test_pretraining_is_held_against_the_same_finetuning_from_random_weights(demo):
    control = demo.tables["F1"].rows[0].cells[0].runs[0]
    better = answers(read(demo, content(demo, {demo.default: 70.0, control: 40.0})))["What was"]
    assert better.startswith("It helped: the default row")
    low, high = map(float, re.search(r"\+30\.0 points \[\+(\S+), \+(\S+)\]", better).groups())
    assert 0 < low < 30 < high
    assert answers(read(demo, content(demo, {demo.default: 40.0, control: 70.0})))["What was"].startswith("It did harm")
    assert answers(read(demo, content(demo, {demo.default: 50.0, control: 50.5})))["What was"].startswith("Not decided")
    assert answers(read(demo, content(demo, {demo.default: 50.0})))["What was"].startswith("Not known")


def test_three_trainings_a_side_speak_of_the_method(changed):
    planned = changed(seeds=[1, 2, 3])
    ours = next(row for row in planned.tables["T4"].rows if row.label == "Cross-entropy").cells[0].runs
    controls = planned.tables["F1"].rows[0].cells[0].runs
    tops = dict(zip([*ours, *controls], [80.0, 81.0, 82.0, 50.0, 51.0, 52.0], strict=True))
    assert "over 3 trainings a side" in answers(read(planned, content(planned, tops)))["What was"]


def test_rows_that_differ_are_named_with_the_better_one_first(demo):
    low, mid, high = (row.cells[0].runs[0] for row in demo.tables["T8"].rows)
    text = answers(read(demo, content(demo, {low: 30.0, mid: 31.0, high: 80.0})))["Which rows"]
    assert "Table 8: “λ = 60” is better than “λ = 10” (+50.0 [" in text
    assert " and “λ = 30” (+49.0 [" in text
    assert "“λ = 30” is better" not in text
    alike = answers(read(demo, content(demo, {low: 50.0, mid: 50.5})))["Which rows"]
    assert "No two rows differ by more than the choice of test videos explains in: Table 8." in alike


def test_each_column_of_a_table_has_a_line_of_its_own(root):
    rivals = plan.load(root / "config", "ucf101-21-cpu")
    rows = {row.label: row for row in rivals.tables["X3"].rows}
    tops = {
        run: top
        for label, top in (("random init", 30.0), ("MAC-SC-2", 80.0))
        for cell in rows[label].cells[:2]
        for run in cell.runs
    }
    (found,) = (x for x in findings(read(rivals, content(rivals, tops))) if x.question.startswith("Which rows"))
    columns = rivals.tables["X3"].columns[:2]
    lines = [line for line in found.lines if line.startswith("Table X3")]
    for column, line in zip(columns, lines, strict=True):
        assert line.startswith(f"Table X3, {column}: “MAC-SC-2” is better than “random init” (+50.0 [")


def test_a_report_without_numbers_says_so(demo, tmp_path):
    empty = read(demo, {})
    found = answers(empty)
    assert "0 of 22 pretrainings and 0 of 27 finetunings have finished." in " ".join(x.answer for x in findings(empty))
    assert [text.split(":")[0].split(".")[0] for text in (found["Did the"], found["Which rows"])] == [
        "Not known yet",
        "Not known yet",
    ]
    text = page(empty, tmp_path, tmp_path, "# L\n")
    assert "12 claims are open: results are pending" in text  # three are of the paper's own numbers
    assert "No picture is drawn yet." in text
