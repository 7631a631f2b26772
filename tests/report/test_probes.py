"""Probes in a report: one line for each set of weights, recalls from ranks."""

import re

import numpy as np
import pytest
from made_up import files, read

from mac.report.probes import probe_lines, probe_rows
from mac.report.texts import markdown


def test_weights_that_rows_share_stand_once(smoke, paper):
    lines = probe_lines(read(smoke, {}))
    assert sorted(i for line in lines for i in line.ids) == sorted(smoke.probes)
    assert all(line.top1 is None and set(line.recalls.values()) == {None} for line in lines)
    shared = next(line for line in lines if "T4: Cross-entropy" in line.labels)
    assert [smoke.finetunings[smoke.default].probe] == list(shared.ids)
    assert probe_lines(read(paper, {})) == []  # a scale without probes


def test_weights_that_several_columns_show_stand_once_with_their_data(smoke, changed):
    """X3's row of random weights is F1's, too; where only a column asks for probes the data set's own name stands."""
    (line,) = (line for line in probe_lines(read(smoke, {})) if "X3: random init" in line.labels)
    assert (line.labels, line.column) == (["F1: random init", "X3: random init"], "UCF101")
    found = probe_lines(read(changed("paper", {"X3": {"scales": None}}), {}))
    assert [line.labels[0] for line in found[:2]] == ["X3: random init", "X3: Contrast alone"]
    assert {line.column for line in found} == {"ucf101"}
    assert [len(line.ids) for line in found] == [3] * 10


def test_numbers_are_those_of_the_predictions(smoke):
    probe_id = smoke.finetunings[smoke.default].probe
    right, rank = np.arange(400) % 4 == 0, np.arange(400) % 60 + 1
    found = read(smoke, files(smoke, probe_id, right, rank))
    line = next(line for line in probe_lines(found) if probe_id in line.ids)
    assert line.top1.top1 == pytest.approx(25.0)
    for k, score in line.recalls.items():
        assert score.top1 == pytest.approx(100 * np.mean(rank <= k))
    assert line.recalls[1].low < line.recalls[1].top1 < line.recalls[1].high
    text = markdown(probe_rows(probe_lines(found), found))
    assert "**25.0** [" in text
    assert f"| {100 * np.mean(rank <= 50):.1f} |" in text


def test_a_probe_is_compared_with_the_one_on_random_weights(smoke):
    random = next(i for i, p in smoke.probes.items() if p.config.initial == "random")
    trained = smoke.finetunings[smoke.default].probe
    right = np.arange(400) % 4 == 0
    better = right | (np.arange(400) % 10 == 1)
    content = files(smoke, random, right, np.ones(400, int)) | files(smoke, trained, better, np.ones(400, int))
    lines = {line.ids: line for line in probe_lines(read(smoke, content))}
    low, high = re.match(r"\+(.*) \[\+(.*), \+(.*)\], p < 0.001, these models", lines[trained,].over).groups()[1:]
    assert lines[trained,].over.startswith(f"{100 * (better.mean() - right.mean()):+.1f} [")
    assert 0 < float(low) < 100 * (better.mean() - right.mean()) < float(high)
    assert lines[random,].over == ""
    assert sum(bool(line.over) for line in lines.values()) == 1


def foreign(planned, videos=400, **changed):
    """The default row's probe with something changed, and two finetunings without."""
    probe_id = planned.finetunings[planned.default].probe
    content = files(planned, probe_id, np.ones(videos), 1, **changed)
    for finetune_id in (planned.default, planned.supervised):
        content |= files(planned, finetune_id, np.ones(400))
    return probe_id, content


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"probe_id": "0" * 10}, "another run's"),
        ({"top1": 99.0}, "predictions.parquet gives"),
        ({"index_digest": "0" * 10}, "another content"),
        ({"videos": 300}, "tested on 300 videos, most runs were tested on 400 others"),
    ],
)
def test_damaged_and_foreign_probes_are_left_out_and_named(smoke, changed, reason):
    probe_id, content = foreign(smoke, **changed)
    found = read(smoke, content)
    assert reason in found.problems[f"probe/{probe_id}"]
    assert not found.predictions["probe"]
    assert len(found.metrics["finetune"]) == 2


def test_the_only_content_that_was_seen_counts(smoke):
    probe_id = smoke.finetunings[smoke.default].probe
    content = files(smoke, probe_id, np.ones(400), 1, index_digest="0" * 10)
    assert probe_id in read(smoke, content).predictions["probe"]


def test_a_probe_goes_with_the_pretraining_it_measures(smoke):
    """The pretraining saw other content than the runs that count; so did its weights."""
    probe_id, content = foreign(smoke)
    config = smoke.probes[probe_id].config
    metrics = {"pretrain_id": config.pretrain_id, "epoch": config.epoch, "seconds": 1.0, "device": "x", "commit": "y"}
    key = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}"
    content[f"{key}.json"] = metrics | {"index_digest": "0" * 10}
    found = read(smoke, content)
    assert f"starts from {key}" in found.problems[f"probe/{probe_id}"]
    assert not found.predictions["probe"]
