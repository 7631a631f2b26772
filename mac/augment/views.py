"""One view of a batch: scale, crop, flip and colour, drawn per clip from named keys (method §3)."""

from dataclasses import dataclass

import torch

from mac.augment.colour import normalise, sample_colour, shift_colour
from mac.augment.spatial import Crops, crop, sample_crops
from mac.randomness import Key


@dataclass(frozen=True)
class ViewRecipe:
    """The distribution views are drawn from; sizes in pixels, probabilities in [0, 1]."""

    scales: list[list[int]]
    size: int
    flip_probability: float
    jitter_probability: float
    gray_probability: float


def draw_view(
    frames: torch.Tensor, recipe: ViewRecipe, keys: tuple[Key, ...]
) -> tuple[torch.Tensor, torch.Tensor, Crops]:
    """Draw a fresh view of each clip.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        recipe: what to draw from.
        keys: of the draw; arrays have shape (B,).

    Returns:
        The clip before colour, (B, 3, T, size, size) in [0, 1], from which masks are computed; the view, coloured and
        normalised; and the crops.
    """
    count = len(frames)
    crops = sample_crops(count, recipe.scales, recipe.size, recipe.flip_probability, ("crop", *keys))
    plain = crop(frames, crops, recipe.size)
    shift = sample_colour(count, recipe.jitter_probability, recipe.gray_probability, ("colour", *keys))
    return plain, normalise(shift_colour(plain, shift)), crops
