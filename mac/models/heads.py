"""Heads on pooled features: linear with stateless dropout, the contrastive projector; and the action classifier."""

import numpy as np
import torch
from torch import nn

from mac.randomness import uniform


class DropoutLinear(nn.Linear):
    """A linear layer behind dropout whose mask is a pure function of keys.

    It serves as the pretext head (k^n classes, or n regressed α's before a sigmoid) and as the action classifier.
    """

    def __init__(self, features: int, outputs: int, dropout: float) -> None:
        super().__init__(features, outputs)
        nn.init.normal_(self.weight, 0, 0.01)
        nn.init.zeros_(self.bias)
        self.dropout = dropout

    def draw(self, count: int, keys: tuple[int | str | np.ndarray, ...]) -> torch.Tensor | None:
        """Draw which of the features of B clips are kept: bool (B, D) on the CPU; None where none are ever dropped."""
        if not self.dropout:
            return None
        return torch.from_numpy(
            np.broadcast_to(uniform(keys, self.in_features), (count, self.in_features)) >= self.dropout
        )

    def forward(self, features: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Map features (B, D) to outputs (B, outputs); ``kept`` (B, D) bool drops the others, None drops nothing."""
        if kept is not None:
            features = features * kept / (1 - self.dropout)
        return super().forward(features)


def projector(features: int, hidden: int, outputs: int) -> nn.Sequential:
    """Build MoCo v2's projection MLP: features (B, D) → z (B, outputs), before normalisation (paper: 512–512–128)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


class ActionClassifier(nn.Module):
    """A backbone and a linear classifier behind dropout."""

    def __init__(self, backbone: nn.Module, classes: int, dropout: float = 0.0) -> None:
        """Put a randomly initialised head of ``classes`` outputs behind a backbone."""
        super().__init__()
        self.backbone = backbone
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
