"""Short ids: what a beginning stands for, and what is said where it stands for none or several."""

import random

import pytest

from mac import kept, plan
from mac.cli import main
from mac.run_ids import UnknownRunError, complete

KNOWN = ["pretrain/a31b153a07/epoch_3", "pretrain/a31b153a07/epoch_12", "finetune/a3ff000000", "finetune/0123456789"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("01", "finetune/0123456789"),
        ("a3f", "finetune/a3ff000000"),
        ("finetune/a3", "finetune/a3ff000000"),
        ("pretrain/a3/epoch_12", "pretrain/a31b153a07/epoch_12"),
        ("finetune/0123456789", "finetune/0123456789"),
    ],
)
def test_a_beginning_stands_for_the_only_run_that_begins_so(text, meant):
    assert complete(text, KNOWN, "here") == meant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a3", "a3: 3 runs of here begin so: pretrain/a31b153a07/epoch_3, .*finetune/a3ff000000 — give more"),
        ("a31", "2 runs of here begin so"),
        ("finetune/ff", "finetune/ff: no finetune in here begins so; .*mac plan"),
        ("", "no run in here begins so"),
        ("probe/01", "no probe in here begins so; .*mac plan"),
    ],
)
def test_none_and_several_are_refused_with_the_candidates(text, message):
    with pytest.raises(UnknownRunError, match=message):
        complete(text, KNOWN, "here")


def test_every_run_is_found_by_its_shortest_beginning_that_no_other_shares():
    rng = random.Random(1)
    runs = [f"finetune/{rng.getrandbits(40):010x}" for _ in range(200)]
    for run in runs:
        run_id = run.split("/")[1]
        lengths = range(1, 11)
        unique = next(n for n in lengths if sum(other.split("/")[1].startswith(run_id[:n]) for other in runs) == 1)
        assert complete(run_id[:unique], runs, "here") == run
        if unique > 1:
            with pytest.raises(UnknownRunError, match="begin so"):
                complete(run_id[: unique - 1], runs, "here")


@pytest.mark.parametrize("text", ["01", "finetune/0123", "finetune/0123456789"])
def test_restore_takes_the_beginning_of_an_id(text, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(kept, "read_provenance", lambda folder: {"runs": {key: {} for key in KNOWN}})
    monkeypatch.setattr(kept, "restore", lambda folder, run, results: asked.append(run))
    main(["restore", text, "--kept", str(tmp_path), "--results", str(tmp_path)])
    assert asked == ["finetune/0123456789"]


def test_recording_takes_the_beginning_of_an_id_of_the_stage(root, monkeypatch, tmp_path):
    from mac.tracking import follow, store

    asked, smoke = [], plan.load(root / "config", "smoke")
    monkeypatch.setattr(store, "connect", lambda uri: None)
    monkeypatch.setattr(follow, "record", lambda client, uri, planned, results, *run: asked.append(run))
    run_id = next(iter(smoke.finetunings))
    where = ["--results", str(tmp_path), "--receipt", str(tmp_path / "receipt.json"), "--tracking-uri", "sqlite:///x"]
    scale = ["--scale", "smoke", "--config-dir", str(root / "config")]
    main(["track", "run", "--stage", "finetune", "--id", run_id[:8], *where, *scale])
    assert asked == [("finetune", run_id)]
