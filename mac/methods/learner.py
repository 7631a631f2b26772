"""What a pretraining trains: a backbone, a method's head on its features, and momentum contrast beside it."""

from typing import Any

import numpy as np
import torch
from torch import nn

from mac.augment.views import ViewRecipe, make_views, sample_views
from mac.methods import method_of
from mac.methods.method import HELD_OUT
from mac.models.backbones import build
from mac.models.heads import DropoutLinear, projector
from mac.models.moco import MomentumContrast
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.processor import autocast, seeded, to_fast_layout

Metrics = dict[str, torch.Tensor]
Drawn = dict[str, Any]  # the random parameters of a batch, by name: tensors, or tuples of them


class Learner(nn.Module):
    """The losses of one step of a pretraining, and its pretext's score on held-out clips."""

    def __init__(self, config: Any, labels: np.ndarray, device: torch.device, world: World = ALONE) -> None:
        """Build the networks.

        Args:
            config: of the pretraining (:class:`mac.config.PretrainConfig`).
            labels: the class index of each video of the store, int64 (N,).
            device: where the networks are.
            world: the processes that share each batch.
        """
        super().__init__()
        self.config, self.labels, self.device, self.world = config, labels, device, world
        self.method, self.recipe = method_of(config), ViewRecipe.of(config.clip, config.colour)
        c, outputs = self.method.contrast, self.method.outputs(labels)
        with seeded((config.seed, "weights")):
            self.backbone = build(*config.model.network)
            features = self.backbone.num_features
            self.neck, width = self.method.neck(features) if outputs else (None, features)
            self.head = DropoutLinear(width, outputs, self.method.settings.dropout) if outputs else None
            self.projector = projector(features, c.hidden, c.dim) if c else None
        encoder = nn.Sequential(self.backbone, self.projector) if c else None
        self.contrast = MomentumContrast(encoder, c.queue, c.dim, c.momentum, c.temperature) if c else None
        to_fast_layout(self, device)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters the optimiser moves."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def chance(self) -> dict[str, float]:
        """The pretext accuracy of guessing [percent]; nothing where it is not defined."""
        chance = self.method.chance
        return {} if chance is None else {"pretext_chance": 100 * chance}

    def draw(self, videos: np.ndarray, epoch: int | str) -> Drawn:
        """Draw all random parameters of a step on videos (B,): CPU tensors, which :meth:`forward` gets back."""
        count, clips, keys = len(videos), len(videos) * self.method.read, self.method.view_keys(epoch, videos)
        drawn: Drawn = {"view": sample_views(clips, self.recipe, keys)}
        if self.config.attenuate:
            drawn["attenuate"] = self.config.attenuate.draw(clips, keys)
        if self.method.settings:
            drawn["pretext"] = self.method.draw(epoch, videos, self.labels)
        if epoch == HELD_OUT:
            return drawn
        keys = (self.config.seed, epoch, videos)
        if self.head:
            drawn["kept"] = self.head.draw(count, ("dropout", *keys))
        if self.contrast:
            drawn["natural"] = sample_views(count, self.recipe, ("natural", *keys))
        return drawn

    def forward(self, batch: Batch, drawn: Drawn) -> tuple[torch.Tensor, Metrics]:
        """Compute the loss of one step and its parts; the batch and what was drawn for it are on the device."""
        losses: list[torch.Tensor] = []
        metrics: Metrics = {}
        # 1. the method's view of the clips, and its features
        view = self.method.view(batch, drawn, self.recipe)
        with autocast(self.config.precision, self.device):
            features = self.backbone(view)
        # 2. the method's loss
        if self.head:
            with autocast(self.config.precision, self.device):
                outputs = self.head(self._gathered(features), drawn["kept"]).float()
            loss = self.method.loss(outputs, drawn["pretext"])
            losses.append(self.method.weight * loss)
            metrics[f"{self.method.prefix}loss"] = loss.detach()
            correct = self.method.correct(outputs.detach(), drawn["pretext"])
            if correct is not None:
                metrics[f"{self.method.prefix}top1"] = 100 * correct.float().mean()
        # 3. the contrastive loss with a natural view of the same frames (method §1)
        if self.contrast:
            loss, top1 = self._contrast(batch, view, features, drawn)
            losses.append(self.config.contrast.weight * loss)
            metrics |= {"contrastive_loss": loss.detach(), "contrastive_top1": top1}
        loss = sum(losses)
        return loss, {"loss": loss.detach()} | metrics

    def _gathered(self, features: torch.Tensor) -> torch.Tensor:
        gathered = self.method.gather(features)
        return self.neck(gathered) if self.neck else gathered

    def _contrast(
        self, batch: Batch, view: torch.Tensor, features: torch.Tensor, drawn: Drawn
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """InfoNCE of the view against the natural one, and in symmetric contrast the other way round; and its top-1.

        Of several clips of a video the first is contrasted.
        """
        natural = make_views(batch.frames[:, : self.config.clip.num_frames], drawn["natural"], self.recipe)
        view, features = view[:: self.method.clips], features[:: self.method.clips]
        with autocast(self.config.precision, self.device):
            pairs = [(self.projector(features), natural)]
            if self.config.contrast.symmetric:
                pairs.append((self.projector(self.backbone(natural)), view))
            keyed = [(query, self.world.gather(self.contrast.keys(key_view))) for query, key_view in pairs]
        first = self.world.rank * len(view)
        scored = [self.contrast.loss(query, keys, first) for query, keys in keyed]
        self._new_keys = torch.cat([keys for _, keys in keyed])
        loss = torch.stack([one for one, _ in scored]).sum()
        return loss, 100 * torch.stack([top1 for _, top1 in scored]).mean()

    def after_step(self) -> None:
        """Let the key encoder follow and queue the step's keys (the backward pass still needed the old queue)."""
        if self.contrast:
            self.contrast.enqueue(self._new_keys)
            self.contrast.follow(nn.Sequential(self.backbone, self.projector))

    @torch.no_grad()
    def held_out(self, batch: Batch, drawn: Drawn) -> Metrics:
        """Score the pretext, if there is one, on clips of videos that were not trained on; (B,) values."""
        if not self.head:
            return {}
        view = self.method.view(batch, drawn, self.recipe)
        with autocast(self.config.precision, self.device):
            outputs = self.head(self._gathered(self.backbone(view))).float()
        scores = {"loss": self.method.loss(outputs, drawn["pretext"]).expand(len(outputs))}
        correct = self.method.correct(outputs, drawn["pretext"])
        if correct is not None:
            scores["top1"] = 100 * correct.float()
        return {f"{self.method.prefix}{name}_held_out": values for name, values in scores.items()}
