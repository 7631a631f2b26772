"""Trainings: pretraining, finetuning, probes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from mac.cli.groups import Group
from mac.cli.options import BOXES, Attempt, Machine, WholeOrAuto, config_of, on_machine, paths, resumable
from mac.runtime.atomic import place, write_json

if TYPE_CHECKING:  # imported where it is used: help must not wait for torch
    from mac.config import FinetuneConfig, PretrainConfig, ProbeConfig
    from mac.data.store import FrameStore

theme = Group("training", help="Training")


def _is_launched(processes: int) -> bool:
    """Start the processes that share the training, with the same command line; False if this process is to train."""
    from mac.training import launch

    if not launch.is_due(processes):
        return False
    launch.launch(processes, click.get_current_context().find_root().obj)
    return True


@contextmanager
def _start(
    config: "PretrainConfig | FinetuneConfig", paths: SimpleNamespace, attempt: Attempt, machine: Machine
) -> Iterator[SimpleNamespace]:
    """Set up a training; from now on a SIGTERM makes it save itself and leave.

    Yields:
        What stages take: ``store`` (frames), ``folder``, ``device``, ``loader_workers``, ``facts`` and ``world``.
    """
    from mac.data.store import FrameStore
    from mac.runtime import signals
    from mac.training import distributed, processor
    from mac.training.run_folder import RunFolder

    device = machine.prepare(config.precision)
    with distributed.join(device) as world, processor.explained(device):
        frames = FrameStore(paths.store.parent, getattr(paths, "boxes", None))
        run = f"{config.identify()} on data {frames.digest}"
        yield SimpleNamespace(
            store=frames,
            folder=RunFolder(attempt.folder, run, 60 * attempt.save_minutes, signals.stop_request(), world),
            device=device,
            loader_workers=machine.count_readers(device, attempt.processes),
            facts=processor.facts(config.precision, device),
            world=world,
        )


def _write_metrics(
    path: Path,
    stage: str,
    config: "FinetuneConfig | ProbeConfig",
    final: dict[str, Any],
    frames: "FrameStore",
    device: str,
    began: float,
    facts: dict[str, str],
) -> None:
    """Write the metrics of a run that was tested, with what was tested where and how long it took."""
    about = {
        "seed": config.seed,
        "split": config.split,
        "dataset": config.store.dataset.name,
        "classes": list(frames.labels),
        "index_digest": frames.digest,
        "device": device,
        "seconds": round(time.monotonic() - began, 1),
    }
    start = {f"{stage}_id": config.identify(), "pretrain_id": config.pretrain_id, "pretrain_epoch": config.epoch}
    write_json(path, start | final | about | facts)


@theme.command()
@config_of("pretrain")
@paths("store", "backbone", "state", "journal", "metrics", boxes=BOXES, previous="State to continue from.")
@click.option("--until", type=int, required=True, metavar="EPOCH", help="Epoch to train up to.")
@click.option(
    "--monitor-epochs",
    type=WholeOrAuto(0, None),
    help="Epochs between two looks at features and pretext; 0: none (default and auto: as often as takes 2 % of the"
    " time).",
)
@resumable
@on_machine
def pretrain(
    config: "PretrainConfig",
    paths: SimpleNamespace,
    until: int,
    monitor_epochs: int | None,
    attempt: Attempt,
    machine: Machine,
) -> None:
    """Pretrain up to an epoch, from nothing or from an earlier epoch's state."""
    if _is_launched(attempt.processes):
        return

    from mac.stages import pretrain

    with _start(config, paths, attempt, machine) as job:
        began = time.monotonic()
        outputs = pretrain.Outputs(paths.backbone, paths.state, paths.journal)
        how = {"until": until, "previous": paths.previous, "outputs": outputs, "monitor_epochs": monitor_epochs}
        final = pretrain.run(config, **how, **vars(job))
        if job.world.is_first:
            took = {"seconds": round(time.monotonic() - began, 1)}
            write_json(paths.metrics, {"pretrain_id": config.identify()} | final | took | job.facts)
        job.folder.discard()


@theme.command()
@config_of("finetune")
@paths("store", "classifier", "journal", "predictions", "metrics", backbone="Checkpoint to start from.")
@resumable
@on_machine
def finetune(config: "FinetuneConfig", paths: SimpleNamespace, attempt: Attempt, machine: Machine) -> None:
    """Finetune, test in the same process, and write the classifier, its predictions and its metrics."""
    if _is_launched(attempt.processes):
        return

    from mac.stages import finetune
    from mac.training import checkpoint, processor

    with _start(config, paths, attempt, machine) as job:
        began = time.monotonic()
        frames, run = job.store, job.folder
        model = finetune.run(config, backbone=paths.backbone, **vars(job))
        table = finetune.predict(config, frames, model, job.device, job.loader_workers, run.leave_if_asked, job.world)
        correct = int((table["label"] == table["predicted"]).sum())
        final = {"top1": 100 * correct / len(table), "correct": correct, "videos": len(table)}
        run.write("end", epoch=config.optimiser.epochs, final=final)
        run.publish(paths.journal)
        if not job.world.is_first:
            return
        about = {"finetune_id": config.identify(), "classes": list(frames.labels), "index_digest": frames.digest}
        checkpoint.save_weights(paths.classifier, model, about)
        place(paths.predictions, lambda partial: table.to_parquet(partial, index=False))
        device = processor.describe(job.device, job.world.size)
        _write_metrics(paths.metrics, "finetune", config, final, frames, device, began, job.facts)
        run.discard()


@theme.command()
@config_of("probe")
@paths("store", "journal", "predictions", "metrics", backbone="Checkpoint to measure (default: random weights).")
@on_machine
def probe(config: "ProbeConfig", paths: SimpleNamespace, machine: Machine) -> None:
    """Measure weights without finetuning: linear probe and retrieval."""
    from mac.data.store import FrameStore
    from mac.stages import probe
    from mac.tracking.journal import Journal
    from mac.training import processor

    own = machine.prepare(config.precision)
    began, frames, facts = time.monotonic(), FrameStore(paths.store.parent), processor.facts(config.precision, own)
    final, table = probe.run(config, frames, paths.backbone, own, machine.count_readers(own))
    device = processor.describe(own)

    def write(partial: Path) -> None:
        events = Journal(partial)
        begin = {"id": config.identify(), "epoch": 0, "until": 0, "epochs": 0, "videos": final["training_videos"]}
        events.write("start", stage="probe", **begin, device=device, index_digest=frames.digest, facts=facts)
        recall = {f"recall_{k}": value for k, value in final["recall"].items()}
        events.write("end", epoch=0, final={"top1": final["top1"]} | recall)
        events.close()

    place(paths.journal, write)
    place(paths.predictions, lambda partial: table.to_parquet(partial, index=False))
    final |= {"videos": len(table)}
    _write_metrics(paths.metrics, "probe", config, final, frames, device, began, facts)
