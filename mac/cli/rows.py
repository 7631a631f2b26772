"""``mac rows``: rows of a scale in one uninterrupted run that needs neither Snakemake nor MLflow nor a network."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac.cli import data, masks, report, runs
from mac.cli.options import PATH, Machine, max_unusable, on_machine, paths, scaled, workers
from mac.cli.training import finetune, pretrain, probe, theme

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.config import FinetuneConfig, StoreConfig
    from mac.plan import Plan

Step = tuple[click.Command, dict[str, Any]]  # a command and its arguments


@theme.command()
@scaled
@click.option("--rows", "names", multiple=True, required=True, metavar="TABLE: ROW", help="E.g. 'T4: Cross-entropy'.")
@click.option("--seeds", type=int, multiple=True, help="Only these.")
@click.option("--data-root", type=PATH, required=True, help="Folder of the data sets' folders.")
@workers
@max_unusable
@paths("results", "out")
@on_machine
@click.pass_context
def rows(
    ctx: click.Context,
    scale: str,
    config_dir: Path,
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    data_root: Path,
    workers: int,
    max_unusable: dict[str, float],
    results: Path,
    out: Path,
    machine: Machine,
) -> None:
    """Run rows of a scale in one go, without Snakemake, MLflow or a network.

    What is missing is indexed and extracted, pretrained, finetuned, tested and probed; the small files are kept beside
    the report. The same command goes on where it was cut off. Its results have the ids and the places that the workflow
    gives them.
    """
    from mac import plan as planning
    from mac.runtime.folders import dataset_root

    def run(steps: Iterator[Step], **others: Any) -> None:
        for command, arguments in steps:
            began, takes = time.monotonic(), {parameter.name for parameter in command.params}
            ctx.invoke(command, **arguments, **{name: value for name, value in others.items() if name in takes})
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a training that has ended still listens for it
            what = arguments.get("config") or arguments["out"]
            print(f"{time.monotonic() - began:8.1f} s  {command.name} {what}", flush=True)

    plan = planning.load(config_dir, scale)
    chosen = _choose(plan, names, seeds)
    for i in chosen:
        _start(plan.finetunings[i].config, results)  # refused before anything runs
    ctx.invoke(runs.resolve, scale=scale, config_dir=config_dir, results=results)
    finetunings = [plan.finetunings[i].config for i in chosen]
    trained = [plan.pretrainings[config.pretrain_id].config for config in finetunings if config.pretrain_id]
    for store in dict.fromkeys(config.store for config in [*trained, *finetunings]):
        # All of them before any training: processes that read videos are forked.
        root = dataset_root(data_root, store.dataset)
        run(_extract(store, results, root), config_dir=config_dir, workers=workers, max_unusable=max_unusable)
    for i in chosen:
        run(_train(plan, i, results), scale=scale, config_dir=config_dir, **vars(machine))
    ctx.invoke(report.keep, scale=scale, config_dir=config_dir, results=results, out=out)


def _choose(plan: "Plan", names: tuple[str, ...], seeds: tuple[int, ...]) -> list[str]:
    """Ids of the finetunings of rows, named as ``TABLE: ROW``; of these seeds alone, where some are given."""
    from mac.validation import ConfigError, nearest

    known = {f"{t.name}: {row.label}": row for t in plan.tables.values() for row in t.rows if not row.cited}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([f"--rows: no row {name!r} that trains{nearest(name, known)}" for name in unknown])
    every = dict.fromkeys(i for name in names for cell in known[name].cells for i in cell.finetunes)
    found = [i for i in every if not seeds or plan.finetunings[i].config.seed in seeds]
    if not found:
        there = sorted({plan.finetunings[i].config.seed for i in every})
        raise ConfigError([f"--seeds: these rows have none of {list(seeds)}, but {there}"])
    boxed = {i for i, planned in plan.pretrainings.items() if planned.config.boxes}
    if any(plan.finetunings[i].config.pretrain_id in boxed for i in found):
        raise ConfigError(["--rows: rows with person boxes need the workflow, which makes them first; leave them out"])
    return found


def _start(config: "FinetuneConfig", results: Path) -> Path | None:
    """The checkpoint that a finetuning starts from; published weights must be there."""
    from mac.validation import ConfigError

    if config.initial == "random":
        return None
    if config.initial == "pretrained":
        return results / "pretrain" / config.pretrain_id / f"epoch_{config.epoch}.safetensors"
    path = results / "weights" / f"{config.model.backbone}.safetensors"
    if not path.exists():
        how = f"python -m mac weights --backbone {config.model.backbone} --out {path}"
        raise ConfigError([f"{path}: published weights are wanted; where there is a network: {how}"])
    return path


def _extract(store: "StoreConfig", results: Path, root: Path) -> Iterator[Step]:
    """From a folder of videos to a store, in one shard."""
    listed, frames = results / "dataset" / store.dataset.identify(), results / "store" / store.identify()
    if (frames / "store.json").exists():
        return
    own, index, marker = {"config": listed / "config.yaml"}, listed / "index.parquet", root / "synthetic.json"
    if store.dataset.synthetic and not marker.exists():
        yield data.generate, {**own, "out": marker}
    if not index.exists():
        listing, scan = listed / "listing.parquet", listed / "scan" / "0-of-1.parquet"
        yield data.list_videos, {**own, "root": root, "out": listing}
        yield data.scan, {"listing": listing, "root": root, "out": scan}
        yield data.index, {**own, "listing": listing, "root": root, "scans": (scan,), "out": index}
    own, part = {"config": frames / "config.yaml", "index": index}, frames / "shards" / "0-of-1.parquet"
    yield data.extract, {**own, "root": root, "out": part}
    yield data.store, {**own, "parts": (part,), "out": frames / "store.json"}


def _train(plan: "Plan", finetune_id: str, results: Path) -> Iterator[Step]:
    """A finetuning and its probe, and before them the pretraining that they start from."""
    planned = plan.finetunings[finetune_id]
    wanted = {finetune: results / "finetune" / finetune_id}
    wanted |= {probe: results / "probe" / planned.probe} if planned.probe else {}
    missing = {command: run for command, run in wanted.items() if not (run / "metrics.json").exists()}
    if missing and planned.config.pretrain_id:
        yield from _pretrain(plan, planned.config, results)
    for command, run in missing.items():
        names = {"config": "config.yaml", "metrics": "metrics.json", "journal": "journal.jsonl"}
        names |= {"predictions": "predictions.parquet"}
        names |= {"classifier": "classifier.safetensors", "folder": "running"} if command is finetune else {}
        store = results / "store" / planned.config.store.identify() / "store.json"
        start = {"store": store, "backbone": _start(planned.config, results)}
        yield command, {option: run / name for option, name in names.items()} | start


def _pretrain(plan: "Plan", finetuning: "FinetuneConfig", results: Path) -> Iterator[Step]:
    """The mask check and the segments of a pretraining up to an epoch; epochs that other rows want are kept too."""
    planned, last = plan.pretrainings[finetuning.pretrain_id], finetuning.epoch
    config, run = planned.config, results / "pretrain" / finetuning.pretrain_id
    store = {"store": results / "store" / config.store.identify() / "store.json"}
    check, limits = config.mask_check and results / "masks" / config.mask_check.identify(), plan.experiment.mask_limits
    if check and not (check / "check.json").exists():
        files = {"config": check / "config.yaml", "out": check / "check.json", "picture": check / "check.png"}
        yield masks.check, {**files, **store, "limits": (limits.min_foreground, limits.max_foreground)}

    def has(epoch: int, *endings: str) -> bool:
        return all((run / f"epoch_{epoch}.{ending}").exists() for ending in endings)

    if has(last, "safetensors", "json"):
        return
    before = max((epoch for epoch in planned.epochs if epoch <= last and has(epoch, "json", "state.pt")), default=0)
    for epoch in sorted(epoch for epoch in planned.epochs if before < epoch <= last):
        endings = {"backbone": "safetensors", "state": "state.pt", "journal": "jsonl", "metrics": "json"}
        files = {option: run / f"epoch_{epoch}.{ending}" for option, ending in endings.items()}
        previous = run / f"epoch_{before}.state.pt" if before else None
        own = {"config": run / "config.yaml", "folder": run / f"running_{epoch}", "until": epoch, "previous": previous}
        yield pretrain, {**own, **store, **files}
        before = epoch
