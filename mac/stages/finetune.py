"""Finetuning on action labels, from a pretrained backbone or from random weights."""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mac.augment.views import ViewRecipe, draw_view
from mac.config import FinetuneConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.models.backbones import Backbone
from mac.models.heads import DropoutLinear
from mac.randomness import uniform
from mac.tracking.journal import Journal
from mac.training import batches, checkpoint
from mac.training.optim import build_optimiser, learning_rate
from mac.training.processor import describe, seeded, to_fast_layout


class ActionClassifier(nn.Module):
    """A backbone and a linear classifier behind dropout."""

    def __init__(self, config: FinetuneConfig, classes: int) -> None:
        super().__init__()
        with seeded((config.seed, "classifier")):
            self.backbone = Backbone(config.model.backbone, config.model.width)
            self.head = DropoutLinear(self.backbone.features, classes, config.dropout)

    def forward(self, clip: torch.Tensor, keys: tuple | None = None) -> torch.Tensor:
        """Map clips (B, 3, T, H, W), normalised, to logits (B, classes); ``keys`` turn dropout on."""
        return self.head(self.backbone(clip.contiguous(memory_format=torch.channels_last_3d)), keys)


def run(
    config: FinetuneConfig,
    store: FrameStore,
    backbone: Path | None,
    journal: Journal,
    device: torch.device,
    loader_workers: int = 0,
    facts: dict[str, str] | None = None,
) -> ActionClassifier:
    """Train a classifier on the split's training videos.

    Args:
        config: the resolved stage.
        store: its frames.
        backbone: checkpoint to start from; None for random weights.
        journal: where epochs are written down.
        device: where to train.
        loader_workers: reading processes.
        facts: provenance to put into the journal.

    Returns:
        The trained classifier, on ``device``.

    Raises:
        ValueError: a starting point is named but not given, or the other way round.
    """
    if (backbone is None) != (config.initial == "random"):
        raise ValueError(f"finetuning from {config.initial!r} weights, but the backbone given is {backbone}")
    o, run_id = config.optimiser, config.identify()
    labels = torch.tensor(store.videos["label_index"].to_numpy())
    train = labelled(config, store)
    model = ActionClassifier(config, len(store.labels))
    if backbone:
        checkpoint.load_backbone(backbone, model.backbone)
    to_fast_layout(model, device)
    optimiser = build_optimiser(model.parameters(), o.name, o.lr, o.sgd_momentum, o.weight_decay)
    clip, colour = config.clip, config.colour
    recipe = ViewRecipe(
        clip.scales, clip.size, clip.flip_probability, colour.jitter_probability, colour.gray_probability
    )
    journal.write(
        "start",
        stage="finetune",
        id=run_id,
        epoch=0,
        until=o.epochs,
        epochs=o.epochs,
        device=describe(device),
        index_digest=store.digest,
        videos=len(train),
        facts=facts or {},
    )
    step = 0
    for epoch in range(o.epochs):
        began, clips = time.perf_counter(), 0
        total = {"loss": 0.0, "train_top1": 0.0}
        model.train()
        planned = batches.epoch_order(train, o.batch_size, (config.seed, "order", epoch))
        for i, batch in enumerate(
            batches.read(store, planned, partial(_choose, store.lengths, config, epoch), workers=loader_workers)
        ):
            rate = learning_rate(
                o.lr, epoch + i / len(planned), o.epochs, o.schedule, o.milestones, o.gamma, o.warmup_epochs
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            keys = (config.seed, epoch, batch.videos)
            _, view, _ = draw_view(batch.frames.to(device), recipe, ("finetune", *keys))
            logits = model(view, ("dropout", *keys))
            label = labels[batch.videos].to(device)
            loss = F.cross_entropy(logits, label)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), o.gradient_clip)
            optimiser.step()
            step += 1
            clips += len(label)
            total["loss"] += float(loss.detach())
            total["train_top1"] += 100 * float((logits.argmax(1) == label).float().mean())
            if not np.isfinite(total["loss"]):
                raise FloatingPointError(f"finetuning {run_id}: loss {loss.item()} in step {step}, lr {rate:g}")
        means = {name: value / len(planned) for name, value in total.items()}
        speed = clips / (time.perf_counter() - began)
        journal.write("metrics", epoch=epoch + 1, step=step, lr=rate, clips_per_second=round(speed, 2), **means)
    return model


def labelled(config: FinetuneConfig, store: FrameStore) -> np.ndarray:
    """Choose the labelled training videos (N,): all, or ``videos_per_class`` of each class drawn by the seed.

    Raises:
        ValueError: a class has no training video.
    """
    train = store.select(config.split, "train")
    label = store.videos["label_index"].to_numpy()[train]
    draws = uniform((config.seed, "labelled", train), 1)[:, 0]
    chosen = []
    for index, name in enumerate(store.labels):
        own = train[label == index]
        if not len(own):
            raise ValueError(f"class {name!r} has no training video in split {config.split}")
        chosen.append(own[np.argsort(draws[label == index], kind="stable")][: config.videos_per_class])
    return np.sort(np.concatenate(chosen))


def _choose(lengths: np.ndarray, config: FinetuneConfig, epoch: int, videos: np.ndarray) -> np.ndarray:
    keys = (config.seed, "frames", epoch, videos)
    return training_frames(lengths[videos], config.clip.num_frames, config.clip.strides, keys)
