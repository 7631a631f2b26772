"""Views of clips whose moving foreground is attenuated (method §1, §2): crop, mask, colour, blend."""

from typing import Any

import torch

from mac.augment import blend
from mac.augment.views import ViewParameters, ViewRecipe, apply_views
from mac.masks import frame_difference, person_boxes
from mac.working_set import working_sets


def attenuated_views(
    frames: torch.Tensor,
    boxes: torch.Tensor | None,
    drawn: ViewParameters,
    alphas: torch.Tensor,
    recipe: ViewRecipe,
    mask: Any,
    reverse: bool = False,
    is_apart: bool = False,
) -> torch.Tensor:
    """Make views and attenuate what moves in them.

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        boxes: (B, T, K, 4) person boxes, where ``mask`` is made of them.
        drawn: the parameters of the B views, on the device of the frames.
        alphas: (B, n) in (0, 1], the multiplier of each segment.
        recipe: what the views were drawn from.
        mask: the configuration of the foreground (:class:`mac.config.MaskConfig`), which is found before colour.
        reverse: attenuate the background instead.
        is_apart: normalise foreground and background apart, see :func:`mac.augment.blend.blend`.

    Returns:
        The views, (B, 3, T, S, S), coloured, normalised and blended, in the layout that convolutions are fastest in.
    """
    shape = (len(frames), 3, frames.shape[1], recipe.size, recipe.size)
    view = torch.empty(shape, device=frames.device, memory_format=torch.channels_last_3d)
    for part in working_sets(frames):
        parameters = drawn.part(part)
        plain, coloured = apply_views(frames[part], parameters, recipe)
        if mask.source == "person_boxes":
            foreground = person_boxes.box_masks(boxes[part], parameters.crops, recipe.size)
        else:
            foreground = frame_difference.foreground_masks(plain, mask.momentum, mask.threshold, mask.preset)
        view[part] = blend.blend(coloured, foreground, alphas[part], reverse, is_apart)
    return view
