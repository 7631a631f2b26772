"""``rows``: rows of a scale in one uninterrupted run that needs neither Snakemake nor MLflow nor a network."""

import argparse
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from mac import cli
from mac import plan as planning
from mac.commands import keeping
from mac.commands.planning import resolve
from mac.config import FinetuneConfig, PretrainConfig, StoreConfig
from mac.plan import Plan, Pretraining
from mac.runtime.folders import dataset_root
from mac.validation import ConfigError, nearest

NEEDED = ("json", "state.pt")  # of a finished segment, to go on from it


def rows(arguments: argparse.Namespace) -> None:
    """Index and extract what is missing, pretrain, finetune, test, probe; keep the small files beside the report.

    The same command goes on where it was cut off. Its results have the ids and the places that the workflow gives them.
    """
    plan = planning.load(arguments.config_dir, arguments.scale)
    finetunes = _chosen(plan, arguments.rows, arguments.seeds)
    resolve(arguments)
    for words in _work(plan, finetunes, arguments):
        began = time.monotonic()
        cli.main([str(word) for word in words])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a training that has ended still listens for it
        print(f"{time.monotonic() - began:8.1f} s  {' '.join(map(str, words[:3]))}", flush=True)
    keeping.keep(arguments)


def _chosen(plan: Plan, names: list[str], seeds: list[int] | None) -> list[str]:
    """Ids of the finetunings of rows, named as ``TABLE: ROW``; of these seeds alone, where some are given."""
    known = {f"{t.name}: {row.label}": row for t in plan.tables.values() for row in t.rows if not row.cited}
    problems = [f"--rows: no row {name!r} that trains{nearest(name, known)}" for name in names if name not in known]
    if problems:
        raise ConfigError(problems)
    every = list(dict.fromkeys(i for name in names for cell in known[name].cells for i in cell.finetunes))
    found = [i for i in every if seeds is None or plan.finetunings[i].config.seed in seeds]
    if not found:
        there = sorted({plan.finetunings[i].config.seed for i in every})
        raise ConfigError([f"--seeds: these rows have none of {seeds}, but {there}"])
    boxed = {p for p, planned in plan.pretrainings.items() if planned.config.boxes}
    if any(plan.finetunings[i].config.pretrain_id in boxed for i in found):
        raise ConfigError(["--rows: rows with person boxes need the workflow, which makes them first; leave them out"])
    return found


def _work(plan: Plan, finetunes: list[str], arguments: argparse.Namespace) -> Iterator[list]:
    """Commands, in order, of what isn't there yet."""
    results = arguments.results
    chosen = [plan.finetunings[i].config for i in finetunes]
    starts = {i: _start(config, results) for i, config in zip(finetunes, chosen, strict=True)}
    trained = [plan.pretrainings[config.pretrain_id].config for config in chosen if config.pretrain_id]
    stores = {stage.store.identify(): stage.store for stage in [*trained, *chosen]}
    for store in stores.values():  # before any training: processes that read videos are forked
        yield from _frames(store, arguments)
    for finetune_id in finetunes:
        planned, start = plan.finetunings[finetune_id], starts[finetune_id]
        config, run = planned.config, results / "finetune" / finetune_id
        probes = planned.probe and not (results / "probe" / planned.probe / "metrics.json").exists()
        if config.pretrain_id and (probes or not (run / "metrics.json").exists()):
            pretraining = plan.pretrainings[config.pretrain_id]
            yield from _card(plan, pretraining.config, arguments)
            yield from _pretrain(pretraining, config.epoch, arguments)
        if not (run / "metrics.json").exists():
            files = {"classifier": run / "classifier.safetensors", **_tested(run)}
            yield _stage("finetune", run, config, files, [*start, "--folder", run / "running"], arguments)
        if probes:
            run = results / "probe" / planned.probe
            yield _stage("probe", run, config, _tested(run), start, arguments)


def _tested(run: Path) -> dict[str, Path]:
    return {"predictions": run / "predictions.parquet", "journal": run / "journal.jsonl"}


def _stage(
    name: str,
    run: Path,
    config: PretrainConfig | FinetuneConfig,
    files: dict[str, Path],
    more: list,
    arguments: argparse.Namespace,
    metrics: str = "metrics.json",
) -> list:
    words = [
        name,
        "--config",
        run / "config.yaml",
        "--store",
        _store_file(config.store, arguments),
        "--metrics",
        run / metrics,
    ]
    return [*words, *(word for key, path in files.items() for word in (f"--{key}", path)), *more, *_device(arguments)]


