"""Trainings: pretraining, finetuning, probes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac.cli.options import PATH, Attempt, Group, Machine, boxes, on_machine, paths, resumable
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


@dataclass(frozen=True)
class _Job:
    """A training at work: what it computes with, its frames, its folder, and what it notes of itself."""

    config: Any
    device: "torch.device"
    world: "World"
    frames: "FrameStore"
    folder: "RunFolder"
    readers: int
    facts: dict[str, str]
    began: float

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began


@contextmanager
def _start(
    model: "type[PretrainConfig] | type[FinetuneConfig]",
    config: Path,
    store: Path,
    boxes: Path | None,
    attempt: Attempt,
    machine: Machine,
) -> Iterator[_Job]:
    """Set up a training; from now on a SIGTERM makes it save itself and leave.

    A GPU is refused that hasn't the memory that one process can't do without.
    """
    from mac.config import read_config
    from mac.data.store import FrameStore
    from mac.runtime import signals
    from mac.training import distributed, gpu_memory, processor
    from mac.training.run_folder import RunFolder

    wanted = read_config(config, model)
    device = machine.prepare(wanted.precision)
    with distributed.join(device) as world, gpu_memory.explained(device):
        clip, network, contrast = wanted.clip, wanted.model, getattr(wanted, "contrast", None)
        shape = (wanted.optimiser.batch_size // world.size, 3, clip.num_frames, clip.size, clip.size)
        views = 2 if contrast and contrast.symmetric else 1
        least = gpu_memory.least_bytes(network.backbone, network.width, shape, views, wanted.precision)
        gpu_memory.check(device, least)
        began, frames = time.monotonic(), FrameStore(store.parent, boxes)
        run = f"{wanted.identify()} on data {frames.digest}"
        folder = RunFolder(attempt.folder, run, 60 * attempt.save_minutes, signals.stop_request(), world)
        readers = machine.count_readers(device, attempt.processes)
        yield _Job(wanted, device, world, frames, folder, readers, processor.facts(wanted.precision, device), began)


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
    attempt: Attempt,
    machine: Machine,
) -> None:
    """Pretrain up to an epoch, from nothing or from an earlier epoch's state."""
    if _is_launched(attempt.processes):
        return

    from mac.config import PretrainConfig
    from mac.stages import pretrain as stage

    with _start(PretrainConfig, config, store, boxes, attempt, machine) as job:
        final = stage.run(
            job.config,
            job.frames,
            until,
            previous,
            stage.Outputs(backbone, state, journal),
            job.folder,
            job.device,
            job.readers,
            job.facts,
            job.world,
        )
        if job.world.is_first:
            took = {"seconds": round(job.seconds, 1)}
            write_json(metrics, {"pretrain_id": job.config.identify()} | final | took | job.facts)
        job.folder.discard()


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
    attempt: Attempt,
    machine: Machine,
) -> None:
    """Finetune, test in the same process, and write the classifier, its predictions and its metrics."""
    if _is_launched(attempt.processes):
        return

    from mac.config import FinetuneConfig
    from mac.stages import evaluate
    from mac.stages import finetune as stage
    from mac.training import checkpoint, processor

    with _start(FinetuneConfig, config, store, None, attempt, machine) as job:
        wanted, frames, run = job.config, job.frames, job.folder
        model = stage.run(wanted, frames, backbone, run, job.device, job.readers, job.facts, job.world)
        table = evaluate.run(wanted, frames, model, job.device, job.readers, run.leave_if_asked, job.world)
        correct = int((table["label"] == table["predicted"]).sum())
        final = {"top1": 100 * correct / len(table), "correct": correct, "videos": len(table)}
        run.write("end", epoch=wanted.optimiser.epochs, final=final)
        run.publish(journal)
        if not job.world.is_first:
            return
        about = {"finetune_id": wanted.identify(), "classes": list(frames.labels), "index_digest": frames.digest}
        checkpoint.save_classifier(classifier, model, about)
        place(predictions, lambda partial: table.to_parquet(partial, index=False))
        start = {"finetune_id": wanted.identify(), "pretrain_id": wanted.pretrain_id, "pretrain_epoch": wanted.epoch}
        test = _tested_on(wanted, frames, processor.describe(job.device, job.world.size), job.seconds)
        write_json(metrics, start | final | test | job.facts)
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
