"""``report``, ``score`` and ``describe``."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from mac import plan as planning
from mac.commands.files import write_json
from mac.report import pages, tables
from mac.report.provenance import data_note
from mac.report.reading import parse_predictions
from mac.report.results import Read, Results, from_folder, from_mapping
from mac.report.scores import score as score_of
from mac.runtime.atomic import write_text
from mac.validation import ConfigError, nearest


def report(arguments: argparse.Namespace) -> None:
    """Write the named tables, or the summary; the same results give the same bytes."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    for name in arguments.table or []:
        if name not in plan.tables:
            raise ConfigError([f"--table {name}: no such table{nearest(name, plan.tables)}"])
    if arguments.from_mlflow:
        from mac.tracking import store  # seconds to import: only where it is asked for

        read = from_mapping(store.finished_results(arguments.from_mlflow))
    else:
        read = from_folder(arguments.results)
    results = _results(plan, read, arguments.runs_page)
    everything = list(plan.tables) if arguments.from_mlflow and not arguments.table else []
    for name in arguments.table or everything:
        _write_table(plan.tables[name], results, arguments.out / "tables", arguments.svg)
    if not arguments.table:
        _write_summary(results, arguments.out)


def refresh(plan: planning.Plan, folder: Path, runs_page: str | None, out: Path) -> None:
    """Write the summary anew from a results folder."""
    _write_summary(_results(plan, from_folder(folder), runs_page), out)


def _results(plan: planning.Plan, read: Read, runs_page: str | None) -> Results:
    results = Results(plan, read, runs_page)
    for key, reason in results.problems.items():
        print(f"mac report: {key} is left out: {reason}", file=sys.stderr)
    return results


def _write_summary(results: Results, out: Path) -> None:
    write_text(out / "README.md", pages.summary(results))
    write_text(out / "claims.md", pages.claims_page(results))


def score(arguments: argparse.Namespace) -> None:
    """Print the number of saved predictions as a report's cell has it; several files are the runs of one cell."""
    way_out = "give a finetuning's predictions.parquet"
    found = [parse_predictions(path.read_bytes(), str(path), way_out) for path in arguments.predictions]
    result = score_of(found, len(found))
    number, interval = tables.digits(result)
    spread = "" if result.spread is None else f" ± {result.spread:.1f} ({result.runs} runs)"
    independent = f"Wilson [{result.wilson_low:.1f}, {result.wilson_high:.1f}]"
    print(f"{number} {interval}{spread}, {independent}, {result.videos} videos in {result.groups} groups")


def _write_table(table: planning.PlannedTable, results: Results, folder: Path, svg: bool) -> None:
    write_text(folder / f"{table.name}.md", tables.markdown(table, results))
    write_text(folder / f"{table.name}.csv", tables.comma_separated(table, results))
    write_text(folder / f"{table.name}.tex", tables.latex(table, results))
    if table.is_curve:
        from mac import pictures  # matplotlib: only where a picture is drawn
        from mac.report.figures import draw_curve

        kind = "generated figures" if "generated" in data_note(results.plan) else "real video"
        caption = f"scale {results.plan.scale}, {kind}"
        draw_curve(table, results, caption, pictures.formats(folder / table.name, svg))


def describe(arguments: argparse.Namespace) -> None:
    """Write a data card: a page, its numbers beside it as JSON, and its pictures."""
    from mac.report import cards, figures  # matplotlib: only where a picture is drawn

    table = pd.read_parquet(arguments.index)
    facts = cards.summarise(table)
    for path in arguments.pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    figures.draw_lengths(table, arguments.title, arguments.pictures)
    write_json(arguments.out.with_suffix(".json"), facts)
    write_text(arguments.out, cards.data_card(arguments.title, facts, table, arguments.pictures[0].name))
