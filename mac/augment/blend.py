"""The MAC blend (method §1): attenuate the moving foreground of each segment by its α, and label which α it was."""

from typing import TypeVar

import numpy as np
import torch

from mac.augment.colour import normalise
from mac.randomness import choose, uniform

Indices = TypeVar("Indices", np.ndarray, torch.Tensor)


def alpha_values(k: int, preset: str = "paper") -> tuple[float, ...]:
    """List the k values α can take: the centres of k − 1 equal bins of (0, 1), and 1 (supplementary §8).

    The ``release`` preset has .165, .495, .83, 1 for k = 4, the exact centres otherwise.

    Raises:
        ValueError: k < 2.
    """
    if k < 2:
        raise ValueError(f"k = {k}: at least 2 (one attenuated value and the natural clip)")
    if preset == "release" and k == 4:
        return (0.165, 0.495, 0.83, 1.0)
    return (*((2 * i + 1) / (2 * (k - 1)) for i in range(k - 1)), 1.0)


def sample_alpha_indices(count: int, k: int, segments: int, keys: tuple[int | str | np.ndarray, ...]) -> np.ndarray:
    """Draw one α index per clip and segment: int64 (B, segments), each of 0 … k − 1 equally likely."""
    return choose(np.broadcast_to(uniform(keys, segments), (count, segments)), k)


def sample_alphas(count: int, segments: int, keys: tuple[int | str | np.ndarray, ...]) -> np.ndarray:
    """Draw α uniformly from (0, 1] per clip and segment (MSE-n regression, supplementary §6): float64 (B, segments)."""
    return 1 - np.broadcast_to(uniform(keys, segments), (count, segments))


def pretext_labels(alpha_index: Indices, k: int) -> Indices:
    """Read α indices (B, segments) as digits base k, the first segment most significant: int64 (B,) in 0 … k^n − 1."""
    label = alpha_index[:, 0]
    for digit in alpha_index.T[1:]:
        label = label * k + digit
    return label


def blend(
    clip: torch.Tensor, mask: torch.Tensor, alphas: torch.Tensor, reverse: bool = False, is_apart: bool = False
) -> torch.Tensor:
    """Attenuate the masked part of each segment: x' = α·M·x + (1−M)·x, computed as x·(1 − (1−α)·M).

    With ``is_apart``, foreground and background picture are normalised apart before they are added, as in the authors'
    code for person boxes. Each is black where the other one has its pixels, and normalised black is b = −μ/σ, not 0:
    x' = α·(M·x + (1−M)·b) + (1−M)·x + M·b. Every pixel then depends on α, also where nothing is masked.

    Args:
        clip: (B, C, T, H, W), normalised, so that α → 0 pulls towards the mean colour.
        mask: (B, 1, T, H, W) in [0, 1].
        alphas: (B, n) in (0, 1]; segment s is frames s·T/n … (s+1)·T/n − 1.
        reverse: attenuate the background instead (an option used by no table).
        is_apart: reproduce the authors' normalisation of two pictures.

    Returns:
        The blended clip; where α = 1, bit-identical to ``clip``, or with ``is_apart`` the clip plus b.

    Raises:
        ValueError: the segments don't divide the frames.
    """
    num_frames, segments = clip.shape[2], alphas.shape[1]
    if num_frames % segments:
        raise ValueError(f"{segments} segments don't divide {num_frames} frames")
    weight = (1 - alphas.to(clip)).repeat_interleave(num_frames // segments, dim=1)[:, None, :, None, None]
    if reverse:
        mask = 1 - mask
    blended = clip * (1 - weight * mask)
    if is_apart:
        black = normalise(torch.zeros_like(clip[:1, :, :1, :1, :1]))
        blended += black * (1 - weight * (1 - mask))
    return blended
