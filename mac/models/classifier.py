"""The action classifier that finetuning trains: a backbone and a linear head."""

import torch
from torch import nn

from mac.models.backbones import build
from mac.models.heads import DropoutLinear


class ActionClassifier(nn.Module):
    """A backbone and a linear classifier behind dropout."""

    def __init__(self, backbone: str, width: int, classes: int, dropout: float = 0.0) -> None:
        """Build a randomly initialised classifier: a :class:`Backbone` by name and width, and its head."""
        super().__init__()
        self.backbone = build(backbone, width)
        self.head = DropoutLinear(self.backbone.num_features, classes, dropout)

    def forward(self, clip: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Map clips (B, 3, T, H, W), normalised, to logits (B, classes); ``kept`` (B, D) bool turns dropout on."""
        return self.head(self.backbone(clip.contiguous(memory_format=torch.channels_last_3d)), kept)

    def activations(self, clip: torch.Tensor) -> torch.Tensor:
        """Map clips (B, 3, T, H, W), normalised, to the last stage's activations (B, D, T', H', W')."""
        return self.backbone.activations(clip.contiguous(memory_format=torch.channels_last_3d))

    def classify(self, activations: torch.Tensor) -> torch.Tensor:
        """Map the last stage's activations (B, D, T', H', W') to logits (B, classes), without dropout."""
        return self.head(activations.mean((2, 3, 4)))
