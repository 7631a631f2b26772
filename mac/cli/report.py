"""Reports, and the numbers in them."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli.groups import Group
from mac.cli.options import PATH, paths, planned, runs_page, several_paths, svg

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.plan import Plan

theme = Group("report", help="Report")


@theme.command()
@planned
@click.option("--table", "tables", multiple=True, help="Write only these tables, and no summary.")
@runs_page
@paths("out", results="Read results from this folder.")
@click.option("--from-mlflow", metavar="URI", help="Read results from MLflow instead.")
@svg
def report(
    plan: "Plan",
    tables: tuple[str, ...],
    runs_page: str | None,
    paths: SimpleNamespace,
    from_mlflow: str | None,
    svg: bool,
) -> None:
    """Write the summary and claims, or tables, from results; all of them if the results come from MLflow."""
    from mac.report import pages
    from mac.report.reading import from_folder, from_mapping
    from mac.report.results import Results
    from mac.validation import ConfigError, nearest

    if (paths.results is None) == (from_mlflow is None):
        raise click.UsageError("Give one of --results and --from-mlflow.")
    if unknown := [name for name in tables if name not in plan.tables]:
        raise ConfigError([f"--table {name}: no such table{nearest(name, plan.tables)}" for name in unknown])
    if from_mlflow:
        from mac.tracking import store

        source = from_mapping(store.finished_results(from_mlflow))
    else:
        source = from_folder(paths.results)
    found = Results(plan, source, runs_page, from_folder(paths.out))
    found.print_problems("mac report")
    for name in tables or (plan.tables if from_mlflow else ()):
        pages.write_table(plan.tables[name], found, paths.out / "tables", svg)
    if not tables:
        pages.write_summary(found, paths.out)


@theme.command()
@planned
@svg
@paths("results", "out")
def learning(plan: "Plan", svg: bool, paths: SimpleNamespace) -> None:
    """Draw the learning curves of every table's rows."""
    from mac import pictures
    from mac.report.figures import draw_learning
    from mac.report.reading import from_folder
    from mac.report.results import Results

    found = Results(plan, from_folder(paths.results))
    for name, table in plan.tables.items():
        draw_learning(table, found, pictures.formats(paths.out / f"learning_{name}", svg))


@theme.command()
@planned
@runs_page
@paths("results", "out", "ledger")
def page(plan: "Plan", runs_page: str | None, paths: SimpleNamespace) -> None:
    """Write a scale's whole report as one HTML file."""
    from mac.report import pages
    from mac.report.reading import from_folder
    from mac.report.results import Results
    from mac.runtime.atomic import write_text

    found = Results(plan, from_folder(paths.results), runs_page, from_folder(paths.out))
    text = pages.page(found, paths.out, paths.results, paths.ledger.read_text(encoding="utf-8"))
    write_text(paths.out / "index.html", text)


@theme.command()
@click.argument("predictions", type=PATH, nargs=-1, required=True)
def score(predictions: tuple[Path, ...]) -> None:
    """Print accuracy and intervals of saved PREDICTIONS (of one run, or of all runs of a cell) as a report does."""
    from mac.report.reading import parse_predictions
    from mac.report.scores import score as score_of
    from mac.report.texts import digits

    way_out = "give a finetuning's predictions.parquet"
    found = [parse_predictions(path.read_bytes(), str(path), way_out) for path in predictions]
    result = score_of(found, len(found))
    number, interval = digits(result)
    spread = "" if result.spread is None else f" ± {result.spread:.1f} ({result.runs} runs)"
    independent = f"Wilson [{result.wilson_low:.1f}, {result.wilson_high:.1f}]"
    print(f"{number} {interval}{spread}, {independent}, {result.videos} videos in {result.groups} groups")


@theme.command()
@planned
@paths("results", "store", "out")
@several_paths("pictures")
def gains(plan: "Plan", paths: SimpleNamespace, pictures: tuple[Path, ...]) -> None:
    """Draw in which test videos and classes a row's gain sits, as the scale's figures.gains asks."""
    from mac.data.store import FrameStore
    from mac.report import gains
    from mac.report.reading import from_folder
    from mac.report.results import Results
    from mac.runtime.atomic import write_json
    from mac.stages import motion
    from mac.validation import ConfigError

    if not plan.gains:
        raise ConfigError([f"figures.gains: scale {plan.scale} asks for no figure of gains, or has no mask setting"])
    mask, frames = plan.mask_checks[plan.shown_check].mask, FrameStore(paths.store.parent)
    foreground = motion.run(plan.tested[plan.gains.cell.runs[0]].config, mask, frames)
    found = gains.compare(plan.gains, foreground, frames.labels, Results(plan, from_folder(paths.results)))
    facts = gains.facts(plan.gains, found, mask.model_dump())
    gains.draw(plan.gains, found, f"Scale {plan.scale}.", list(pictures))
    write_json(paths.out, facts | {"index_digest": frames.digest})


@theme.command()
@planned
@paths("results", "out")
def keep(plan: "Plan", paths: SimpleNamespace) -> None:
    """Copy the small files of a scale's finished runs beside its report, with digests and where they ran."""
    from mac import kept
    from mac.pipeline import results_of
    from mac.report.reading import from_folder
    from mac.report.results import Results

    found = Results(plan, from_folder(paths.results))
    count = kept.keep(plan, found.runs, paths.results, paths.out)
    found.print_problems("mac keep")
    print(f"{paths.out / 'kept'}: {count} of {len(list(results_of(plan)))} runs and segments")


@theme.command()
@click.argument("run")
@paths("kept", "results")
def restore(run: str, paths: SimpleNamespace) -> None:
    """Check the files of a kept RUN, and copy them into a results folder.

    RUN is finetune/ID, probe/ID or pretrain/ID/epoch_E, or an id or its beginning alone.
    """
    from mac import kept, run_ids

    known = kept.read_provenance(paths.kept)["runs"]
    kept.restore(paths.kept, run_ids.complete(run, known, str(paths.kept)), paths.results)
