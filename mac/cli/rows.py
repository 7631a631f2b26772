"""``mac rows``: rows of a scale in one process that needs neither Snakemake nor MLflow nor a network."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli import data, masks, report, runs, training
from mac.cli.options import PATH, config_dir, max_unusable, on_machine, overrides, paths, scale, workers

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.config import StoreConfig
    from mac.overrides import Overrides
    from mac.plan import Plan

COMMANDS = {"masks": masks.check, "pretrain": training.pretrain, "finetune": training.finetune, "probe": training.probe}


@training.theme.command()
@scale
@config_dir
@click.option("--rows", "names", multiple=True, metavar="TABLE: ROW", help="E.g. 'T4: Cross-entropy'.")
@overrides
@click.option("--seeds", type=int, multiple=True, help="Only these seeds.")
@click.option("--data-root", type=PATH, required=True, help="Folder of the data sets' folders.")
@workers
@max_unusable
@paths("results", "out")
@on_machine
@click.pass_context
def rows(ctx: click.Context, paths: SimpleNamespace, data_root: Path, overrides: "Overrides", **others: object) -> None:
    """Run rows of a scale, or rows made with --set and --sweep, in one go, without Snakemake, MLflow or a network.

    What is missing is indexed, extracted, pretrained, finetuned, tested and probed; the small files are kept beside the
    report. If it was interrupted, the same command continues. Its results have the same ids and places as those of the
    workflow.
    """
    from mac import plan as planning
    from mac.runtime.user import dataset_root

    def run(command: click.Command, **files: object) -> None:
        began, takes = time.monotonic(), {parameter.name for parameter in command.params}
        ctx.invoke(command, **{name: value for name, value in (ctx.params | files).items() if name in takes})
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a training that has ended still listens for it
        print(
            f"{time.monotonic() - began:8.1f} s  {command.name} {files.get('config') or files.get('out', '')}",
            flush=True,
        )

    plan = planning.load(ctx.params["config_dir"], ctx.params["scale"], overrides)
    made = [f"{name}: {row.label}" for name in overrides.names for row in plan.tables[name].rows]
    if not (names := (*ctx.params["names"], *made)):
        raise click.UsageError("Give --rows, --set or --sweep.")
    chosen = _choose(plan, names, ctx.params["seeds"], paths.results)
    run(runs.resolve)
    tested = [plan.tested[i].config for i in chosen]
    trained = [plan.pretrainings[config.pretrain_id].config for config in tested if config.pretrain_id]
    for store in dict.fromkeys(config.store for config in [*trained, *tested]):
        # All data before any training: processes that read videos are forked, before torch has threads or a GPU.
        _extract(run, store, paths.results, dataset_root(data_root, store.dataset))
    for i in chosen:
        _train(run, plan, i, paths.results)
    run(report.keep)


def _choose(plan: "Plan", names: tuple[str, ...], seeds: tuple[int, ...], results: Path) -> list[str]:
    """Ids of the finetunings and probes of rows, named as ``TABLE: ROW``; of these seeds alone, where some are given.

    Raises:
        ConfigError: there is no such row or seed, or a row needs what this command doesn't make.
    """
    from mac.pipeline import reads
    from mac.validation import ConfigError, nearest

    known = plan.rows
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([f"--rows: no row {name!r} that trains{nearest(name, known)}" for name in unknown])
    every = dict.fromkeys(i for name in names for cell in known[name].cells for i in cell.runs)
    found = [i for i in every if not seeds or plan.tested[i].config.seed in seeds]
    if not found:
        there = sorted({plan.tested[i].config.seed for i in every})
        raise ConfigError([f"--seeds: these rows have none of {list(seeds)}, but {there}"])
    for config in (plan.tested[i].config for i in found):
        if config.pretrain_id and plan.pretrainings[config.pretrain_id].config.boxes:
            raise ConfigError(
                ["--rows: rows with person boxes need the workflow, which makes the boxes; leave them out"]
            )
        if config.initial == "kinetics400" and not (path := reads(config, results)["backbone"]).exists():
            how = f"python -m mac weights --backbone {config.model.backbone} --out {path}"
            raise ConfigError([f"{path}: published weights are missing; on a machine with a network: {how}"])
    return found


def _extract(run: Callable, store: "StoreConfig", results: Path, root: Path) -> None:
    """From a folder of videos to a frame store, in one shard."""
    listed, frames = results / "dataset" / store.dataset.identify(), results / "store" / store.identify()
    if (frames / "store.json").exists():
        return
    own, index, marker = listed / "config.yaml", listed / "index.parquet", root / "synthetic.json"
    if store.dataset.synthetic and not marker.exists():
        run(data.generate, config=own, out=marker)
    if not index.exists():
        listing, scan = listed / "listing.parquet", listed / "scan" / "0-of-1.parquet"
        run(data.list_videos, config=own, root=root, out=listing)
        run(data.scan, listing=listing, root=root, out=scan)
        run(data.index, config=own, listing=listing, root=root, scans=(scan,), out=index)
    own, part = frames / "config.yaml", frames / "shards" / "0-of-1.parquet"
    run(data.extract, config=own, root=root, index=index, out=part)
    run(data.store, config=own, index=index, parts=(part,), out=frames / "store.json")


def _train(run: Callable, plan: "Plan", tested: str, results: Path) -> None:
    """A finetuning and its probe, or a probe, and before them the mask check and the pretraining they start from."""
    from mac.pipeline import configs_of, reads, writes

    configs, own, finetuning = configs_of(plan), plan.tested[tested].config, plan.finetunings.get(tested)
    wanted = {"finetune": tested, "probe": finetuning.probe} if finetuning else {"probe": tested}
    todo = {stage: i for stage, i in wanted.items() if i and not writes(stage, i, results)["metrics"].exists()}

    def start(stage: str, run_id: str, epoch: int | None = None, **more: object) -> None:
        config, folder = configs[stage][run_id], results / stage / run_id
        files = {"config": folder / "config.yaml", **reads(config, results), **writes(stage, run_id, results, epoch)}
        run(COMMANDS[stage], **files, folder=folder / (f"running_{epoch}" if epoch else "running"), **more)

    def has(epoch: int, *options: str) -> bool:
        files = writes("pretrain", pretrain_id, results, epoch)
        return all(files[option].exists() for option in options)

    if todo and (pretrain_id := own.pretrain_id):
        planned, last = plan.pretrainings[pretrain_id], own.epoch
        check, limits = planned.config.mask_check, plan.experiment.mask_limits
        if check and not writes("masks", check.identify(), results)["out"].exists():
            start("masks", check.identify(), limits=(limits.min_foreground, limits.max_foreground))
        before = max((e for e in planned.epochs if e <= last and has(e, "metrics", "state")), default=0)
        left = [e for e in sorted(planned.epochs) if before < e <= last]
        for epoch in [] if has(last, "backbone", "metrics") else left:
            previous = writes("pretrain", pretrain_id, results, before)["state"] if before else None
            start("pretrain", pretrain_id, epoch, until=epoch, previous=previous)
            before = epoch
    for stage, run_id in todo.items():
        start(stage, run_id)
