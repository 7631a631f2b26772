"""One view of a batch: scale, crop, flip and colour, drawn per clip from named keys (method §3)."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch

from mac.augment.colour import ColourShift, normalise, sample_colour, shift_colour
from mac.augment.spatial import Crops, crop, sample_crops
from mac.randomness import Key
from mac.working_set import working_sets


@dataclass(frozen=True)
class ViewRecipe:
    """The distribution views are drawn from; sizes in pixels, probabilities in [0, 1]."""

    scales: list[list[int]]
    size: int
    flip_probability: float
    jitter_probability: float
    gray_probability: float
    is_centred: bool = False
    hue: str = "wrap"

    @classmethod
    def of(cls, clip: Any, colour: Any) -> Self:
        """Read the recipe off the sections ``clip`` and ``colour`` of a stage's configuration."""
        chances = (clip.flip_probability, colour.jitter_probability, colour.gray_probability)
        return cls(clip.scales, clip.size, *chances, clip.crop == "centre", colour.hue)


class ViewParameters(NamedTuple):
    """The random parameters of B views: what to cut out and how to change its colours."""

    crops: Crops
    colours: ColourShift

    def part(self, chosen: slice) -> "ViewParameters":
        """Take the parameters of a part of the batch."""
        crops = Crops(*(values[chosen] for values in self.crops))
        return ViewParameters(crops, ColourShift(*(values[chosen] for values in self.colours)))


def sample_views(count: int, recipe: ViewRecipe, keys: tuple[Key, ...]) -> ViewParameters:
    """Draw the parameters of ``count`` views, on the CPU; arrays among the keys have shape (B,)."""
    spatial = recipe.scales, recipe.size, recipe.flip_probability
    crops = sample_crops(count, *spatial, ("crop", *keys), recipe.is_centred)
    colours = sample_colour(count, recipe.jitter_probability, recipe.gray_probability, ("colour", *keys))
    return ViewParameters(crops, colours)


def apply_views(frames: torch.Tensor, drawn: ViewParameters, recipe: ViewRecipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut and colour frames.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        drawn: the parameters of the B views, on the device of the frames.
        recipe: what they were drawn from.

    Returns:
        The clip before colour, (B, 3, T, S, S) in [0, 1], from which masks are computed, and the view, coloured
        and normalised.
    """
    plain = crop(frames, drawn.crops, recipe.size)
    return plain, normalise(shift_colour(plain, drawn.colours, recipe.hue))


def make_views(frames: torch.Tensor, drawn: ViewParameters, recipe: ViewRecipe) -> torch.Tensor:
    """Make the view of each clip that its parameters describe.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        drawn: the parameters of the B views, on the device of the frames.
        recipe: what they were drawn from.

    Returns:
        The views, (B, 3, T, S, S), coloured and normalised.
    """
    view = torch.empty((len(frames), 3, frames.shape[1], recipe.size, recipe.size), device=frames.device)
    for part in working_sets(frames):
        view[part] = apply_views(frames[part], drawn.part(part), recipe)[1]
    return view
