"""One view of a batch: scale, crop, flip and colour, drawn per clip from named keys (method §3)."""

from dataclasses import dataclass, fields

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


@dataclass(frozen=True)
class Drawn:
    """The parameters of B views: what to cut out and how to change its colours."""

    crops: Crops
    colours: ColourShift

    def __getitem__(self, part: slice) -> "Drawn":
        """Cut the parameters of a part of the batch out."""
        crops = Crops(*(getattr(self.crops, field.name)[part] for field in fields(Crops)))
        return Drawn(crops, ColourShift(*(getattr(self.colours, field.name)[part] for field in fields(ColourShift))))


def sample_views(count: int, recipe: ViewRecipe, keys: tuple[Key, ...]) -> Drawn:
    """Draw the parameters of ``count`` views; arrays among the keys have shape (B,)."""
    crops = sample_crops(count, recipe.scales, recipe.size, recipe.flip_probability, ("crop", *keys))
    return Drawn(crops, sample_colour(count, recipe.jitter_probability, recipe.gray_probability, ("colour", *keys)))


def apply_views(frames: torch.Tensor, drawn: Drawn, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut and colour frames.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        drawn: the parameters of the B views.
        size: side of the square result in pixels.

    Returns:
        The clip before colour, (B, 3, T, size, size) in [0, 1], from which masks are computed, and the view, coloured
        and normalised.
    """
    plain = crop(frames, drawn.crops, size)
    return plain, normalise(shift_colour(plain, drawn.colours))


def draw_view(frames: torch.Tensor, recipe: ViewRecipe, keys: tuple[Key, ...]) -> torch.Tensor:
    """Draw a fresh view of each clip.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        recipe: what to draw from.
        keys: of the draw; arrays have shape (B,).

    Returns:
        The views, (B, 3, T, size, size), coloured and normalised.
    """
    drawn = sample_views(len(frames), recipe, keys)
    view = torch.empty((len(frames), 3, frames.shape[1], recipe.size, recipe.size), device=frames.device)
    for part in working_sets(frames):
        view[part] = apply_views(frames[part], drawn[part], recipe.size)[1]
    return view
