"""Probes in a report: one line for each set of weights, recalls from ranks."""

import json
import re

import numpy as np
import pytest
from made_up import files as finetuning_files
from made_up import parquet, predictions

from mac.report.probes import probe_lines, probe_rows
from mac.report.reading import from_mapping
from mac.report.results import Results
from mac.report.texts import markdown


def files(planned, probe_id, right, first_match, /, **changed):
    config = planned.probes[probe_id].config
    right = np.asarray(right, bool)
    table = predictions(right).drop(columns="logits").assign(first_match=first_match)
    metrics = {
        "probe_id": probe_id, "pretrain_id": config.pretrain_id, "top1": 100 * right.mean(), "videos": len(right),
        "seed": config.seed, "split": config.split, "device": "CPU (test)", "seconds": 1.0, "commit": "abc",
        "torch": "2", "index_digest": config.store.dataset.identify(), "recall": {},
    }  # fmt: skip
    key = f"probe/{probe_id}"
    return {f"{key}/metrics.json": json.dumps(metrics | changed).encode(), f"{key}/predictions.parquet": parquet(table)}


def test_weights_that_rows_share_stand_once(smoke):
    lines = probe_lines(Results(smoke, from_mapping({})))
    ids = [i for line in lines for i in line.ids]
    assert sorted(ids) == sorted(smoke.probes)
    assert all(line.top1 is None and set(line.recalls.values()) == {None} for line in lines)
    shared = next(line for line in lines if "T4: Cross-entropy" in line.labels)
    assert [smoke.finetunings[smoke.default].probe] == list(shared.ids)


def test_numbers_are_those_of_the_predictions(smoke):
    probe_id = smoke.finetunings[smoke.default].probe
    right, rank = np.arange(400) % 4 == 0, np.arange(400) % 60 + 1
    found = Results(smoke, from_mapping(files(smoke, probe_id, right, rank)))
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
    lines = {line.ids: line for line in probe_lines(Results(smoke, from_mapping(content)))}
    low, high = re.match(r"\+(.*) \[\+(.*), \+(.*)\], p < 0.001, these models", lines[trained,].over).groups()[1:]
    assert lines[trained,].over.startswith(f"{100 * (better.mean() - right.mean()):+.1f} [")
    assert 0 < float(low) < 100 * (better.mean() - right.mean()) < float(high)
    assert lines[random,].over == ""
    assert sum(bool(line.over) for line in lines.values()) == 1


def test_a_scale_without_probes_says_nothing_of_them(paper):
    assert probe_lines(Results(paper, from_mapping({}))) == []


def foreign(planned, **changed):
    """The default row's probe with something changed, and two finetunings without."""
    probe_id = planned.finetunings[planned.default].probe
    content = files(planned, probe_id, np.ones(changed.pop("videos", 400)), 1, **changed)
    for finetune_id in (planned.default, planned.supervised):
        content |= finetuning_files(planned, finetune_id, np.ones(400))
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
    found = Results(smoke, from_mapping(content))
    assert reason in found.problems[f"probe/{probe_id}"]
    assert not found.predictions["probe"]
    assert len(found.metrics["finetune"]) == 2


def test_the_only_content_that_was_seen_counts(smoke):
    probe_id = smoke.finetunings[smoke.default].probe
    content = files(smoke, probe_id, np.ones(400), 1, index_digest="0" * 10)
    assert probe_id in Results(smoke, from_mapping(content)).predictions["probe"]


def test_a_probe_goes_with_the_pretraining_it_measures(smoke):
    """The pretraining saw other content than the runs that count; so did its weights."""
    probe_id, content = foreign(smoke)
    config = smoke.probes[probe_id].config
    metrics = {"pretrain_id": config.pretrain_id, "epoch": config.epoch, "seconds": 1.0, "device": "x", "commit": "y"}
    key = f"pretrain/{config.pretrain_id}/epoch_{config.epoch}"
    content[f"{key}.json"] = metrics | {"index_digest": "0" * 10}
    found = Results(smoke, from_mapping(content))
    assert f"starts from {key}" in found.problems[f"probe/{probe_id}"]
    assert not found.predictions["probe"]
