"""What is to be done and what has been done: plans, cleaning up; and the process that jobs start from."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli.groups import Group
from mac.cli.options import PATH, config_dir, overrides, paths, planned, scale, scales, settings

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.overrides import Overrides
    from mac.plan import Plan

theme = Group("runs", help="Runs")


@theme.command()
@scale
@config_dir
@overrides
@click.option("--results", type=PATH, help="Results folder: what is done there is subtracted, its speed is used.")
@click.option("--device", help="Only the devices with this in their name.")
@click.option("--gpus-per-run", type=click.IntRange(min=1), help="Devices that share each training (default: 1).")
@click.option("--json", is_flag=True, help="Print JSON instead of text.")
@settings
def plan(
    scale: str,
    config_dir: Path,
    results: Path | None,
    device: str | None,
    gpus_per_run: int | None,
    json: bool,
    settings: Path | None,
    overrides: "Overrides",
) -> None:
    """Show what a scale trains, which rows share each training, and what it will cost.

    Where a scale has one seed and CONFIG/scales holds SCALE-3-seeds, it also says what three seeds add. The real
    experiment: paper, paper-3-seeds (claims about the method need it), paper-3-splits (mean of the official splits).
    """
    from mac.costs import text
    from mac.runtime import user

    if settings:
        own = user.load(settings)
        results, gpus_per_run = results or Path(own.results), gpus_per_run or own.gpus_per_run
    costs = text.reckon(config_dir, scale, results, device, gpus_per_run or 1, overrides)
    print(text.write_json(costs) if json else text.write(costs))


@theme.command()
@planned
@paths("results")
def resolve(plan: "Plan", paths: SimpleNamespace) -> None:
    """Write the resolved configuration of every run of a scale, RESULTS/STAGE/ID/config.yaml, where it is missing."""
    from mac.config import write_config
    from mac.pipeline import configs_of

    for stage, configs in configs_of(plan).items():
        for run_id, config in configs.items():
            path = paths.results / stage / run_id / "config.yaml"
            if not path.exists():
                write_config(path, config)


@theme.command()
@paths("results")
@scales
@config_dir
@overrides
@click.option("--states", is_flag=True, help="Also list what is only needed to continue a training.")
@click.option("--yes", is_flag=True, help="Delete what is listed.")
def clean(
    paths: SimpleNamespace, scales: tuple[str, ...], config_dir: Path, overrides: "Overrides", states: bool, yes: bool
) -> None:
    """List results that no table of the scales, no --set and no --sweep refers to; delete them with --yes."""
    from mac import leftovers

    plans = leftovers.load_plans(config_dir, scales, overrides)
    folder = leftovers.Folder(paths.results)
    listed, kept = leftovers.find(folder, plans)
    more = leftovers.find_states(folder, plans) if states else []
    names = ", ".join(plan.scale for plan in plans)
    _print(f"Not referred to by any table of the scales {names} in {config_dir}:", listed)
    if states:
        _print("Referred to, but needed no more to read results off (--states):", more)
    for one, why in kept.items():
        print(f"Kept: {one} — {why}")
    everything = [*listed, *more]
    total = f"{len(everything)} in all, {_megabytes(sum(one.size for one in everything))}."
    if not yes:
        print(f"{total} Nothing was deleted; --yes deletes exactly this. Runs recorded in MLflow stay there.")
        return
    deleted = 0
    for one in everything:
        if leftovers.remove(one, paths.results):
            deleted += 1
        else:
            print(f"Kept: {one.name} — somebody has begun to train it")
    print(f"Deleted {deleted} of {total}")


def _print(title: str, listed: list) -> None:
    print(title if listed else f"{title} nothing")
    width = max((len(one.name) for one in listed), default=0)
    for one in listed:
        print(f"  {one.name:{width}}  {_megabytes(one.size):>12}  {one.why}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@theme.command(hidden=True)
@click.argument("socket", type=PATH)
def warm(socket: Path) -> None:
    """Import what jobs need, then run each job that asks at SOCKET in a fork."""
    import gc
    from importlib import import_module

    from sqlalchemy.orm import configure_mappers

    from mac.cli import main
    from mac.runtime import warm
    from mac.runtime.signals import end_with

    libraries = ("mlflow.store.tracking.sqlalchemy_store", "pyarrow.dataset", "pyarrow.parquet")
    ours = ("methods.mac", "models.backbones.resnet", "report.pages", "tracking.follow")
    stages = ("finetune", "gradcam", "mask_check", "pretrain")
    for module in (*libraries, *(f"mac.{name}" for name in ours), *(f"mac.stages.{name}" for name in stages)):
        import_module(module)
    configure_mappers()  # of MLflow's tables; else each job's first query does it
    gc.freeze()  # a fork that looks for garbage among all this would copy it
    words = warm.serve(socket)
    end_with(lambda: main(words))  # and so would one that cleans up all this
