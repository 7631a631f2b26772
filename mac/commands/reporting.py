"""``track``, ``report`` and ``describe``."""

import argparse
import json
from pathlib import Path

import pandas as pd

from mac import plan as planning
from mac.commands.files import read_config, write_json, write_text
from mac.config import FinetuneConfig, PretrainConfig
from mac.report import data_card
from mac.report.results import Results, from_folder, from_mapping
from mac.report.summary import data_note, summary
from mac.report.tables import comma_separated, markdown
from mac.validation import ConfigError, nearest


def report(arguments: argparse.Namespace) -> None:
    """Write the named tables, or the summary; the same results give the same bytes."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    for name in arguments.table or []:
        if name not in plan.tables:
            raise ConfigError([f"--table {name}: no such table{nearest(name, plan.tables)}"])
    if arguments.from_mlflow:
        from mac.tracking import mlflow  # seconds to import: only where it is asked for

        read = from_mapping(mlflow.finished_results(arguments.from_mlflow))
    else:
        read = from_folder(arguments.results)
    results = Results(plan, read)
    everything = list(plan.tables) if arguments.from_mlflow and not arguments.table else []
    for name in arguments.table or everything:
        _write_table(plan.tables[name], results, arguments.out / "tables")
    if not arguments.table:
        write_text(arguments.out / "README.md", summary(plan, results))


def _write_table(table: planning.PlannedTable, results: Results, folder: Path) -> None:
    note = data_note(results.plan)
    write_text(folder / f"{table.name}.md", markdown(table, results, note))
    write_text(folder / f"{table.name}.csv", comma_separated(table, results))
    if table.is_curve:
        from mac.report.figures import draw_curve  # matplotlib: only where a picture is drawn

        kind = "generated figures" if "generated" in note else "real video"
        caption = f"scale {results.plan.scale}, {kind}"
        draw_curve(table, results, caption, [folder / f"{table.name}.{ending}" for ending in ("png", "svg")])


def track(arguments: argparse.Namespace) -> None:
    """Record a finished run in MLflow and write a receipt with MLflow's run id."""
    from mac.tracking import mlflow

    model = PretrainConfig if arguments.stage == "pretrain" else FinetuneConfig
    config = read_config(arguments.config, model)
    plan = planning.load(arguments.config_dir, arguments.scale)
    used_by = (plan.pretrainings if arguments.stage == "pretrain" else plan.finetunings)[config.identify()].used_by
    metrics = json.loads(max((p for p in arguments.files if p.suffix == ".json"), key=_epoch_of).read_text())
    parent = json.loads(arguments.parent.read_text())["id"] if arguments.parent else None
    tags = {
        "scale": plan.scale,
        "tables": ", ".join(dict.fromkeys(use.split(":")[0] for use in used_by)),
        "rows": "; ".join(used_by),
        "git_commit": metrics["commit"],
        "index_digest": metrics["index_digest"],
        "dataset": config.store.dataset.name,
    }
    run = mlflow.RunRecord(
        run_id=config.identify(),
        stage=arguments.stage,
        name=_name(config, used_by),
        params=_flatten(config.canonical()),
        tags=tags,
        files=[arguments.config, *arguments.files],
        parent=parent,
    )
    client = mlflow.connect(arguments.tracking_uri)
    own = mlflow.record(client, arguments.tracking_uri, run)
    write_json(arguments.receipt, {"id": run.run_id, "mlflow_run_id": own, "tracking_uri": arguments.tracking_uri})


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


def describe(arguments: argparse.Namespace) -> None:
    """Write a data card: a page, its numbers beside it as JSON, and its pictures."""
    table = pd.read_parquet(arguments.index)
    facts = data_card.summarise(table)
    for path in arguments.pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    data_card.draw(table, arguments.title, arguments.pictures)
    write_json(arguments.out.with_suffix(".json"), facts)
    write_text(arguments.out, data_card.page(arguments.title, facts, table, arguments.pictures[0].name))
