"""Trainings: pretraining, finetuning, probes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac.cli.options import PATH, Group, Machine, boxes, on_machine, paths, resumable
from mac.runtime.atomic import place, write_json

if TYPE_CHECKING:  # imported where it is used: help must not wait for torch
    import torch

    from mac.config import FinetuneConfig, PretrainConfig, ProbeConfig
    from mac.data.store import FrameStore
    from mac.training.distributed import World
    from mac.training.run_folder import RunFolder

theme = Group("training", help="Training")


def _is_launched(processes: int) -> bool:
    """Run the same words in several processes where this process is to start them; False where it is one itself."""
    from mac.training import launch

    if not launch.is_due(processes):
        return False
    launch.launch(processes, click.get_current_context().find_root().obj)
    return True


def _check_memory(
    config: "PretrainConfig | FinetuneConfig", views: int, world: "World", device: "torch.device"
) -> None:
    """Refuse a GPU that hasn't the memory that one process can't do without, trained on so many views of each clip."""
    from mac.training import gpu_memory

    clip, model = config.clip, config.model
    shape = (config.optimiser.batch_size // world.size, 3, clip.num_frames, clip.size, clip.size)
    least = gpu_memory.least_bytes(model.backbone, model.width, shape, views, config.precision)
    gpu_memory.check(device, least)


def _open(
    folder: Path, config: "PretrainConfig | FinetuneConfig", frames: "FrameStore", save_minutes: float, world: "World"
) -> "RunFolder":
    """Open the run's folder; from now on a SIGTERM makes the training save itself and leave."""
    from mac.runtime import signals
    from mac.training.run_folder import RunFolder

    run = f"{config.identify()} on data {frames.digest}"
    return RunFolder(folder, run, 60 * save_minutes, signals.stop_request(), world)


def _tested_on(
    config: "FinetuneConfig | ProbeConfig", frames: "FrameStore", device: str, seconds: float
) -> dict[str, Any]:
    """What a tested run's metrics say besides its numbers."""
    return {
        "seed": config.seed,
        "split": config.split,
        "dataset": config.store.dataset.name,
        "classes": list(frames.labels),
        "index_digest": frames.digest,
        "device": device,
        "seconds": round(seconds, 1),
    }


@theme.command()
@paths("config", "store", "backbone", "state", "journal", "metrics")
@boxes
@click.option("--until", type=int, required=True, metavar="EPOCH", help="Epoch to train up to.")
@click.option("--previous", type=PATH, help="State to continue from.")
@resumable
@on_machine
def pretrain(
    config: Path,
    store: Path,
    backbone: Path,
    state: Path,
    journal: Path,
    metrics: Path,
    boxes: Path | None,
    until: int,
    previous: Path | None,
    folder: Path,
    save_minutes: float,
    processes: int,
    machine: Machine,
) -> None:
    """Pretrain up to an epoch, from nothing or from an earlier epoch's state."""
    if _is_launched(processes):
        return

    from mac.config import PretrainConfig, read_config
    from mac.data.store import FrameStore
    from mac.stages import pretrain as stage
    from mac.training import distributed, gpu_memory, processor

    wanted = read_config(config, PretrainConfig)
    own = machine.prepare(wanted.precision)
    with distributed.join(own) as world, gpu_memory.explained(own):
        _check_memory(wanted, 2 if wanted.contrast and wanted.contrast.symmetric else 1, world, own)
        began, frames, facts = time.monotonic(), FrameStore(store.parent, boxes), processor.facts(wanted.precision, own)
        run = _open(folder, wanted, frames, save_minutes, world)
        readers = machine.count_readers(own, processes)
        outputs = stage.Outputs(backbone, state, journal)
        final = stage.run(wanted, frames, until, previous, outputs, run, own, readers, facts, world)
        if world.is_first:
            seconds = round(time.monotonic() - began, 1)
            write_json(metrics, {"pretrain_id": wanted.identify(), **final, "seconds": seconds, **facts})
        run.discard()


