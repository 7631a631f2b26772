"""The α objective (method §1, supplementary §6): draw α's, predict them, score the prediction."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mac.augment.blend import alpha_values, pretext_labels, sample_alpha_indices, sample_alphas
from mac.randomness import Key


class Attenuation(NamedTuple):
    """What was done to a batch: ``alphas`` (B, n) float32 in (0, 1]; ``labels`` (B,) int64, or None for mse_n."""

    alphas: torch.Tensor
    labels: torch.Tensor | None


@dataclass(frozen=True)
class AlphaObjective:
    """How α's are drawn and predicted.

    ``cross_entropy`` classifies the k^n combinations; ``mse`` regresses the preset α's through n sigmoids; ``mse_n``
    regresses α's drawn uniformly from (0, 1].
    """

    kind: str
    k: int
    segments: int
    preset: str = "paper"

    @property
    def outputs(self) -> int:
        """Outputs the head needs."""
        return self.k**self.segments if self.kind == "cross_entropy" else self.segments

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing, in [0, 1]; None where α is continuous."""
        return None if self.kind == "mse_n" else float(self.k) ** -self.segments

    def draw(self, count: int, keys: tuple[Key, ...]) -> Attenuation:
        """Draw the α's of B clips, on the CPU; arrays among the keys have shape (B,)."""
        if self.kind == "mse_n":
            return Attenuation(torch.from_numpy(sample_alphas(count, self.segments, keys)).float(), None)
        index = sample_alpha_indices(count, self.k, self.segments, keys)
        alphas = np.asarray(alpha_values(self.k, self.preset), np.float32)[index]
        return Attenuation(torch.from_numpy(alphas), torch.from_numpy(pretext_labels(index, self.k)))

    def loss(self, outputs: torch.Tensor, drawn: Attenuation) -> torch.Tensor:
        """Mean loss of head outputs (B, outputs): cross-entropy, or the squared error of the sigmoids."""
        if self.kind == "cross_entropy":
            return F.cross_entropy(outputs, drawn.labels)
        return F.mse_loss(outputs.sigmoid(), drawn.alphas)

    def correct(self, outputs: torch.Tensor, drawn: Attenuation) -> torch.Tensor | None:
        """Which clips (B,) got every segment right: the top class, or the nearest preset α's; None for mse_n."""
        if drawn.labels is None:
            return None
        if self.kind == "cross_entropy":
            return outputs.argmax(1) == drawn.labels
        predicted = outputs.sigmoid().float()
        nearest = torch.stack([(predicted - value).abs() for value in alpha_values(self.k, self.preset)]).argmin(0)
        return pretext_labels(nearest, self.k) == drawn.labels
