"""Reports, and the numbers in them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac.cli.options import PATH, Group, Paths, paths, planned, runs_page

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.plan import Plan

theme = Group("report", help="Report")


@theme.command()
@planned
@click.option("--table", "tables", multiple=True, help="Only these tables; the summary is then left alone.")
@runs_page
@click.option("--results", type=PATH, help="Read results from this folder.")
@click.option("--from-mlflow", metavar="URI", help="Read results from MLflow instead.")
@click.option("--svg", is_flag=True, help="Draw curves as SVG too, beside the PNG.")
@paths("out")
def report(
    plan: "Plan",
    tables: tuple,
    runs_page: str | None,
    results: Path | None,
    from_mlflow: str | None,
    svg: bool,
    out: Path,
) -> None:
    """Write the summary and claims, or tables, from results; all of them from MLflow alone."""
    from mac.report import writing
    from mac.report.results import from_folder, from_mapping
    from mac.validation import ConfigError, nearest

    if (results is None) == (from_mlflow is None):
        raise click.UsageError("Give one of --results and --from-mlflow.")
    if unknown := [name for name in tables if name not in plan.tables]:
        raise ConfigError([f"--table {name}: no such table{nearest(name, plan.tables)}" for name in unknown])
    if from_mlflow:
        from mac.tracking import store

        found = writing.read(plan, from_mapping(store.finished_results(from_mlflow)), runs_page)
    else:
        found = writing.read(plan, from_folder(results), runs_page)
    for name in tables or (plan.tables if from_mlflow else ()):
        writing.write_table(plan.tables[name], found, out / "tables", svg)
    if not tables:
        writing.write_summary(found, out)


@theme.command()
@planned
@click.option("--svg", is_flag=True, help="Draw them as SVG too, beside the PNG.")
@paths("results", "out")
def learning(plan: "Plan", results: Path, svg: bool, out: Path) -> None:
    """Draw the learning curves of every table's rows."""
    from mac import pictures
    from mac.report.figures import draw_learning
    from mac.tracking import journal

    out.mkdir(parents=True, exist_ok=True)

    def events(stage: str, run_id: str) -> list[dict[str, Any]]:
        """Read a run's journals, of all its segments or its only one; a damaged one is named and left out."""
        epochs = sorted(plan.pretrainings[run_id].epochs) if stage == "pretrain" else []
        names = [f"epoch_{epoch}.jsonl" for epoch in epochs] or ["journal.jsonl"]
        found = []
        for path in (results / stage / run_id / name for name in names):
            try:
                found += [event for event in journal.read(path) if event["event"]] if path.is_file() else []
            except (ValueError, KeyError, TypeError) as error:
                print(f"{path}: left out, damaged ({type(error).__name__}: {error})", file=sys.stderr)
        return found

    for name, table in plan.tables.items():
        draw_learning(plan, table, events, pictures.formats(out / f"learning_{name}", svg))


@theme.command()
@planned
@runs_page
@paths("results", "out", "ledger")
def page(plan: "Plan", runs_page: str | None, results: Path, out: Path, ledger: Path) -> None:
    """Write a scale's whole report as one HTML file."""
    from mac.report import writing
    from mac.report.results import Results, from_folder

    writing.write_page(Results(plan, from_folder(results), runs_page), results, out, ledger)


@theme.command()
@click.argument("predictions", type=PATH, nargs=-1, required=True)
def score(predictions: Paths) -> None:
    """Print accuracy and intervals of saved PREDICTIONS, a run's or those of one cell, as a report's cell has them."""
    from mac.report.reading import parse_predictions
    from mac.report.scores import score as score_of
    from mac.report.tables import digits

    way_out = "give a finetuning's predictions.parquet"
    found = [parse_predictions(path.read_bytes(), str(path), way_out) for path in predictions]
    result = score_of(found, len(found))
    number, interval = digits(result)
    spread = "" if result.spread is None else f" ± {result.spread:.1f} ({result.runs} runs)"
    independent = f"Wilson [{result.wilson_low:.1f}, {result.wilson_high:.1f}]"
    print(f"{number} {interval}{spread}, {independent}, {result.videos} videos in {result.groups} groups")


@theme.command()
@planned
@paths("results", "out")
def keep(plan: "Plan", results: Path, out: Path) -> None:
    """Keep the small files of a scale's finished runs beside its report, with digests and where they ran."""
    from mac import kept
    from mac.pipeline import results_of
    from mac.report.results import Results, from_folder

    found = Results(plan, from_folder(results))
    finished = [f"finetune/{i}" for i in found.finetunes] + [f"probe/{i}" for i in found.probes]
    finished += [f"pretrain/{i}/epoch_{epoch}" for i, epoch in found.pretrains]
    count = kept.keep(plan, finished, results, out)
    for key, reason in found.problems.items():
        print(f"mac keep: {key} is left out: {reason}", file=sys.stderr)
    print(f"{out / 'kept'}: {count} of {len(list(results_of(plan)))} runs and segments")


@theme.command()
@click.argument("run")
@paths("kept", "results")
def restore(run: str, kept: Path, results: Path) -> None:
    """Put the files of a kept RUN into a results folder, after checking them.

    RUN is finetune/ID, probe/ID or pretrain/ID/epoch_E.
    """
    from mac import kept as keeping

    keeping.restore(kept, run, results)
