"""What a pretraining learns: MAC (α's and momentum contrast), or labels for the figures' supervised stand-in."""

from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mac.augment.blend import blend
from mac.augment.views import ViewRecipe, apply_views, draw_view, sample_views
from mac.config import ClipConfig, ColourConfig, PretrainConfig
from mac.masks.frame_difference import foreground_masks
from mac.masks.person_boxes import box_masks
from mac.models.backbones import Backbone
from mac.models.heads import DropoutLinear, projector
from mac.models.moco import MomentumContrast
from mac.models.pretext import AlphaObjective
from mac.randomness import Key
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.processor import autocast, seeded, to_fast_layout
from mac.working_set import working_sets

Metrics = dict[str, torch.Tensor]


def view_recipe(clip: ClipConfig, colour: ColourConfig) -> ViewRecipe:
    """Read a view recipe off a stage config."""
    return ViewRecipe(clip.scales, clip.size, clip.flip_probability, colour.jitter_probability, colour.gray_probability)


class MacLearner(nn.Module):
    """MAC-S-n, MAC-SC-n or momentum contrast alone: one step's losses, and the pretext on held-out clips."""

    def __init__(self, config: PretrainConfig, labels: np.ndarray, device: torch.device, world: World = ALONE) -> None:
        """Build the networks; ``labels`` are ignored, MAC is self-supervised. ``world`` are those who share a batch."""
        super().__init__()
        self.config, self.device, self.world = config, device, world
        self.recipe = view_recipe(config.clip, config.colour)
        p, c = config.pretext, config.contrast
        self.objective = AlphaObjective(p.objective, p.k, p.segments, p.preset) if p else None
        with seeded((config.seed, "weights")):
            self.backbone = Backbone(config.model.backbone, config.model.width)
            self.head = DropoutLinear(self.backbone.features, self.objective.outputs, p.dropout) if p else None
            self.projector = projector(self.backbone.features, c.hidden, c.dim) if c else None
        encoder = nn.Sequential(self.backbone, self.projector) if c else None
        self.contrast = MomentumContrast(encoder, c.queue, c.dim, c.momentum, c.temperature) if c else None
        to_fast_layout(self, device)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters the optimiser moves."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def chance(self) -> dict[str, float]:
        """The pretext accuracy of guessing [percent]; nothing where α is continuous or there is no pretext."""
        return (
            {}
            if self.objective is None or self.objective.chance is None
            else {"pretext_chance": 100 * self.objective.chance}
        )

    def forward(self, batch: Batch, epoch: int) -> tuple[torch.Tensor, Metrics]:
        """Compute the loss of one step and its parts.

        The natural view is made of the same frames with its own scale, crop, flip and colour (method §1). Without a
        pretext the other view is made likewise: nothing is attenuated.
        """
        p, c = self.config.pretext, self.config.contrast
        frames = batch.frames.to(self.device, non_blocking=True)
        keys = (self.config.seed, epoch, batch.videos)
        losses: list[torch.Tensor] = []
        metrics: Metrics = {}
        if p and self.objective and self.head:
            view, drawn = self._attenuated(batch, frames, ("mac", *keys))
            with self._autocast():
                features = self.backbone(view)
                outputs = self.head(features, ("dropout", *keys)).float()
            pretext_loss = self.objective.loss(outputs, drawn)
            metrics["pretext_loss"] = pretext_loss.detach()
            correct = self.objective.correct(outputs.detach(), drawn)
            if correct is not None:
                metrics["pretext_top1"] = 100 * correct.float().mean()
            losses.append(p.weight * pretext_loss)
        else:
            view = draw_view(frames, self.recipe, ("mac", *keys))
            with self._autocast():
                features = self.backbone(view)
        if c and self.contrast and self.projector:
            natural = draw_view(frames, self.recipe, ("natural", *keys))
            with self._autocast():
                pairs = [(self.projector(features), natural)]
                if c.symmetric:
                    pairs.append((self.projector(self.backbone(natural)), view))
                keyed = [(query, self.world.gather(self.contrast.keys(key_view))) for query, key_view in pairs]
            first = self.world.rank * len(view)
            scored = [self.contrast.loss(query, keys, first) for query, keys in keyed]
            contrastive_loss = torch.stack([one for one, _ in scored]).sum()
            metrics["contrastive_loss"] = contrastive_loss.detach()
            metrics["contrastive_top1"] = 100 * torch.stack([top1 for _, top1 in scored]).mean()
            self._new_keys = torch.cat([keys for _, keys in keyed])
            losses.append(c.weight * contrastive_loss)
        loss = sum(losses)
        return loss, {"loss": loss.detach(), **metrics}

    def after_step(self) -> None:
        """Let the key encoder follow and queue the step's keys (the backward pass still needed the old queue)."""
        if self.contrast and self.projector:
            self.contrast.enqueue(self._new_keys)
            self.contrast.follow(nn.Sequential(self.backbone, self.projector))

    @torch.no_grad()
    def held_out(self, batch: Batch) -> Metrics:
        """Score the pretext, if there is one, on clips of videos that were not trained on; (B,) values."""
        if not (self.objective and self.head):
            return {}
        keys = (self.config.seed, 0, batch.videos)
        view, drawn = self._attenuated(batch, batch.frames.to(self.device, non_blocking=True), ("held out", *keys))
        with self._autocast():
            outputs = self.head(self.backbone(view)).float()
        scores = {"pretext_loss_held_out": self.objective.loss(outputs, drawn).expand(len(view))}
        correct = self.objective.correct(outputs, drawn)
        if correct is not None:
            scores["pretext_top1_held_out"] = 100 * correct.float()
        return scores

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.config.precision, self.device)

    def _attenuated(self, batch: Batch, frames: torch.Tensor, keys: tuple[Key, ...]) -> tuple[torch.Tensor, ...]:
        """Draw the MAC view (B, 3, T, S, S) and what was done to it."""
        m, size = self.config.mask, self.recipe.size
        views = sample_views(len(frames), self.recipe, keys)
        drawn = self.objective.draw(len(frames), ("alpha", *keys))
        alphas = drawn.alphas.to(self.device)
        shape = (len(frames), 3, frames.shape[1], size, size)
        view = torch.empty(shape, device=self.device, memory_format=torch.channels_last_3d)
        for part in working_sets(frames):
            plain, coloured = apply_views(frames[part], views[part], size)
            if m.source == "person_boxes":
                mask = box_masks(batch.boxes[part].to(self.device), views[part].crops, size)
            else:
                mask = foreground_masks(plain, m.momentum, m.threshold, m.preset)
            view[part] = blend(coloured, mask, alphas[part], self.config.pretext.reverse)
        return view, drawn


