"""``track run`` and ``track sync``: runs into MLflow."""

import argparse
import json
from pathlib import Path

from mac import plan as planning
from mac.commands.files import read_config, write_json
from mac.config import FinetuneConfig, PretrainConfig
from mac.tracking import mlflow

MODELS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}


def run(arguments: argparse.Namespace) -> None:
    """Record a finished run in MLflow and write a receipt with MLflow's run id."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    parent = json.loads(arguments.parent.read_text())["id"] if arguments.parent else None
    record = _describe(plan, arguments.stage, arguments.config, arguments.files, parent)
    client = mlflow.connect(arguments.tracking_uri)
    own = mlflow.record(client, arguments.tracking_uri, record)
    write_json(arguments.receipt, {"id": record.run_id, "mlflow_run_id": own, "tracking_uri": arguments.tracking_uri})


def sync(arguments: argparse.Namespace) -> None:
    """Bring a tracking store up to date with every finished run of a scale; what is there already stays as it is."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    client = mlflow.connect(arguments.tracking_uri)
    recorded = current = waiting = 0
    for stage, run_id, parent in _planned(plan):
        folder = arguments.results / stage / run_id
        files = sorted(path for path in folder.glob("*") if path.suffix in (".jsonl", ".json", ".parquet"))
        if not any(path.suffix == ".json" for path in files):
            waiting += 1
            continue
        record = _describe(plan, stage, folder / "config.yaml", files, parent)
        if mlflow.is_recorded(client, record):
            current += 1
        else:
            mlflow.record(client, arguments.tracking_uri, record)
            recorded += 1
    print(f"{arguments.tracking_uri}: {recorded} runs recorded, {current} there already, {waiting} not finished yet")


def _planned(plan: planning.Plan) -> list[tuple[str, str, str | None]]:
    """Every run of a plan, parents first: stage, id, and the id of the run it starts from."""
    first = [("pretrain", run_id, None) for run_id in plan.pretrainings]
    return first + [("finetune", run_id, f.config.pretrain_id) for run_id, f in plan.finetunings.items()]


def _describe(plan: planning.Plan, stage: str, path: Path, files: list[Path], parent: str | None) -> mlflow.RunRecord:
    config = read_config(path, MODELS[stage])
    used_by = (plan.pretrainings if stage == "pretrain" else plan.finetunings)[config.identify()].used_by
    metrics = json.loads(max((p for p in files if p.suffix == ".json"), key=_epoch_of).read_text())
    tags = {
        "scale": plan.scale,
        "tables": ", ".join(dict.fromkeys(use.split(":")[0] for use in used_by)),
        "rows": "; ".join(used_by),
        "git_commit": metrics["commit"],
        "index_digest": metrics["index_digest"],
        "dataset": config.store.dataset.name,
    }
    return mlflow.RunRecord(
        run_id=config.identify(),
        stage=stage,
        name=_name(config, used_by),
        params=_flatten(config.canonical()),
        tags=tags,
        files=[path, *files],
        parent=parent,
    )


def _epoch_of(path: Path) -> int:
    """The epoch in ``epoch_30.json``; 0 elsewhere."""
    tail = path.stem.rpartition("_")[2]
    return int(tail) if tail.isdigit() else 0


def _name(config: PretrainConfig | FinetuneConfig, used_by: list[str]) -> str:
    stage = "pretrain" if isinstance(config, PretrainConfig) else "finetune"
    shared = f" (+{len(used_by) - 1} more)" if len(used_by) > 1 else ""
    return f"{stage} {used_by[0] if used_by else config.identify()}{shared}, {config.model.backbone}"


def _flatten(tree: dict, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat
