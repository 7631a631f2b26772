"""MLflow: recording runs, and looking at them."""

import os
import sys
from pathlib import Path
from shlex import quote
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli.options import config_dir, overrides, paths, planned, runs_page, scale, settings, tracking_uri
from mac.cli.runs import theme
from mac.runtime.atomic import write_json

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.overrides import Overrides
    from mac.plan import Plan


@theme.command()
@scale
@config_dir
@overrides
@paths("results")
@tracking_uri
def preflight(scale: str, config_dir: Path, paths: SimpleNamespace, tracking_uri: str, overrides: "Overrides") -> None:
    """Check that runs can be tracked, before work starts; say if the store lacks what was recorded before."""
    from mac.tracking import store

    client, before = store.connect(tracking_uri), list((paths.results / "tracking").glob("*/*.json"))
    if before and store.is_empty(client):
        words = ["--scale", scale, "--config-dir", str(config_dir), *overrides.words(), "--results", str(paths.results)]
        of = " ".join(map(quote, words))
        print(
            f"{store.bare(tracking_uri)}: it holds no runs, but {len(before)} were recorded before. To bring them back:"
            f"\n  python -m mac track sync {of} --tracking-uri ADDRESS",
            file=sys.stderr,
        )


@theme.group()
def track() -> None:
    """Record runs in MLflow."""


def _recorded(ctx: click.Context, param: click.Parameter, stage: str) -> str:
    """Refuse a stage whose runs are not recorded."""
    from mac.pipeline import RECORDED

    return click.Choice(RECORDED).convert(stage, param, ctx)


@track.command()
@click.option("--stage", callback=_recorded, required=True, help="Stage of the run.")
@click.option("--id", "run_id", required=True, help="Id of the run, or its beginning.")
@paths("results", "receipt", report="Also write the summary of the report, into this folder.")
@runs_page
@tracking_uri
@planned
def run(
    stage: str, run_id: str, paths: SimpleNamespace, runs_page: str | None, tracking_uri: str, plan: "Plan"
) -> None:
    """Record a run that has results in MLflow, and write a receipt with MLflow's run id."""
    from mac import run_ids
    from mac.pipeline import runs_of
    from mac.report import pages
    from mac.report.reading import from_folder
    from mac.report.results import Results
    from mac.tracking import follow, store

    planned = [f"{stage}/{i}" for i in runs_of(plan, stage)]
    run_id = run_ids.complete(f"{stage}/{run_id}", planned, f"scale {plan.scale}").split("/")[1]
    if paths.report:  # in this process: another one would take a second to start
        found = Results(plan, from_folder(paths.results), runs_page, from_folder(paths.report))
        found.print_problems("mac report")
        pages.write_summary(found, paths.report)
    own = follow.record(store.connect(tracking_uri), tracking_uri, plan, paths.results, stage, run_id)
    write_json(paths.receipt, {"id": run_id, "mlflow_run_id": own, "tracking_uri": store.bare(tracking_uri)})


@track.command()
@paths("results")
@click.option("--while-pid", type=int, required=True, metavar="PID", help="Stop when this process has ended.")
@click.option(
    "--since",
    type=float,
    default=0.0,
    metavar="TIME",
    help="Ignore files last written before this time [s since 1970].",
)
@click.option(
    "--every",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two checks for new data.",
)
@tracking_uri
@planned
def follow(paths: SimpleNamespace, while_pid: int, since: float, every: float, tracking_uri: str, plan: "Plan") -> None:
    """Send what runs write while they train to MLflow; wait for a store that is down."""
    from mac.tracking import follow

    follow.follow(plan, paths.results, tracking_uri, since, while_pid, every)


@track.command()
@paths("results")
@tracking_uri
@planned
def sync(paths: SimpleNamespace, tracking_uri: str, plan: "Plan") -> None:
    """Bring a tracking store up to date with all runs of a scale."""
    from mac.tracking import follow, store, views

    client = store.connect(tracking_uri)
    print(f"{store.bare(tracking_uri)}: {follow.sync(client, tracking_uri, plan, paths.results)}")
    views.show(client, client.get_experiment_by_name(store.EXPERIMENT).experiment_id, plan)


@theme.command()
@settings
@click.option("--scale", metavar="NAME", help="Scale whose runs are shown first (default: that of --settings).")
@click.option("--tracking-uri", metavar="URI", help="Address of MLflow's tracking store (default: that of --settings).")
@click.option("--port", type=int, default=5000, show_default=True)
def ui(settings: Path | None, scale: str | None, tracking_uri: str | None, port: int) -> None:
    """Open MLflow's browser on a tracking store, on this machine only."""
    from mac import plan
    from mac.runtime import user
    from mac.tracking import store, views

    if not tracking_uri and not settings:
        raise click.UsageError("give --tracking-uri, or --settings config/config.yaml")
    own = user.load(settings) if settings else None
    shown = plan.load(Path(own.config_dir), scale or own.scale, own.overrides) if own else None
    tracking_uri = tracking_uri or own.tracking_store
    client = store.connect(tracking_uri)
    experiment = client.get_experiment_by_name(store.EXPERIMENT).experiment_id
    views.show(client, experiment, shown)
    page = views.page(experiment, shown.scale if shown else views.EVERYTHING)
    if tracking_uri.startswith("http"):
        print(f"The server runs already: {store.bare(tracking_uri)}/{page}")
        return
    print(f"Open http://127.0.0.1:{port}/{page}  (Ctrl-C ends the server)", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # else it takes half a minute to start
    server = ["-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, *server, *where])  # noqa: S606
