"""Colour jitter, grayscale and normalisation (method §3): one draw per clip, all frames alike."""

from dataclasses import dataclass

import numpy as np
import torch

from mac.randomness import uniform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB in [0, 1]

BRIGHTNESS, CONTRAST, HUE, SATURATION = 32 / 255, 0.2, 12 / 180, 0.1


@dataclass(frozen=True)
class ColourShift:
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


def shift_colour(clip: torch.Tensor, shift: ColourShift) -> torch.Tensor:
    """Apply brightness, contrast, hue with saturation (in HSV), then grayscale, clipping to [0, 1] after each.

    Args:
        clip: (B, 3, T, H, W), RGB in [0, 1].
        shift: one per clip.

    Returns:
        A new clip of the same shape and range.
    """

    def wide(values: torch.Tensor) -> torch.Tensor:
        return values.to(clip.device).view(-1, 1, 1, 1)

    lit = ((clip + wide(shift.brightness)[:, None]).clamp_(0, 1) * wide(shift.contrast)[:, None]).clamp_(0, 1)
    turned = (shift.hue != 0) | (shift.saturation != 1)
    if turned.any():
        chosen = turned.nonzero().ravel().to(clip.device)
        part = ColourShift(*(getattr(shift, name)[turned] for name in ColourShift.__dataclass_fields__))
        lit[chosen] = _turn(lit[chosen], part)
    if shift.gray.any():
        chosen = shift.gray.nonzero().ravel().to(clip.device)
        red, green, blue = lit[chosen].unbind(1)
        lit[chosen] = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].expand(-1, 3, -1, -1, -1)
    return lit


def _turn(clip: torch.Tensor, shift: ColourShift) -> torch.Tensor:
    """Turn the hue and scale the saturation of an RGB clip by way of HSV."""
    value, _ = clip.max(1)
    chroma = value - clip.amin(1)
    red, green, blue = clip.unbind(1)
    safe = chroma.clamp_min(1e-12)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = torch.remainder(sixth + 6 * shift.hue.to(clip.device).view(-1, 1, 1, 1), 6)
    chroma = torch.minimum(chroma * shift.saturation.to(clip.device).view(-1, 1, 1, 1), value)
    channels = [value - chroma * _ramp(sixth, offset) for offset in (5, 3, 1)]
    return torch.stack(channels, dim=1)


def _ramp(sixth: torch.Tensor, offset: int) -> torch.Tensor:
    """The falling and rising edge of one RGB channel over the hue circle (in sixths of a turn), in [0, 1]."""
    k = torch.remainder(sixth + offset, 6)
    return torch.minimum(k, 4 - k).clamp_(0, 1)


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Subtract the ImageNet mean and divide by its standard deviation; (B, 3, T, H, W), RGB in [0, 1] → about ±2.6."""
    mean = clip.new_tensor(MEAN).view(1, 3, 1, 1, 1)
    std = clip.new_tensor(STD).view(1, 3, 1, 1, 1)
    return (clip - mean) / std
