"""Finetuning on action labels, from a pretrained backbone or from random weights, and its test (method §3)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from mac.augment.views import ViewRecipe, make_views, sample_views
from mac.config import FinetuneConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.methods.learner import Drawn, Metrics
from mac.models.backbones import build
from mac.models.heads import ActionClassifier
from mac.randomness import shuffle
from mac.training import batches, checkpoint, trainer
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.evaluation import mean_outputs, table_of
from mac.training.processor import autocast, seeded, to_fast_layout
from mac.training.run_folder import RunFolder


class ActionLearner(nn.Module):
    """Finetuning's losses: cross-entropy on the action labels of one view a clip."""

    def __init__(self, config: FinetuneConfig, store: FrameStore, device: torch.device) -> None:
        super().__init__()
        self.config, self.device = config, device
        self.recipe = ViewRecipe.of(config.clip, config.colour)
        self.labels = learned_labels(config, store)
        with seeded((config.seed, "classifier")):
            self.classifier = ActionClassifier(build(*config.model.network), len(store.labels), config.dropout)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters the optimiser moves."""
        return list(self.classifier.parameters())

    def draw(self, videos: np.ndarray, epoch: int) -> Drawn:
        """Draw all random parameters of a step on videos (B,), and look their labels up."""
        keys, count = (self.config.seed, epoch, videos), len(videos)
        return {
            "view": sample_views(count, self.recipe, ("finetune", *keys)),
            "kept": self.classifier.head.draw(count, ("dropout", *keys)),
            "label": torch.from_numpy(self.labels[videos]),
        }

    def forward(self, batch: Batch, drawn: Drawn) -> tuple[torch.Tensor, Metrics]:
        """Compute the cross-entropy of one step; the batch and what was drawn for it are on the device."""
        view = make_views(batch.frames, drawn["view"], self.recipe)
        with autocast(self.config.precision, self.device):
            logits = self.classifier(view, drawn["kept"]).float()
        loss = F.cross_entropy(logits, drawn["label"])
        top1 = 100 * (logits.detach().argmax(1) == drawn["label"]).float().mean()
        return loss, {"loss": loss.detach(), "train_top1": top1}

    def after_step(self) -> None:
        """Nothing follows."""


def run(
    config: FinetuneConfig,
    store: FrameStore,
    backbone: Path | None,
    folder: RunFolder,
    device: torch.device,
    loader_workers: int = 0,
    facts: dict[str, str] | None = None,
    world: World = ALONE,
) -> ActionClassifier:
    """Train a classifier on the split's training videos.

    Args:
        config: the resolved stage.
        store: its frames.
        backbone: checkpoint to start from; None for random weights.
        folder: where the run keeps its snapshots and journal; it continues from what is there.
        device: where to train.
        loader_workers: reading processes.
        facts: provenance to put into the journal.
        world: the processes that train it; all call this, the first writes.

    Returns:
        The trained classifier, on ``device``.

    Raises:
        ValueError: the configuration names a starting point but ``backbone`` is None, or the other way round.
        mac.training.loop.NotFiniteError: the loss diverged.
        mac.training.run_folder.Interrupted: the run was asked to leave, and has saved itself.
    """
    if (backbone is None) != (config.initial == "random"):
        raise ValueError(f"finetuning from {config.initial!r} weights, but the backbone given is {backbone}")
    learner = ActionLearner(config, store, device)
    if backbone:
        checkpoint.load_weights(backbone, learner.classifier.backbone)
    to_fast_layout(learner.classifier, device)
    pinned = device.type == "cuda"
    read = partial(batches.read, store, choose=partial(_choose, config), workers=loader_workers, pinned=pinned)
    videos, until = labelled(config, store), config.optimiser.epochs
    trainer.train("finetune", config, learner, store, videos, until, read, folder, device, facts, world)
    return learner.classifier


def predict(
    config: FinetuneConfig,
    store: FrameStore,
    model: nn.Module,
    device: torch.device,
    loader_workers: int = 0,
    before_batch: Callable[[], None] = lambda: None,
    world: World = ALONE,
) -> pd.DataFrame:
    """Predict every test video of the split, by the mean logits of several clips spread over it (method §3).

    Args:
        config: the resolved stage; its ``evaluate`` section says how to test.
        store: the frames.
        model: maps clips (B, 3, T, H, W), normalised, to logits (B, classes).
        device: where the model is.
        loader_workers: reading processes.
        before_batch: called before each batch; may raise to leave.
        world: the processes that share the videos; all return the whole.

    Returns:
        One row per video in store order: ``path``, ``group``, ``label``, ``predicted`` (class indices), ``logits``
        (list of float, the mean over clips).
    """
    videos = store.select(config.split, "test")
    sizes = (config.clip.num_frames, config.clip.size, config.optimiser.batch_size)
    model.eval()
    own = mean_outputs(model, config, store, world.share(videos), *sizes, device, loader_workers, before_batch)
    parts = world.collect(own)  # a process may have had no video
    logits = torch.cat([part for part in parts if part is not None]).numpy()
    return table_of(store, videos, logits.argmax(1), logits=list(logits))


def learned_labels(config: FinetuneConfig, store: FrameStore) -> np.ndarray:
    """Give the label (N,) each of the store's videos is trained with: its own, or in the control another's."""
    labels = store.videos["label_index"].to_numpy().copy()
    if config.shuffle_labels:
        train = labelled(config, store)
        labels[train] = labels[shuffle(train, (config.seed, "shuffled"))]
    return labels


def labelled(config: FinetuneConfig, store: FrameStore) -> np.ndarray:
    """Choose the labelled training videos (N,): all, or ``videos_per_class`` of each class.

    The label draw chooses them, the same for all seeds; without one the seed does.

    Raises:
        ValueError: a class has no training video.
    """
    train = store.select(config.split, "train")
    label = store.videos["label_index"].to_numpy()[train]
    keys = (config.seed, "labelled") if config.label_draw is None else ("label draw", config.label_draw)
    chosen = []
    for index, name in enumerate(store.labels):
        own = train[label == index]
        if not len(own):
            raise ValueError(f"class {name!r} has no training video in split {config.split}")
        chosen.append(shuffle(own, keys)[: config.videos_per_class])
    return np.sort(np.concatenate(chosen))


def _choose(config: FinetuneConfig, lengths: np.ndarray, epoch: int, videos: np.ndarray) -> np.ndarray:
    keys = (config.seed, "frames", epoch, videos)
    return training_frames(lengths, config.clip.num_frames, config.clip.strides, keys)
