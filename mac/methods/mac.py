"""MAC (method §1, supplementary §6 and §8): attenuate the moving foreground of each segment, and predict by how much.

For each clip: cut it out of its frames, compute the foreground mask M of the clip before colour, colour and normalise
it, draw an α for each of n segments, blend x' = α·M·x + (1−M)·x, and predict which α's were drawn. With momentum
contrast (MAC-SC) the blended view and a natural one of the same frames are a positive pair, see
:mod:`mac.methods.learner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from mac.methods.method import Method, MethodSettings, lazy
from mac.randomness import Key
from mac.validation import Strict

if TYPE_CHECKING:
    from mac.augment.views import ViewRecipe
    from mac.training.batches import Batch

torch = lazy("torch")
F = lazy("torch.nn.functional")
alpha = lazy("mac.augment.blend")
attenuation = lazy("mac.methods.attenuation")


class Attenuate(Strict):
    """MAC's augmentation for another method's views: α's are drawn for each clip, and nothing is asked of them."""

    k: Annotated[int, Field(ge=2)]
    segments: PositiveInt
    preset: Literal["paper", "release"] = "paper"
    reverse: bool = False

    def draw(self, count: int, keys: tuple[Key, ...]) -> torch.Tensor:
        """Draw the α's of clips, float32 (count, segments); arrays among the keys have shape (count,)."""
        index = alpha.sample_alpha_indices(count, self.k, self.segments, ("attenuate", *keys))
        return torch.from_numpy(np.asarray(alpha.alpha_values(self.k, self.preset), np.float32)[index])


class Attenuation(NamedTuple):
    """What was done to a batch: ``alphas`` (B, n) float32 in (0, 1]; ``labels`` (B,) int64, or None for mse_n."""

    alphas: torch.Tensor
    labels: torch.Tensor | None


class Mac(Method):
    """MAC-S-n and MAC-SC-n."""

    class Settings(MethodSettings):
        """The α objective: k values, n segments, and how the α's are predicted (supplementary §6, §8).

        ``cross_entropy`` classifies the k^n combinations; ``mse`` regresses the k preset α's through n sigmoids;
        ``mse_n`` regresses α's drawn uniformly from (0, 1]. ``reverse`` attenuates the background instead.
        ``normalise``: the clip ``once``, or foreground and background ``apart`` (see :func:`mac.augment.blend.blend`).
        """

        came_later: ClassVar[dict[str, Any]] = {"normalise": "once"}
        k: Annotated[int, Field(ge=2)]
        segments: PositiveInt
        objective: Literal["cross_entropy", "mse", "mse_n"]
        preset: Literal["paper", "release"]
        reverse: bool
        normalise: Literal["once", "apart"] = "once"

        def check(self, clip: Any) -> None:
            """Refuse segments that don't divide the clip."""
            if clip.num_frames % self.segments:
                raise ValueError(f"pretext.segments {self.segments} must divide clip.num_frames {clip.num_frames}")

    needs_mask = has_mask_section = True

    @property
    def name(self) -> str:
        """MAC-S-n, or MAC-SC-n with contrast."""
        return f"MAC-{'SC' if self.config.contrast else 'S'}-{self.settings.segments}"

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing all segments, in [0, 1]; None where α is continuous."""
        return None if self.settings.objective == "mse_n" else float(self.settings.k) ** -self.settings.segments

    def outputs(self, labels: np.ndarray) -> int:
        """A class for each combination of α's, or a number for each segment."""
        s = self.settings
        return s.k**s.segments if s.objective == "cross_entropy" else s.segments

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> Attenuation:
        """Draw the α's of videos (B,)."""
        s, count, keys = self.settings, len(videos), ("alpha", *self.keys(epoch, videos))
        if s.objective == "mse_n":
            return Attenuation(torch.from_numpy(alpha.sample_alphas(count, s.segments, keys)).float(), None)
        index = alpha.sample_alpha_indices(count, s.k, s.segments, keys)
        values = np.asarray(alpha.alpha_values(s.k, s.preset), np.float32)
        return Attenuation(torch.from_numpy(values[index]), torch.from_numpy(alpha.pretext_labels(index, s.k)))

    def view(self, batch: Batch, drawn: dict[str, Any], recipe: ViewRecipe) -> torch.Tensor:
        """Make the attenuated view (B, 3, T, S, S)."""
        how = self.settings.reverse, self.settings.normalise == "apart"
        return attenuation.attenuated_views(
            batch.frames, batch.boxes, drawn["view"], drawn["pretext"].alphas, recipe, self.config.mask, *how
        )

    def loss(self, outputs: torch.Tensor, asked: Attenuation) -> torch.Tensor:
        """Cross-entropy of the combination, or the squared error of the sigmoids."""
        if self.settings.objective == "cross_entropy":
            return F.cross_entropy(outputs, asked.labels)
        return F.mse_loss(outputs.sigmoid(), asked.alphas)

    def correct(self, outputs: torch.Tensor, asked: Attenuation) -> torch.Tensor | None:
        """Which clips (B,) got every segment right: the top class, or the nearest preset α's; None for mse_n."""
        s = self.settings
        if asked.labels is None:
            return None
        if s.objective == "cross_entropy":
            return outputs.argmax(1) == asked.labels
        predicted = outputs.sigmoid().float()
        nearest = torch.stack([(predicted - value).abs() for value in alpha.alpha_values(s.k, s.preset)]).argmin(0)
        return alpha.pretext_labels(nearest, s.k) == asked.labels
