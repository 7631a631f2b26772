"""Background erasing (BE; Wang et al., CVPR 2021): one still frame is mixed into all frames of a clip.

"Given a video, we randomly select a static frame and add it to every other frames to construct a distracting video
sample. Then we force the model to pull the feature of the distracting video and the feature of the original video
closer" (abstract). The distracting clip is (1 − λ)·x + λ·x_k, with λ drawn uniformly from [0, 0.3) and k from the
clip's frames; momentum contrast pulls it towards a natural view of the same frames. What differs from the authors'
code: λ is drawn for each clip and not for each batch, and the clip gets no third, negative view of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mac.methods.method import Method, MethodSettings, lazy
from mac.randomness import choose, uniform
from mac.validation import Probability

if TYPE_CHECKING:
    from mac.augment.views import ViewRecipe
    from mac.training.batches import Batch

torch = lazy("torch")


class Still(NamedTuple):
    """What is mixed into each clip of a batch: ``frame`` (B,) int64 of its frames, with ``weight`` (B,) float32."""

    frame: torch.Tensor
    weight: torch.Tensor


class BackgroundErasing(Method):
    """Momentum contrast between a natural view and one with a still frame mixed in."""

    class Settings(MethodSettings):
        """``most``: the largest weight of the still frame. It has no head: dropout and weight are not used."""

        most: Probability

    needs_contrast = True

    @property
    def name(self) -> str:
        """What a report calls it."""
        return "background erasing"

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> Still:
        """Draw the still frame of videos (B,) and its weight."""
        draws = uniform(("still", *self.keys(epoch, videos)), 2)
        frame, weight = choose(draws[:, 0], self.config.clip.num_frames), self.settings.most * draws[:, 1]
        return Still(torch.from_numpy(frame), torch.from_numpy(weight).float())

    def view(self, batch: Batch, drawn: dict[str, Any], recipe: ViewRecipe) -> torch.Tensor:
        """Make the views (B, 3, T, S, S) with a still frame mixed into each."""
        view = super().view(batch, drawn, recipe)
        still = drawn["pretext"]
        frame = view[torch.arange(len(view), device=view.device), :, still.frame][:, :, None]
        mixed = torch.lerp(view, frame.expand_as(view), still.weight[:, None, None, None, None])
        return mixed.contiguous(memory_format=torch.channels_last_3d)
