"""Two runs or rows side by side: configurations and paired differences."""

import json

import made_up
import pytest

from mac.cli import main
from mac.config import write_config
from mac.pipeline import configs_of
from mac.report import comparisons
from mac.report.texts import interval_text, points_text
from mac.report.versus import Versus, VersusError, write
from mac.run_ids import UnknownRunError


@pytest.fixture
def folder(demo, write_results, tmp_path):
    """A results folder of the demo, in which every finetuning has made-up results."""
    write_results(made_up.content(demo), tmp_path)
    for stage, configs in configs_of(demo).items():
        for run_id, config in configs.items():
            write_config(tmp_path / stage / run_id / "config.yaml", config)
    return tmp_path


def test_the_difference_of_two_rows_is_the_one_in_the_report(demo, folder):
    versus, table = Versus(folder, [demo]), demo.tables["T8"]
    report = comparisons.compare(table, made_up.results(demo))
    for pair in report.itertuples():
        first, second = (versus.side(f"T8: {label}") for label in (pair.first, pair.second))
        told = write(versus, first, second)
        assert f"A less B: {points_text(pair.difference)} points" in told
        assert interval_text(pair.low, pair.high) in told
        assert f"p over source groups {comparisons.p_text(pair.clustered_p)}" in told
        assert f"McNemar's {comparisons.p_text(pair.mcnemar_p)}" in told
        assert "too few trainings" in told
    own, other = (row.cells[0].runs[0] for row in table.rows[:2])
    by_ids = list(versus.numbers(versus.side(own), versus.side(other)))
    assert by_ids == list(versus.numbers(*(versus.side(f"T8: {row.label}") for row in table.rows[:2])))


def test_configurations_differ_by_dotted_keys_those_of_the_pretraining_included(demo, folder):
    versus = Versus(folder, [demo])
    lower, default = (versus.side(f"T8: λ = {value}") for value in (10, 30))
    assert [tuple(change) for change in versus.changes(lower, default)] == [("pretrain.mask.threshold", "10.0", "30.0")]
    assert versus.changes(lower, lower) == []
    start = [demo.finetunings[next(iter(side.configs))].config.pretrain_id for side in (lower, default)]
    only = versus.changes(*map(versus.side, start))
    assert [tuple(change) for change in only] == [("mask.threshold", "10.0", "30.0")]
    assert list(versus.numbers(*map(versus.side, start))) == []
    boxes = versus.changes(versus.side("T3: Person boxes"), default)
    assert {"pretrain.mask.source", "pretrain.store.dataset.name"} <= {change.key for change in boxes}


def test_a_run_that_no_table_refers_to_any_more_is_compared_by_what_lies_in_its_folder(demo, smoke, folder):
    one, other = demo.tables["T8"].rows[0].cells[0].runs[0], demo.tables["T8"].rows[1].cells[0].runs[0]
    known, unknown = Versus(folder, [demo]), Versus(folder, [smoke])
    told = [write(versus, *map(versus.side, (one, other))) for versus in (known, unknown)]
    assert "(T8: λ = 10)" in told[0]
    assert told[0].splitlines()[2:] == told[1].splitlines()[2:]


def test_short_ids_are_enough_and_what_does_not_compare_is_refused(demo, folder):
    versus, own = Versus(folder, [demo]), demo.tables["T8"].rows[0].cells[0].runs[0]
    config = demo.finetunings[own].config
    assert versus.side(own[:6]).configs == {own: config}
    with pytest.raises(VersusError, match=r"of different stages — compare two pretrainings"):
        versus.changes(versus.side(own), versus.side(config.pretrain_id))
    with pytest.raises(VersusError, match=r"T8: λ = 11: no such row that trains.*did you mean 'T8: λ = 10'"):
        versus.side("T8: λ = 11")
    with pytest.raises(UnknownRunError, match="no run in .* begins so"):
        versus.side("zz")


def test_what_has_no_result_or_a_damaged_one_is_said(demo, folder):
    one, other = demo.tables["T8"].rows[0].cells[0].runs[0], demo.tables["T8"].rows[1].cells[0].runs[0]
    for name in ("metrics.json", "predictions.parquet"):
        (folder / "finetune" / one / name).unlink()
    (folder / "finetune" / other / "metrics.json").write_text("{")
    versus = Versus(folder, [demo])
    told = write(versus, versus.side(one), versus.side(other))
    assert "A: no result yet" in told
    assert f"B: finetune/{other}: metrics.json is cut or no JSON; delete finetune/{other} and run again" in told
    assert "A less B" not in told


def test_runs_tested_on_other_videos_have_no_difference(demo, folder):
    one, other = demo.tables["T8"].rows[0].cells[0].runs[0], demo.tables["T8"].rows[1].cells[0].runs[0]
    fewer = made_up.files(demo, other, made_up.answers(demo, other, 50, videos=200))
    for key, content in fewer.items():
        (folder / key).write_bytes(content)
    versus = Versus(folder, [demo])
    told = write(versus, versus.side(one), versus.side(other))
    assert f"B: finetune/{other}: tested on 200 videos, there is no majority" in told
    assert "A less B" not in told


def test_the_command_prints_it(demo, folder, root, capsys):
    one, other = demo.tables["T8"].rows[0].cells[0].runs[0], demo.tables["T8"].rows[1].cells[0].runs[0]
    words = ["--results", str(folder), "--scale", "demo", "--config-dir", str(root / "config")]
    main(["compare", one[:7], other, *words])
    told = capsys.readouterr().out
    assert told.startswith(f"A: finetune/{one}")
    assert "pretrain.mask.threshold" in told
    assert json.loads((folder / "finetune" / one / "metrics.json").read_text())["finetune_id"] == one