@theme.command()
@paths("config", "store", "classifier", "journal", "predictions", "metrics")
@click.option("--backbone", type=PATH, help="Checkpoint to start from.")
@resumable
@on_machine
def finetune(
    config: Path,
    store: Path,
    classifier: Path,
    journal: Path,
    predictions: Path,
    metrics: Path,
    backbone: Path | None,
    folder: Path,
    save_minutes: float,
    processes: int,
    machine: Machine,
) -> None:
    """Finetune, test in the same process, and write the classifier, its predictions and its metrics."""
    if _is_launched(processes):
        return

    from mac.config import FinetuneConfig, read_config
    from mac.data.store import FrameStore
    from mac.stages import evaluate
    from mac.stages import finetune as stage
    from mac.training import checkpoint, distributed, gpu_memory, processor

    wanted = read_config(config, FinetuneConfig)
    own = machine.prepare(wanted.precision)
    with distributed.join(own) as world, gpu_memory.explained(own):
        _check_memory(wanted, 1, world, own)
        began, frames, facts = time.monotonic(), FrameStore(store.parent), processor.facts(wanted.precision, own)
        run = _open(folder, wanted, frames, save_minutes, world)
        readers = machine.count_readers(own, processes)
        model = stage.run(wanted, frames, backbone, run, own, readers, facts, world)
        table = evaluate.run(wanted, frames, model, own, readers, run.leave_if_asked, world)
        correct = int((table["label"] == table["predicted"]).sum())
        final = {"top1": 100 * correct / len(table), "correct": correct, "videos": len(table)}
        run.write("end", epoch=wanted.optimiser.epochs, final=final)
        run.publish(journal)
        if not world.is_first:
            return
        about = {"finetune_id": wanted.identify(), "classes": list(frames.labels), "index_digest": frames.digest}
        checkpoint.save_classifier(classifier, model, about)
        place(predictions, lambda partial: table.to_parquet(partial, index=False))
        start = {"finetune_id": wanted.identify(), "pretrain_id": wanted.pretrain_id, "pretrain_epoch": wanted.epoch}
        test = _tested_on(wanted, frames, processor.describe(own, world.size), time.monotonic() - began)
        write_json(metrics, start | final | test | facts)
        run.discard()


@theme.command()
@paths("config", "store", "journal", "predictions", "metrics")
@click.option("--backbone", type=PATH, help="Checkpoint to measure (default: random weights).")
@on_machine
def probe(
    config: Path,
    store: Path,
    journal: Path,
    predictions: Path,
    metrics: Path,
    backbone: Path | None,
    machine: Machine,
) -> None:
    """Measure weights without finetuning: linear probe and retrieval."""
    from mac.config import ProbeConfig, read_config
    from mac.data.store import FrameStore
    from mac.stages import probe as stage
    from mac.tracking.journal import Journal
    from mac.training import processor

    wanted = read_config(config, ProbeConfig)
    own = machine.prepare(wanted.precision)
    began, frames, facts = time.monotonic(), FrameStore(store.parent), processor.facts(wanted.precision, own)
    readers = machine.count_readers(own)
    final, table = stage.run(wanted, frames, backbone, own, readers)
    where = {"device": processor.describe(own), "index_digest": frames.digest}

    def write(partial: Path) -> None:
        events = Journal(partial)
        begin = {"id": wanted.identify(), "epoch": 0, "until": 0, "epochs": 0, "videos": final["training_videos"]}
        events.write("start", stage="probe", **begin, **where, facts=facts)
        recall = {f"recall_{k}": value for k, value in final["recall"].items()}
        events.write("end", epoch=0, final={"top1": final["top1"]} | recall)
        events.close()

    place(journal, write)
    place(predictions, lambda partial: table.to_parquet(partial, index=False))
    start = {"probe_id": wanted.identify(), "pretrain_id": wanted.pretrain_id, "pretrain_epoch": wanted.epoch}
    test = _tested_on(wanted, frames, where["device"], time.monotonic() - began)
    write_json(metrics, start | final | {"videos": len(table)} | test | facts)
