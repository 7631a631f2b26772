"""How MLflow's pages show runs: names and tags by table and row, a view for each scale and table, and the note on top.

A view is a shared one, an experiment's tag ``mlflow.sharedViewState.NAME``, which an address names: which runs are
listed, their order, columns and charts.
"""

import json
import re
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import RunTag

from mac.pipeline import RECORDED, runs_of
from mac.plan import Plan
from mac.tracking.store import ID, STAGE, find

NAME, EVERYTHING = "mlflow.runName", "mac"
ACCURACY, PRETEXT = "final_top1_percent", "final_pretext_top1_held_out_percent"
NOTE = (
    "{links}\n\n"
    "* A run is one pretraining, finetuning or probe, known by `mac.id` (the hash of its configuration).\n"
    "* Its name says the first table row that uses it: `T5.2` is row 2 of Table 5; `(+3)`: three more rows do.\n"
    "* The tag `rows` names them all; `row.T5` is the row of Table 5; `report` is where the report shows the run.\n"
    "* `{accuracy}` is the number in the report's tables; names that end in `_percent` are in percent.\n"
)


def labels(plan: Plan, stage: str, run_id: str) -> dict[str, str]:
    """Say in tags, the name among them, which rows of a scale's tables a run belongs to."""
    used_by, config = runs_of(plan, stage)[run_id].used_by, runs_of(plan, stage)[run_id].config
    places = [use.split(": ", 1) for use in used_by]
    tags = {"scale": plan.scale, "rows": "; ".join(used_by), "tables": ", ".join(dict.fromkeys(t for t, _ in places))}
    for name in dict.fromkeys(table for table, _ in places):
        rows = [f"{_number(plan, name, label)} {label}" for table, label in places if table == name]
        tags[row_tag(name)] = f"{'; '.join(rows)} · {stage}"
    first = f"{places[0][0]}.{_number(plan, *places[0])} {stage} · {places[0][1]}"
    shared = f" (+{len(used_by) - 1})" if len(used_by) > 1 else ""
    anchor = "pretext" if stage == "pretrain" else f"run-{run_id}"
    tags["report"] = f"{plan.scale}/index.html#{anchor}"
    drawn = "" if getattr(config, "label_draw", None) is None else f" · label draw {config.label_draw}"
    return tags | {NAME: f"{first}{shared} · {config.store.dataset.name} · seed {config.seed}{drawn}"}


def row_tag(table: str) -> str:
    """Name the tag that says which row of a table a run is."""
    return "row." + re.sub(r"[^\w. -]", "_", table)


def _number(plan: Plan, table: str, label: str) -> str:
    """The number of a row among a table's, written so that text sorts as numbers do."""
    rows = [row.label for row in plan.tables[table].rows]
    return str(rows.index(label) + 1).zfill(len(str(len(rows))))


def show(client: MlflowClient, experiment: str, plan: Plan | None = None) -> None:
    """Set an experiment's note and views; label the runs of a plan.

    Runs that several scales share get the labels of the plan that was shown last.
    """
    views = {EVERYTHING: _view("", NAME)}
    if plan:
        _label(client, plan)
        views[plan.scale] = _view(f"tags.scale = '{plan.scale}'", NAME)
        for table in plan.tables:
            tag = row_tag(table)
            views[plan.view(table)] = _view(f"tags.scale = '{plan.scale}' and tags.`{tag}` LIKE '%'", tag)
    for name, state in views.items():
        client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{name}", json.dumps(state))
    client.set_experiment_tag(experiment, "mlflow.note.content", _note(experiment, plan))


def page(experiment: str, view: str = EVERYTHING, charts: bool = False) -> str:
    """Give the address of an experiment's runs within a server, in a view; as a list, or with its charts."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={quote(view)}{mode}&workflowType=machine_learning"


def _label(client: MlflowClient, plan: Plan) -> None:
    for run in find(client, ""):
        stage, run_id = run.data.tags.get(STAGE), run.data.tags.get(ID)
        if stage in RECORDED and run_id in runs_of(plan, stage):
            tags = labels(plan, stage, run_id)
            if tags.items() - run.data.tags.items():
                client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _note(experiment: str, plan: Plan | None) -> str:
    """Write the note; its first line, all that is seen before a click, leads to the runs of each table."""
    links = f"[All runs]({page(experiment)})"
    if plan:
        of_tables = [f"[{name}]({page(experiment, plan.view(name), charts=True)})" for name in plan.tables]
        links = f"Scale {plan.scale}: [all]({page(experiment, plan.scale)}) · rows compared: {' '.join(of_tables)}"
    return NOTE.format(links=links, accuracy=ACCURACY)


def _view(search: str, tag: str) -> dict[str, Any]:
    """Describe a view, sorted by a tag, as MLflow's pages keep it."""
    widths = {f"tags.`{tag}`": 300} if tag != NAME else {}
    widths |= {f"metrics.`{ACCURACY}`": 150, f"metrics.`{PRETEXT}`": 270, "attributes.`Duration`": 90}
    widths |= {"tags.`rows`": 300, "params.`seed`": 60, "params.`split`": 60, "tags.`mac.id`": 110}
    charts = [_bar(ACCURACY), _bar(PRETEXT), _line("pretext_top1_percent"), _line("train_top1_percent")]
    return {
        "searchFilter": search,
        "orderByKey": f"tags.`{tag}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(widths),
        "columnOrder": ["attributes.`Run Name`", *widths],
        "columnWidths": {"attributes.`Run Name`": 300, **widths},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunSections": [{"uuid": "rows", "name": "Rows compared", "display": True, "isReordered": True}],
        "compareRunCharts": charts,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }


def _bar(metric: str) -> dict[str, Any]:
    return _chart("BAR", metric)


def _line(metric: str) -> dict[str, Any]:
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "selectedXAxisMetricKey": ""}
    return _chart("LINE", metric) | {"selectedMetricKeys": [metric], "lineSmoothness": 0} | axes


def _chart(kind: str, metric: str) -> dict[str, Any]:
    about = {"uuid": f"{kind}-{metric}", "type": kind, "metricKey": metric, "runsCountToCompare": 100}
    return about | {"metricSectionId": "rows", "isGenerated": False, "deleted": False}
