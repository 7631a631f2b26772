"""How the experiment looks in MLflow's pages: what it is, and which columns of its runs come first."""

import json

from mlflow import MlflowClient

NOTE = (
    "Runs of the MAC pipeline. A run is known by the hash of its configuration (tag `mac.id`); finetunings and"
    " probes stand under the pretraining they start from; `rows` names the table rows that share it; `final_top1` is"
    " what the reports show."
)
KEY = "mac"  # of the shared view, as addresses name it
COLUMNS = (
    "metrics.`final_top1`",
    "metrics.`final_pretext_top1_held_out`",
    "metrics.`loss`",
    "attributes.`Duration`",
    "tags.`rows`",
    "tags.`scale`",
    "params.`model.backbone`",
    "params.`seed`",
    "params.`split`",
    "attributes.`Dataset`",
    "attributes.`Models`",
)


def describe(client: MlflowClient, experiment: str) -> None:
    """Give an experiment its note, its kind (machine learning, not agents), and the view that :func:`page` opens."""
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }
    client.set_experiment_tag(experiment, "mlflow.note.content", NOTE)
    client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{KEY}", json.dumps(state))


def page(experiment: str) -> str:
    """The address of the experiment's runs within a server."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