def _store_file(store: StoreConfig, arguments: argparse.Namespace) -> Path:
    return arguments.results / "store" / store.identify() / "store.json"


def _device(arguments: argparse.Namespace) -> list:
    readers, cores = arguments.loader_workers, arguments.cores
    found = ["--device", arguments.device, "--threads", arguments.threads]
    found += ["--loader-workers", "auto" if readers is None else readers]
    return [*found, *([] if cores is None else ["--cores", cores])]


def _start(config: FinetuneConfig, results: Path) -> list:
    if config.initial == "random":
        return []
    if config.initial == "kinetics400":
        path = results / "weights" / f"{config.model.backbone}.safetensors"
        if not path.exists():
            how = f"python -m mac weights --backbone {config.model.backbone} --out {path}"
            raise ConfigError([f"{path}: published weights are wanted; where there is a network: {how}"])
        return ["--backbone", path]
    return ["--backbone", results / "pretrain" / config.pretrain_id / f"epoch_{config.epoch}.safetensors"]


def _pretrain(planned: Pretraining, last: int, arguments: argparse.Namespace) -> Iterator[list]:
    """The segments of a pretraining up to an epoch; those that other rows want on the way are kept too."""
    run, before = arguments.results / "pretrain" / planned.config.identify(), None
    there = [e for e in planned.epochs if e <= last and all((run / f"epoch_{e}.{x}").exists() for x in NEEDED)]
    if (run / f"epoch_{last}.safetensors").exists() and (run / f"epoch_{last}.json").exists():
        return
    for epoch in sorted(planned.epochs):
        if max(there, default=0) < epoch <= last:
            endings = {"backbone": "safetensors", "state": "state.pt", "journal": "jsonl"}
            files = {name: run / f"epoch_{epoch}.{ending}" for name, ending in endings.items()}
            more = ["--previous", run / f"epoch_{before}.state.pt"] if before else []
            more += ["--folder", run / f"running_{epoch}", "--until", epoch]
            yield _stage("pretrain", run, planned.config, files, more, arguments, f"epoch_{epoch}.json")
        before = epoch


def _card(plan: Plan, config: PretrainConfig, arguments: argparse.Namespace) -> Iterator[list]:
    run = arguments.results / "masks" / config.card.identify()
    if config.card.identify() in plan.cards and not (run / "card.json").exists():
        limits, store = plan.experiment.mask_limits, _store_file(config.store, arguments)
        words = ["masks", "card", "--config", run / "config.yaml", "--store", store, "--out", run / "card.json"]
        words += ["--picture", run / "card.png", "--limits", limits.min_foreground, limits.max_foreground]
        yield [*words, "--scale", arguments.scale, "--config-dir", arguments.config_dir]


def _frames(store: StoreConfig, arguments: argparse.Namespace) -> Iterator[list]:
    """From a folder of videos to a store, in one shard."""
    results, dataset = arguments.results, store.dataset
    data, frames = results / "dataset" / dataset.identify(), results / "store" / store.identify()
    root = dataset_root(arguments.data_root, dataset)
    if (frames / "store.json").exists():
        return
    if dataset.embedded and not (root / "embedded.json").exists():
        out = ["--out", root / "embedded.json"]
        yield ["draw", "--config", data / "config.yaml", *out, "--workers", arguments.workers]
    config, index = data / "config.yaml", data / "index.parquet"
    listing, scan = data / "listing.parquet", data / "scan" / "0-of-1.parquet"
    if not index.exists():
        there = ["--root", root, "--config-dir", arguments.config_dir]
        yield ["list", "--config", config, *there, "--out", listing]
        yield ["scan", "--listing", listing, "--root", root, "--out", scan, "--workers", arguments.workers]
        yield ["index", "--config", config, "--listing", listing, "--scans", scan, *there, "--out", index,
               "--max-unusable", *arguments.max_unusable]  # fmt: skip
    part, own = frames / "shards" / "0-of-1.parquet", ["--config", frames / "config.yaml", "--index", index]
    yield ["extract", *own, "--root", root, "--out", part, "--workers", arguments.workers]
    yield ["store", *own, "--parts", part, "--out", frames / "store.json"]
