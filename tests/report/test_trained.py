"""Whether rows were trained long enough, from the journals of made-up runs."""

import json

import pytest
from made_up import content, read, run_of

from mac.report.findings import findings
from mac.report.pages import summary
from mac.report.trained import pretext_rise, rows_trained


def journal(name, values, first=0):
    events = [
        {"event": "start"},
        *({"event": "metrics", "epoch": n, "loss": 1.0, name: v} for n, v in enumerate(values, first)),
    ]
    return "".join(json.dumps(event) + "\n" for event in [*events, {"event": "end"}]).encode()


def row(planned, training, pretext=None, right=100):
    """What is said of the first row of Table 8, with so many of 400 held-out videos right."""
    run = run_of(planned)
    start = planned.finetunings[run].config.pretrain_id
    epoch = max(planned.pretrainings[start].epochs)
    found = content(planned, {run: 50.0}) | {f"finetune/{run}/journal.jsonl": journal("train_top1", training)}
    about = {
        "pretrain_id": start,
        "epoch": epoch,
        "held_out_videos": 400,
        "seconds": 1.0,
        "device": "CPU",
        "commit": "a",
    }
    about |= {"index_digest": planned.finetunings[run].config.store.dataset.identify()}
    scores = {"pretext_top1_held_out": right / 4, "pretext_chance": 6.25}
    found[f"pretrain/{start}/epoch_{epoch}.json"] = json.dumps(about | scores).encode()
    if pretext:
        found[f"pretrain/{start}/epoch_{epoch}.jsonl"] = journal("pretext_top1", pretext)
    results = read(planned, found)
    (known,) = (one for one in rows_trained(results) if one.training_top1 is not None)
    return known, results


@pytest.mark.parametrize(
    ("training", "pretext", "right", "lacks"),
    [
        ([95.0] * 20, [40.0] * 20, 100, ()),
        ([60.0] * 20, [40.0] * 20, 100, ("classifiers don't fit their training videos",)),
        ([80.0] * 18 + [90.0] * 2, [40.0] * 20, 100, ("classifiers were still rising",)),
        ([95.0] * 20, [30.0] * 18 + [40.0] * 2, 100, ("the pretext was still rising",)),
        ([95.0] * 20, [6.0] * 20, 25, ("the pretext is at chance",)),
        ([95.0] * 20, None, 100, ()),
    ],
)
def test_a_row_was_trained_enough_where_it_fits_and_no_longer_rises(demo, training, pretext, right, lacks):
    known, results = row(demo, training, pretext, right)
    assert known.lacks == lacks
    assert (known.training_top1, known.pretext) == (training[-1], right / 4)
    (finding,) = (one for one in findings(results) if one.question == "Was it trained long enough?")
    assert finding.answer.startswith("No: 1 of 1 rows were not" if lacks else "Yes: 1 of 1 rows were")
    line = next(text for text in summary(results).splitlines() if text.startswith("| “λ = 10” (Table 8)"))
    assert line.endswith(f"| {'; '.join(lacks) or 'yes'} |")


def test_what_rises_is_the_last_tenth_over_the_tenth_before(demo):
    known, _ = row(demo, [*range(50, 90)], [*range(20)])
    assert known.rise == pytest.approx(4)  # of 40 epochs: the mean of the last four over that of the four before
    assert known.pretext_rise == pytest.approx(2)


def test_a_damaged_journal_says_nothing_and_hides_nothing_else(demo):
    run = run_of(demo)
    for raw in (b"{", b"[]\n", b"\xff\n", b'{"event": "metrics", "loss": 1.0}\n'):
        results = read(demo, content(demo, {run: 50.0}) | {f"finetune/{run}/journal.jsonl": raw})
        assert all(one.training_top1 is None for one in rows_trained(results))
        assert "Trained long enough?" not in summary(results)
        assert "**50.0**" in summary(results)


def test_a_finished_run_whose_journal_is_damaged_is_not_pending(demo):
    good, damaged = run_of(demo), run_of(demo, row=2)
    found = content(demo, {good: 50.0, damaged: 50.0})
    journals = {good: journal("train_top1", [95.0] * 20), damaged: b"{\n"}
    text = summary(read(demo, found | {f"finetune/{i}/journal.jsonl": raw for i, raw in journals.items()}))
    ends = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in text.splitlines() if line[:3] == "| “"}
    assert ends["“λ = 60” (Table 8)"] == "not known: no journal can be read"
    assert ends["“k = 2” (Table 6)"] == "pending"


def test_a_pretraining_is_looked_at_from_its_first_epoch_on(demo):
    """Its journals begin anew at each kept epoch: the last tenth is of all of them."""
    start, planned = next((i, p) for i, p in demo.pretrainings.items() if len(p.epochs) > 1)
    last, series, found = 0, [*range(max(planned.epochs))], {}
    for epoch in sorted(planned.epochs):
        found[f"pretrain/{start}/epoch_{epoch}.jsonl"] = journal("pretext_top1", series[last:epoch], first=last + 1)
        last = epoch
    results = read(demo, found)
    assert [epoch["epoch"] for epoch in results.epochs("pretrain", start)] == [*range(1, last + 1)]
    assert pretext_rise(start, results) == pytest.approx(last // 10)
