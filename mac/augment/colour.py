"""Colour jitter, grayscale and normalisation (method §3): one draw per clip, all frames alike."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from mac.randomness import uniform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB in [0, 1]

BRIGHTNESS, CONTRAST, HUE, SATURATION = 32 / 255, 0.2, 12 / 180, 0.1
LAST_HUE = 179 / 180  # turns: the largest of OpenCV's 8-bit hues


class ColourShift(NamedTuple):
    """Per clip, each (B,): added brightness, contrast factor, hue shift in turns, saturation factor, gray (bool).

    A shift of 0 (factor 1, gray False) leaves the clip as it is.
    """

    brightness: torch.Tensor
    contrast: torch.Tensor
    hue: torch.Tensor
    saturation: torch.Tensor
    gray: torch.Tensor


def sample_colour(
    count: int, jitter_probability: float, gray_probability: float, keys: tuple[int | str | np.ndarray, ...]
) -> ColourShift:
    """Draw brightness +U(±32/255), contrast ×exp U(±.2), hue +U(±12/180) with saturation ×exp U(±.1), and grayscale.

    Each of brightness, contrast and (hue with saturation) happens with ``jitter_probability``, grayscale with
    ``gray_probability``. ``keys`` name the draw; arrays in it have shape (B,).
    """
    draws = torch.from_numpy(np.array(np.broadcast_to(uniform(keys, 8), (count, 8)), dtype=np.float32))
    happens = draws[:, :3] < jitter_probability
    spread = 2 * draws[:, 3:7] - 1
    zero = torch.zeros(count)
    return ColourShift(
        brightness=torch.where(happens[:, 0], BRIGHTNESS * spread[:, 0], zero),
        contrast=torch.where(happens[:, 1], CONTRAST * spread[:, 1], zero).exp(),
        hue=torch.where(happens[:, 2], HUE * spread[:, 2], zero),
        saturation=torch.where(happens[:, 2], SATURATION * spread[:, 3], zero).exp(),
        gray=draws[:, 7] < gray_probability,
    )


def shift_colour(clip: torch.Tensor, shift: ColourShift, hue: str = "wrap") -> torch.Tensor:
    """Apply brightness, contrast, hue with saturation (in HSV), then grayscale, clipping to [0, 1] after each.

    Args:
        clip: (B, 3, T, H, W), RGB in [0, 1].
        shift: one per clip, on the device of the clips.
        hue: ``wrap``: hues are on a circle. ``clip``: they end at 0 and 179/180 turns, as in the authors' code.

    Returns:
        A new clip of the same shape and range.
    """

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values.view(-1, 1, 1, 1)

    lit = (clip + wide(shift.brightness)[:, None]).clamp_(0, 1).mul_(wide(shift.contrast)[:, None]).clamp_(max=1)
    turned = (shift.hue != 0) | (shift.saturation != 1)
    lit = _change(lit, turned, lambda clips, at: _turn(clips, wide(shift.hue[at]), wide(shift.saturation[at]), hue))
    return _change(lit, shift.gray, lambda clips, _: _to_gray(clips))


def _change(
    clip: torch.Tensor,
    which: torch.Tensor,
    change: Callable[[torch.Tensor, torch.Tensor | slice], torch.Tensor],
) -> torch.Tensor:
    """Change the clips that ``which`` (B,) bool marks; ``change`` gets them and where they are in the batch.

    On a CPU nothing is computed for the others. The host of a GPU doesn't know which those are without waiting for it:
    there all are changed, and the old ones kept.
    """
    if clip.device.type != "cpu":
        return torch.where(which.view(-1, 1, 1, 1, 1), change(clip, slice(None)), clip)
    if not which.any():
        return clip
    chosen = slice(None) if which.all() else which.nonzero().ravel()
    clip[chosen] = change(clip[chosen], chosen)
    return clip


def _to_gray(clip: torch.Tensor) -> torch.Tensor:
    red, green, blue = clip.unbind(1)
    return (0.299 * red).add_(0.587 * green).add_(0.114 * blue)[:, None].expand(-1, 3, -1, -1, -1)


def _turn(clip: torch.Tensor, hue: torch.Tensor, saturation: torch.Tensor, at_ends: str) -> torch.Tensor:
    """Turn the hue and scale the saturation, (B, 1, 1, 1) each, of an RGB clip by way of HSV; hues wrap or are clipped.

    Choices are interpolations by weights 0 and 1, which is exact: on a CPU, comparing into float and ``lerp`` take a
    tenth of the time of ``where``.
    """
    red, green, blue = clip.unbind(1)
    value = torch.maximum(red, green)
    torch.maximum(value, blue, out=value)
    chroma = torch.minimum(red, green)
    torch.minimum(chroma, blue, out=chroma)
    torch.sub(value, chroma, out=chroma)
    is_red, is_green = (torch.eq(value, one, out=torch.empty_like(value)) for one in (red, green))
    sixth = torch.lerp(red - green, blue - red, is_green)
    torch.lerp(sixth, green - blue, is_red, out=sixth)
    sixth.div_(chroma.clamp_min(1e-12))
    sixth.add_(torch.sub(4, is_green, alpha=2).mul_(1 - is_red))
    if at_ends == "wrap":
        sixth.add_(6 * hue)
    sixth.sub_((sixth / 6).floor_(), alpha=6)
    if at_ends == "clip":
        sixth.add_(6 * hue).clamp_(0, 6 * LAST_HUE)
    torch.minimum(chroma.mul_(saturation), value, out=chroma)
    # How far each channel falls below the value on the hue circle, as a share of the chroma in [0, 1].
    falls = (
        (sixth + 5).sub_(8).abs_().mul_(-1).add_(2),
        (sixth + 3).sub_(5).abs_().sub_(1),
        (sixth + 1).sub_(5).abs_().sub_(1),
    )
    turned = torch.empty_like(clip)
    for channel, fall in enumerate(falls):
        torch.sub(value, fall.clamp_(0, 1).mul_(chroma), out=turned[:, channel])
    return turned


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Subtract the ImageNet mean and divide by its standard deviation; (B, 3, T, H, W), RGB in [0, 1] → about ±2.6."""
    mean, std = _mean_and_std(clip.device, clip.dtype)
    return (clip - mean).div_(std)


@cache
def _mean_and_std(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Put the constants on a device, once: a copy in every step would make the host wait in every step."""
    return tuple(torch.tensor(values, dtype=dtype).view(1, 3, 1, 1, 1).to(device) for values in (MEAN, STD))
