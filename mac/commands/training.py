"""``pretrain``, ``weights`` and ``finetune``."""

import argparse
import time

import torch

from mac.commands.files import git_commit, read_config, write_json
from mac.config import FinetuneConfig, PretrainConfig, Strict
from mac.data.store import FrameStore
from mac.models import backbones
from mac.runtime import signals
from mac.runtime.atomic import place
from mac.stages import evaluate
from mac.stages import finetune as finetuning
from mac.stages import pretrain as pretraining
from mac.training import checkpoint, distributed, gpu_memory, launch, processor
from mac.training.distributed import World
from mac.training.run_folder import RunFolder


def facts(precision: str, device: torch.device) -> dict[str, str]:
    """What a run notes of its code, and what it really computes with."""
    own = {"commit": git_commit(), "torch": torch.__version__}
    return own | {"arithmetic": processor.arithmetic(precision, device)}


def _run_folder(arguments: argparse.Namespace, config: Strict, store: FrameStore, world: World) -> RunFolder:
    """Open the run's folder, so that a SIGTERM makes the training save itself and leave."""
    run = f"{config.identify()} on data {store.digest}"
    return RunFolder(arguments.folder, run, 60 * arguments.save_minutes, signals.stop_request(), world)


def _least_bytes(config: PretrainConfig | FinetuneConfig, views: int, world: World) -> int:
    """Memory that each of a run's processes can't do without on its GPU, trained on so many views of each clip."""
    clip, model = config.clip, config.model
    shape = (config.optimiser.batch_size // world.size, 3, clip.num_frames, clip.size, clip.size)
    return gpu_memory.least_bytes(model.backbone, model.width, shape, views, config.precision)


def _readers(arguments: argparse.Namespace, device: torch.device) -> int:
    return processor.count_readers(
        device, arguments.loader_workers, arguments.cores, arguments.threads, arguments.processes
    )


def pretrain(arguments: argparse.Namespace) -> None:
    """Train one segment and write its checkpoint, state, journal and metrics."""
    if launch.is_due(arguments.processes):
        launch.launch(arguments.processes, arguments.words)
        return
    config = read_config(arguments.config, PretrainConfig)
    device = processor.prepare(arguments.device, arguments.threads, config.precision)
    with distributed.join(device) as world, gpu_memory.explained(device):
        gpu_memory.check(device, _least_bytes(config, 2 if config.contrast and config.contrast.symmetric else 1, world))
        _pretrain(arguments, config, device, world)


def _pretrain(arguments: argparse.Namespace, config: PretrainConfig, device: torch.device, world: World) -> None:
    began, store = time.monotonic(), FrameStore(arguments.store.parent, arguments.boxes)
    known = facts(config.precision, device)
    folder = _run_folder(arguments, config, store, world)
    final = pretraining.run(
        config,
        store,
        arguments.until,
        arguments.previous,
        pretraining.Outputs(arguments.backbone, arguments.state, arguments.journal),
        folder,
        device,
        _readers(arguments, device),
        known,
        world,
    )
    if world.is_first:
        seconds = round(time.monotonic() - began, 1)
        write_json(arguments.metrics, {"pretrain_id": config.identify(), **final, "seconds": seconds, **known})
    folder.discard()


def weights(arguments: argparse.Namespace) -> None:
    """Save torchvision's supervised weights as a checkpoint that finetuning can start from."""
    backbone = backbones.build(arguments.backbone)
    backbone.load_state_dict(backbones.published_weights(arguments.backbone))
    checkpoint.save_backbone(arguments.out, backbone, {"source": "torchvision Kinetics-400"})


def finetune(arguments: argparse.Namespace) -> None:
    """Finetune, test in the same process, and write the classifier, its predictions and its metrics."""
    if launch.is_due(arguments.processes):
        launch.launch(arguments.processes, arguments.words)
        return
    config = read_config(arguments.config, FinetuneConfig)
    device = processor.prepare(arguments.device, arguments.threads, config.precision)
    with distributed.join(device) as world, gpu_memory.explained(device):
        gpu_memory.check(device, _least_bytes(config, 1, world))
        _finetune(arguments, config, device, world)


def _finetune(arguments: argparse.Namespace, config: FinetuneConfig, device: torch.device, world: World) -> None:
    began, store, known = time.monotonic(), FrameStore(arguments.store.parent), facts(config.precision, device)
    folder, workers = _run_folder(arguments, config, store, world), _readers(arguments, device)
    model = finetuning.run(config, store, arguments.backbone, folder, device, workers, known, world)
    predictions = evaluate.run(config, store, model, device, workers, folder.leave_if_asked, world)
    correct = int((predictions["label"] == predictions["predicted"]).sum())
    final = {"top1": 100 * correct / len(predictions), "correct": correct, "videos": len(predictions)}
    folder.write("end", epoch=config.optimiser.epochs, final=final)
    folder.publish(arguments.journal)
    if not world.is_first:
        return
    about = {"finetune_id": config.identify(), "classes": list(store.labels), "index_digest": store.digest}
    checkpoint.save_classifier(arguments.classifier, model, about)
    place(arguments.predictions, lambda partial: predictions.to_parquet(partial, index=False))
    write_json(
        arguments.metrics,
        {
            "finetune_id": config.identify(),
            "pretrain_id": config.pretrain_id,
            "pretrain_epoch": config.epoch,
            **final,
            "seed": config.seed,
            "split": config.split,
            "dataset": config.store.dataset.name,
            "classes": list(store.labels),
            "index_digest": store.digest,
            "device": processor.describe(device, world.size),
            "seconds": round(time.monotonic() - began, 1),
            **known,
        },
    )
    folder.discard()
