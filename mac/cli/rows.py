"""``mac rows``: rows of a scale in one uninterrupted run that needs neither Snakemake nor MLflow nor a network."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac.cli import data, masks, report, runs
from mac.cli.options import PATH, max_unusable, paths, processor, scaled, workers
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
@processor
@click.pass_context
def rows(
    ctx: click.Context,
    scale: str,
    config_dir: Path,
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    results: Path,
    out: Path,
    **others: Any,
) -> None:
    """Run rows of a scale in one go, without Snakemake, MLflow or a network.

    What is missing is indexed and extracted, pretrained, finetuned, tested and probed; the small files are kept beside
    the report. The same command goes on where it was cut off. Its results have the ids and the places that the workflow
    gives them.
    """
    from mac import plan as planning

    plan = planning.load(config_dir, scale)
    chosen = _choose(plan, names, seeds)
    where = {"scale": scale, "config_dir": config_dir, "results": results}
    ctx.invoke(runs.resolve, **where)
    for command, arguments in _steps(plan, chosen, **where, **others):
        began = time.monotonic()
        ctx.invoke(command, **arguments)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a training that has ended still listens for it
        print(f"{time.monotonic() - began:8.1f} s  {command.name} {arguments.get('config', '')}", flush=True)
    ctx.invoke(report.keep, **where, out=out)


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


def _steps(
    plan: "Plan",
    chosen: list[str],
    scale: str,
    config_dir: Path,
    results: Path,
    data_root: Path,
    workers: int,
    max_unusable: dict[str, float],
    **processor: Any,
) -> Iterator[Step]:
    """What isn't there yet, in order."""
    from mac.runtime.folders import dataset_root

    finetunings = [plan.finetunings[i].config for i in chosen]
    starts = [_start(config, results) for config in finetunings]
    trained = [plan.pretrainings[config.pretrain_id].config for config in finetunings if config.pretrain_id]
    stores = {config.store.identify(): config.store for config in [*trained, *finetunings]}
    for store in stores.values():  # before any training: processes that read videos are forked
        if not _store_file(results, store).exists():
            root = dataset_root(data_root, store.dataset)
            yield from _extract(store, results, root, config_dir, workers, max_unusable)
    for i, config, start in zip(chosen, finetunings, starts, strict=True):
        probe_id = plan.finetunings[i].probe
        wanted = {finetune: results / "finetune" / i} | ({probe: results / "probe" / probe_id} if probe_id else {})
        missing = {command: run for command, run in wanted.items() if not (run / "metrics.json").exists()}
        if missing and config.pretrain_id:
            for command, arguments in _pretrain(plan, config, results):
                where = {"scale": scale, "config_dir": config_dir} if command is masks.card else processor
                yield command, arguments | where
        for command, run in missing.items():
            names = {"config": "config.yaml", "metrics": "metrics.json", "journal": "journal.jsonl"}
            names |= {"predictions": "predictions.parquet"}
            if command is finetune:
                names |= {"classifier": "classifier.safetensors", "folder": "running"}
            files = {option: run / name for option, name in names.items()}
            yield command, {**files, "store": _store_file(results, config.store), "backbone": start, **processor}


def _store_file(results: Path, store: "StoreConfig") -> Path:
    return results / "store" / store.identify() / "store.json"


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


def _extract(
    store: "StoreConfig", results: Path, root: Path, config_dir: Path, workers: int, max_unusable: dict[str, float]
) -> Iterator[Step]:
    """From a folder of videos to a store, in one shard."""
    listed, frames = results / "dataset" / store.dataset.identify(), _store_file(results, store).parent
    own, index = {"config": listed / "config.yaml"}, listed / "index.parquet"
    if store.dataset.embedded and not (root / "embedded.json").exists():
        yield data.draw, {**own, "out": root / "embedded.json", "workers": workers}
    if not index.exists():
        listing, scan = listed / "listing.parquet", listed / "scan" / "0-of-1.parquet"
        there = {"root": root, "config_dir": config_dir}
        yield data.list_videos, {**own, **there, "out": listing}
        yield data.scan, {"listing": listing, "root": root, "out": scan, "workers": workers}
        scans = {"listing": listing, "scans": (scan,), "max_unusable": max_unusable}
        yield data.index, {**own, **there, **scans, "out": index}
    own, part = {"config": frames / "config.yaml", "index": index}, frames / "shards" / "0-of-1.parquet"
    yield data.extract, {**own, "root": root, "out": part, "workers": workers}
    yield data.store, {**own, "parts": (part,), "out": frames / "store.json"}


def _pretrain(plan: "Plan", finetuning: "FinetuneConfig", results: Path) -> Iterator[Step]:
    """The mask card and the segments of a pretraining up to an epoch; epochs that other rows want are kept too."""
    planned, last = plan.pretrainings[finetuning.pretrain_id], finetuning.epoch
    config, run = planned.config, results / "pretrain" / finetuning.pretrain_id
    store = {"store": _store_file(results, config.store)}
    card, limits = results / "masks" / config.card.identify(), plan.experiment.mask_limits
    if config.card.identify() in plan.cards and not (card / "card.json").exists():
        files = {"config": card / "config.yaml", "out": card / "card.json", "picture": card / "card.png"}
        yield masks.card, {**files, **store, "limits": (limits.min_foreground, limits.max_foreground)}

    def has(epoch: int, *endings: str) -> bool:
        return all((run / f"epoch_{epoch}.{ending}").exists() for ending in endings)

    if has(last, "safetensors", "json"):
        return
    before = max((epoch for epoch in planned.epochs if epoch <= last and has(epoch, "json", "state.pt")), default=None)
    for epoch in sorted(epoch for epoch in planned.epochs if (before or 0) < epoch <= last):
        endings = {"backbone": "safetensors", "state": "state.pt", "journal": "jsonl", "metrics": "json"}
        files = {option: run / f"epoch_{epoch}.{ending}" for option, ending in endings.items()}
        own = {"config": run / "config.yaml", "folder": run / f"running_{epoch}", "until": epoch}
        previous = {"previous": run / f"epoch_{before}.state.pt"} if before else {}
        yield pretrain, {**own, **store, **files, **previous}
        before = epoch
