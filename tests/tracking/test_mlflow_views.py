"""How MLflow's pages show runs: by scale, table and row."""

import json
import re

import pytest

from mac import plan
from mac.pipeline import RECORDED, runs_of
from mac.tracking import views


class Store:
    """A store without runs that keeps an experiment's tags."""

    def __init__(self):
        self.tags = {}

    def get_experiment_by_name(self, name):
        return None

    def set_experiment_tag(self, experiment, key, value):
        self.tags[key] = value


@pytest.fixture(scope="module")
def demo(request):
    return plan.load(request.config.rootpath / "config", "demo")


@pytest.fixture(scope="module")
def tags(demo):
    store = Store()
    views.show(store, "7", demo)
    return store.tags


def test_every_table_has_a_view_and_the_note_leads_to_all_of_them(demo, tags):
    known = {key.removeprefix("mlflow.sharedViewState.") for key in tags if "sharedViewState" in key}
    assert known == {"mac", "demo", *(f"demo-{name}" for name in demo.tables)}
    linked = set(re.findall(r"viewStateShareKey=([^&)]+)", tags["mlflow.note.content"].splitlines()[0]))
    assert linked == known - {"mac"}
    assert f"viewStateShareKey={views.EVERYTHING}&" in views.page("7")


def test_a_tables_view_lists_its_runs_in_the_order_of_its_rows(demo, tags):
    for name, table in demo.tables.items():
        view = json.loads(tags[f"mlflow.sharedViewState.{demo.view(name)}"])
        tag = re.fullmatch(r"tags\.`(.*)`", view["orderByKey"])[1]
        assert f"tags.`{tag}` LIKE '%'" in view["searchFilter"]
        labelled = {i: views.labels(demo, "finetune", i) for i in demo.finetunings}
        listed = sorted((i for i in labelled if tag in labelled[i]), key=lambda i: labelled[i][tag])
        rows = {i: row for row, one in enumerate(table.rows) for cell in one.cells for i in cell.runs}
        assert set(listed) == set(rows)
        assert [rows[i] for i in listed] == sorted(rows.values())


def test_numbers_sort_as_text_where_a_table_has_ten_rows(demo, monkeypatch):
    rows = demo.tables["T6"].rows
    longer = type("Table", (), {"rows": [*rows, *rows[:1] * 6]})
    monkeypatch.setitem(demo.tables, "T6", longer)
    (run,) = rows[1].cells[0].runs
    assert views.labels(demo, "finetune", run)["row.T6"].startswith("02 k = 3")


def test_a_run_names_its_cells_and_its_place_in_the_report(demo):
    found = views.labels(demo, "finetune", demo.default)
    assert found["mlflow.runName"] == "T1.5 finetune · MAC-SC-2 (+4) · ucf101 · seed 1"
    assert found["report"] == f"demo/index.html#run-{demo.default}"
    assert (found["row.T4"], found["row.T7"]) == ("3 Cross-entropy · finetune", "2 m = 0.5 · finetune")
    assert found["rows"].count(";") == 4
    names = [views.labels(demo, stage, i)["mlflow.runName"] for stage in RECORDED for i in runs_of(demo, stage)]
    assert len(set(names)) == len(names)


def test_charts_and_columns_name_metrics_that_runs_have(tags):
    view = json.loads(tags["mlflow.sharedViewState.demo-T5"])
    shown = {chart["metricKey"] for chart in view["compareRunCharts"]}
    assert {"final_top1_percent", "final_pretext_top1_held_out_percent"} < shown
    assert all(name.endswith("_percent") for name in shown)
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == {
        section["uuid"] for section in view["compareRunSections"]
    }
