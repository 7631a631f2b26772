"""What a pretraining learns: MAC (α's and momentum contrast), or labels for the figures' supervised stand-in."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mac.augment.blend import blend
from mac.augment.views import ViewRecipe, apply_views, make_views, sample_views
from mac.config import ClipConfig, ColourConfig, PretrainConfig
from mac.masks.frame_difference import foreground_masks
from mac.masks.person_boxes import box_masks
from mac.models.backbones import build
from mac.models.heads import DropoutLinear, projector
from mac.models.moco import MomentumContrast
from mac.models.pretext import AlphaObjective
from mac.randomness import Key
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.processor import autocast, seeded, to_fast_layout
from mac.working_set import working_sets

Metrics = dict[str, torch.Tensor]
Drawn = dict[str, Any]  # the random parameters of a batch, by name: tensors, or tuples of them


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
            self.backbone = build(config.model.backbone, config.model.width)
            self.head = DropoutLinear(self.backbone.num_features, self.objective.outputs, p.dropout) if p else None
            self.projector = projector(self.backbone.num_features, c.hidden, c.dim) if c else None
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

    def draw(self, videos: np.ndarray, epoch: int) -> Drawn:
        """Draw all random parameters of a step on videos (B,): CPU tensors, which :meth:`forward` gets back."""
        keys, count = (self.config.seed, epoch, videos), len(videos)
        drawn: Drawn = {"view": sample_views(count, self.recipe, ("mac", *keys))}
        if self.objective and self.head:
            drawn["attenuation"] = self.objective.draw(count, ("alpha", "mac", *keys))
            drawn["kept"] = self.head.draw(count, ("dropout", *keys))
        if self.contrast:
            drawn["natural"] = sample_views(count, self.recipe, ("natural", *keys))
        return drawn

    def forward(self, batch: Batch, drawn: Drawn) -> tuple[torch.Tensor, Metrics]:
        """Compute the loss of one step and its parts; the batch and what was drawn for it are on the device.

        The natural view is made of the same frames with its own scale, crop, flip and colour (method §1). Without a
        pretext the other view is made likewise: nothing is attenuated.
        """
        p, c = self.config.pretext, self.config.contrast
        losses: list[torch.Tensor] = []
        metrics: Metrics = {}
        if p and self.objective and self.head:
            view = self._attenuated(batch, drawn)
            with self._autocast():
                features = self.backbone(view)
                outputs = self.head(features, drawn["kept"]).float()
            pretext_loss = self.objective.loss(outputs, drawn["attenuation"])
            metrics["pretext_loss"] = pretext_loss.detach()
            correct = self.objective.correct(outputs.detach(), drawn["attenuation"])
            if correct is not None:
                metrics["pretext_top1"] = 100 * correct.float().mean()
            losses.append(p.weight * pretext_loss)
        else:
            view = make_views(batch.frames, drawn["view"], self.recipe.size)
            with self._autocast():
                features = self.backbone(view)
        if c and self.contrast and self.projector:
            natural = make_views(batch.frames, drawn["natural"], self.recipe.size)
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

    def draw_held_out(self, videos: np.ndarray) -> Drawn:
        """Draw the random parameters of :meth:`held_out` on videos (B,); none where there is no pretext."""
        if not self.objective:
            return {}
        keys, count = ("held out", self.config.seed, 0, videos), len(videos)
        attenuation = self.objective.draw(count, ("alpha", *keys))
        return {"view": sample_views(count, self.recipe, keys), "attenuation": attenuation}

    @torch.no_grad()
    def held_out(self, batch: Batch, drawn: Drawn) -> Metrics:
        """Score the pretext, if there is one, on clips of videos that were not trained on; (B,) values."""
        if not (self.objective and self.head):
            return {}
        view = self._attenuated(batch, drawn)
        with self._autocast():
            outputs = self.head(self.backbone(view)).float()
        scores = {"pretext_loss_held_out": self.objective.loss(outputs, drawn["attenuation"]).expand(len(view))}
        correct = self.objective.correct(outputs, drawn["attenuation"])
        if correct is not None:
            scores["pretext_top1_held_out"] = 100 * correct.float()
        return scores

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.config.precision, self.device)

    def _attenuated(self, batch: Batch, drawn: Drawn) -> torch.Tensor:
        """Make the MAC view (B, 3, T, S, S)."""
        m, size, frames = self.config.mask, self.recipe.size, batch.frames
        shape = (len(frames), 3, frames.shape[1], size, size)
        view = torch.empty(shape, device=self.device, memory_format=torch.channels_last_3d)
        for part in working_sets(frames):
            parameters = drawn["view"].part(part)
            plain, coloured = apply_views(frames[part], parameters, size)
            if m.source == "person_boxes":
                mask = box_masks(batch.boxes[part], parameters.crops, size)
            else:
                mask = foreground_masks(plain, m.momentum, m.threshold, m.preset)
            view[part] = blend(coloured, mask, drawn["attenuation"].alphas[part], self.config.pretext.reverse)
        return view


class SupervisedLearner(nn.Module):
    """Classification from labels: the stand-in for Kinetics-400-supervised weights at scales without them."""

    def __init__(self, config: PretrainConfig, labels: np.ndarray, device: torch.device, _: World = ALONE) -> None:
        """Build the network; ``labels`` (N,) are the class indices of all the store's videos."""
        super().__init__()
        self.config, self.device = config, device
        self.recipe = view_recipe(config.clip, config.colour)
        self.labels = labels
        with seeded((config.seed, "weights")):
            self.backbone = build(config.model.backbone, config.model.width)
            self.head = DropoutLinear(self.backbone.num_features, int(labels.max()) + 1, config.pretext.dropout)
        to_fast_layout(self, device)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters the optimiser moves."""
        return list(self.parameters())

    @property
    def chance(self) -> dict[str, float]:
        """No pretext, no chance level."""
        return {}

    def draw(self, videos: np.ndarray, epoch: int) -> Drawn:
        """Draw all random parameters of a step on videos (B,), and look their labels up."""
        keys = (self.config.seed, epoch, videos)
        drawn = self._draw(videos, keys)
        return drawn | {"kept": self.head.draw(len(videos), ("dropout", *keys))}

    def forward(self, batch: Batch, drawn: Drawn) -> tuple[torch.Tensor, Metrics]:
        """Compute the cross-entropy of one step."""
        outputs = self._outputs(batch, drawn)
        loss = F.cross_entropy(outputs, drawn["label"])
        return loss, {"loss": loss.detach(), "top1": 100 * (outputs.argmax(1) == drawn["label"]).float().mean()}

    def after_step(self) -> None:
        """Nothing follows."""

    def draw_held_out(self, videos: np.ndarray) -> Drawn:
        """Draw the random parameters of :meth:`held_out` on videos (B,), and look their labels up."""
        return self._draw(videos, ("held out", self.config.seed, videos))

    @torch.no_grad()
    def held_out(self, batch: Batch, drawn: Drawn) -> Metrics:
        """Score one random clip of each held-out video, (B,) values."""
        return {"top1_held_out": 100 * (self._outputs(batch, drawn).argmax(1) == drawn["label"]).float()}

    def _draw(self, videos: np.ndarray, keys: tuple[Key, ...]) -> Drawn:
        view = sample_views(len(videos), self.recipe, ("natural", *keys))
        return {"view": view, "label": torch.from_numpy(self.labels[videos])}

    def _outputs(self, batch: Batch, drawn: Drawn) -> torch.Tensor:
        view = make_views(batch.frames, drawn["view"], self.recipe.size)
        with autocast(self.config.precision, self.device):
            features = self.backbone(view.contiguous(memory_format=torch.channels_last_3d))
            return self.head(features, drawn.get("kept")).float()
