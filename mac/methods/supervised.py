"""Classification from labels: the stand-in for Kinetics-400-supervised weights at scales without them (figures 2–4)."""

from __future__ import annotations

import numpy as np

from mac.methods.mac import Mac
from mac.methods.method import LabelMethod, lazy

torch = lazy("torch")


class Supervised(LabelMethod):
    """Cross-entropy on the action labels of one natural view."""

    Settings = Mac.Settings  # it takes the dropout alone; the rest, and the mask, have always been part of its id
    has_mask_section = True
    needs_labels = True
    uses_contrast = False
    prefix = ""
    view_key = "natural"

    @property
    def name(self) -> str:
        """What a report calls it."""
        return "supervised pretraining on labels"

    @property
    def weight(self) -> float:
        """Nothing is added to its loss."""
        return 1.0

    def outputs(self, labels: np.ndarray) -> int:
        """A number for each class."""
        return int(labels.max()) + 1

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> torch.Tensor:
        """Look up the labels of videos (B,)."""
        return torch.from_numpy(labels[videos])
