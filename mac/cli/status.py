"""What is done now, and how runs differ: progress, status, comparisons."""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli.options import PATH, config_dir, gathered, overrides, own_settings, planned, plans_of
from mac.cli.runs import theme

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.overrides import Overrides
    from mac.plan import Plan


def _here(
    settings: Path, scale: str | None, results: Path | None, config_dir: Path, overrides: "Overrides"
) -> SimpleNamespace:
    """Find the results folder and the scale, in the user's settings where they are not given.

    ``plans`` holds the scale's plan first, then those of the other scales, which know the rows of further runs.
    """
    from mac import plan as planning
    from mac.runtime import user

    if scale is None or results is None:
        own = user.load(settings)
        scale, results = scale or own.scale, results or Path(own.results)
    others = plans_of(config_dir, (other for other in planning.scales(config_dir) if other != scale))
    return SimpleNamespace(results=results, plans=[planning.load(config_dir, scale, overrides), *others])


here = gathered(
    "here",
    _here,
    scale=click.option("--scale", help="Name of a file in CONFIG/scales (default: that of --settings)."),
    results=click.option("--results", type=PATH, help="Results folder (default: that of --settings)."),
    settings=own_settings,
    config_dir=config_dir,
    overrides=overrides,
)


@theme.command()
@planned
@own_settings
@click.option("--warm", is_flag=True, help="Let jobs be forks of one process, which saves each some seconds.")
@click.option("--first", multiple=True, metavar="TABLE", help="Tables that Snakemake shall make before others.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def progress(plan: "Plan", settings: Path, warm: bool, first: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Run COMMAND (Snakemake) with its output in RESULTS/logs, and show in one line how far the scale's work is."""
    from mac.runtime import user
    from mac.runtime.progress import follow
    from mac.runtime.warm import started

    own, config = user.load(settings), click.get_current_context().params["config_dir"]
    results, reports = Path(own.results), Path(own.reports) / plan.scale
    log = results / "logs" / f"snakemake-{plan.scale}.log"
    tables = [f"{reports}/tables/{name}.md" for name in first if name in plan.tables]
    command = [*command, *(("--prioritize", *tables) if tables else ())]
    with started() if warm else nullcontext():
        sys.exit(follow(plan, config, results, reports, log, command))


@theme.command()
@here
def status(here: SimpleNamespace) -> None:
    """Say what runs where and how far it is, what waits, what failed and why, and how much disk is used; reads only."""
    from mac.runtime import status
    from mac.runtime.status_text import write

    first, *others = here.plans
    print(write(status.look(here.results, first, others), here.results, first.scale))


@theme.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@here
def compare(first: str, second: str, here: SimpleNamespace) -> None:
    """Say how two runs or rows differ: their configurations, and their numbers in pairs of test videos.

    A and B are ids of runs (or their beginnings), or rows: "T4: Cross-entropy".
    """
    from mac.report import versus

    found = versus.Versus(here.results, here.plans)
    print(versus.write(found, found.side(first), found.side(second)))