class SupervisedLearner(nn.Module):
    """Classification from labels: the stand-in for Kinetics-400-supervised weights at scales without them."""

    def __init__(self, config: PretrainConfig, labels: np.ndarray, device: torch.device, _: World = ALONE) -> None:
        """Build the network; ``labels`` (N,) are the class indices of all the store's videos."""
        super().__init__()
        self.config, self.device = config, device
        self.recipe = view_recipe(config.clip, config.colour)
        self.labels = torch.tensor(labels)
        with seeded((config.seed, "weights")):
            self.backbone = Backbone(config.model.backbone, config.model.width)
            self.head = DropoutLinear(self.backbone.features, int(labels.max()) + 1, config.pretext.dropout)
        to_fast_layout(self, device)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters the optimiser moves."""
        return list(self.parameters())

    @property
    def chance(self) -> dict[str, float]:
        """No pretext, no chance level."""
        return {}

    def forward(self, batch: Batch, epoch: int) -> tuple[torch.Tensor, Metrics]:
        """Compute the cross-entropy of one step."""
        outputs = self._outputs(batch, (self.config.seed, epoch, batch.videos), dropout=True)
        label = self.labels[batch.videos].to(self.device)
        loss = F.cross_entropy(outputs, label)
        return loss, {"loss": loss.detach(), "top1": 100 * (outputs.argmax(1) == label).float().mean()}

    def after_step(self) -> None:
        """Nothing follows."""

    @torch.no_grad()
    def held_out(self, batch: Batch) -> Metrics:
        """Score one random clip of each held-out video, (B,) values."""
        outputs = self._outputs(batch, ("held out", self.config.seed, batch.videos), dropout=False)
        return {"top1_held_out": 100 * (outputs.argmax(1).cpu() == self.labels[batch.videos]).float()}

    def _outputs(self, batch: Batch, keys: tuple[Key, ...], dropout: bool) -> torch.Tensor:
        view = draw_view(batch.frames.to(self.device, non_blocking=True), self.recipe, ("natural", *keys))
        with autocast(self.config.precision, self.device):
            features = self.backbone(view.contiguous(memory_format=torch.channels_last_3d))
            return self.head(features, ("dropout", *keys) if dropout else None).float()
