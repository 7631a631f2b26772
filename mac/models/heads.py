"""Heads on pooled features: linear with stateless dropout (pretext, classifier), and the contrastive projector."""

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

    def forward(self, features: torch.Tensor, keys: tuple[int | str | np.ndarray, ...] | None = None) -> torch.Tensor:
        """Map features (B, D) to outputs (B, outputs); without ``keys`` nothing is dropped (evaluation)."""
        if keys is not None and self.dropout:
            draws = np.broadcast_to(uniform(keys, self.in_features), features.shape)
            kept = torch.from_numpy(draws >= self.dropout).to(features.device)
            features = features * kept / (1 - self.dropout)
        return super().forward(features)


def projector(features: int, hidden: int, outputs: int) -> nn.Sequential:
    """Build MoCo v2's projection MLP: features (B, D) → z (B, outputs), before normalisation (paper: 512–512–128)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))
