"""``pretrain``, ``weights`` and ``finetune``."""

import argparse
import time

import torch

from mac.commands.files import git_commit, read_config, write_json
from mac.config import FinetuneConfig, PretrainConfig, Strict
from mac.data.store import FrameStore
from mac.models import pretrained
from mac.models.backbones import Backbone
from mac.runtime import signals
from mac.stages import evaluate
from mac.stages import finetune as finetuning
from mac.stages import pretrain as pretraining
from mac.training import checkpoint, processor
from mac.training.run_folder import RunFolder


def _facts() -> dict[str, str]:
    return {"commit": git_commit(), "torch": torch.__version__}


def _run_folder(arguments: argparse.Namespace, config: Strict, store: FrameStore) -> RunFolder:
    """Open the run's folder, so that a SIGTERM makes the training save itself and leave."""
    run = f"{config.identify()} on data {store.digest}"
    return RunFolder(arguments.folder, run, 60 * arguments.save_minutes, signals.stop_request())


def pretrain(arguments: argparse.Namespace) -> None:
    """Train one segment and write its checkpoint, state, journal and metrics."""
    config = read_config(arguments.config, PretrainConfig)
    device = processor.prepare(arguments.device, arguments.threads)
    began, store = time.monotonic(), FrameStore(arguments.store.parent, arguments.boxes)
    folder = _run_folder(arguments, config, store)
    final = pretraining.run(
        config,
        store,
        arguments.until,
        arguments.previous,
        pretraining.Outputs(arguments.backbone, arguments.state, arguments.journal),
        folder,
        device,
        arguments.loader_workers,
        _facts(),
    )
    seconds = round(time.monotonic() - began, 1)
    write_json(arguments.metrics, {"pretrain_id": config.identify(), **final, "seconds": seconds, **_facts()})
    folder.discard()


def weights(arguments: argparse.Namespace) -> None:
    """Save torchvision's supervised weights as a checkpoint that finetuning can start from."""
    backbone = Backbone(arguments.backbone)
    backbone.load_state_dict(pretrained.kinetics400(arguments.backbone))
    checkpoint.save_backbone(arguments.out, backbone, {"source": "torchvision Kinetics-400"})


def finetune(arguments: argparse.Namespace) -> None:
    """Finetune, test in the same process, and write predictions and metrics."""
    config = read_config(arguments.config, FinetuneConfig)
    device = processor.prepare(arguments.device, arguments.threads)
    store = FrameStore(arguments.store.parent)
    began = time.monotonic()
    folder = _run_folder(arguments, config, store)
    model = finetuning.run(config, store, arguments.backbone, folder, device, arguments.loader_workers, _facts())
    predictions = evaluate.run(config, store, model, device, arguments.loader_workers, folder.leave_if_asked)
    correct = int((predictions["label"] == predictions["predicted"]).sum())
    final = {"top1": 100 * correct / len(predictions), "correct": correct, "videos": len(predictions)}
    folder.journal.write("end", epoch=config.optimiser.epochs, final=final)
    folder.publish(arguments.journal)
    checkpoint.place(arguments.predictions, lambda partial: predictions.to_parquet(partial, index=False))
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
            "index_digest": store.digest,
            "device": processor.describe(device),
            "seconds": round(time.monotonic() - began, 1),
            **_facts(),
        },
    )
    folder.discard()
