"""Foreground masks from frame differences: Algorithm 1 of the supplementary (§2), batched.

Two presets, because the paper and the authors' release disagree (see ``docs/discrepancies.md``):

* ``paper``: BG(t) = (1−m)·I(t) + m·BG(t−1); binary mask, 1 where |BG(t−1) − I(t)| > λ.
* ``release``: BG(t) = m·I(t) + (1−m)·BG(t−1), kept as truncated 8-bit; soft mask: differences ≤ λ become 0, then each
  frame is min-max normalised to 0–255, truncated and divided by 255.

Both take the second frame's mask for the first frame and dilate with OpenCV's 2×2 ellipse ([[0, 1], [1, 1]], anchor
(1, 1)).
"""

import torch
import torch.nn.functional as F

from mac.working_set import working_sets

PRESETS = ("paper", "release")


def luma(clip: torch.Tensor, preset: str) -> torch.Tensor:
    """Convert a clip (B, 3, T, H, W), RGB in [0, 1], to gray (B, T, H, W) in 0–255 with ITU-R 601 weights.

    The ``release`` preset rounds the clip to 8 bits first and then computes in OpenCV's 15-bit fixed point.
    """
    red, green, blue = clip.unbind(1)
    if preset == "release":
        # Sums of 8-bit levels times 15-bit weights are exact in single precision: below 2^24 units of 2^-15.
        gray = (255 * red).round_().mul_(9798 / 32768)
        gray.add_((255 * green).round_(), alpha=19235 / 32768)
        return gray.add_((255 * blue).round_(), alpha=3735 / 32768).add_(0.5).floor_()
    return (0.299 * red).add_(0.587 * green).add_(0.114 * blue).mul_(255)


def background_differences(gray: torch.Tensor, momentum: float, preset: str) -> torch.Tensor:
    """Subtract the running background from every frame; one pass serves all thresholds.

    Args:
        gray: (B, T, H, W), 0–255, T ≥ 2.
        momentum: the paper's m in [0, 1]; what it weighs depends on the preset.
        preset: ``paper`` or ``release``.

    Returns:
        |BG(t−1) − I(t)|, (B, T, H, W), 0–255; frame 0 repeats frame 1.

    Raises:
        ValueError: fewer than two frames, or an unknown preset.
    """
    if gray.shape[1] < 2:
        raise ValueError(f"a mask needs at least 2 frames, this clip has {gray.shape[1]}")
    if preset not in PRESETS:
        raise ValueError(f"mask preset {preset!r}: allowed are {', '.join(PRESETS)}")
    frames, backgrounds = gray.unbind(1), torch.empty_like(gray[:, 1:])
    backgrounds[:, 0] = frames[0]
    for background, frame, following in zip(
        backgrounds.unbind(1), frames[1:], backgrounds[:, 1:].unbind(1), strict=False
    ):
        if preset == "paper":
            torch.lerp(frame, background, momentum, out=following)
        elif (float(momentum) * 2**16).is_integer():  # a few bits: products with 8-bit levels and their sum are exact
            torch.mul(background, 1 - momentum, out=following).add_(frame, alpha=momentum).floor_()
        else:
            # In double, as NumPy does: truncation turns a rounding error into a whole gray level.
            following.copy_((momentum * frame.double() + (1 - momentum) * background.double()).floor_())
    differences = torch.empty_like(gray)
    torch.sub(backgrounds, gray[:, 1:], out=differences[:, 1:]).abs_()
    differences[:, 0] = differences[:, 1]
    return differences


def threshold_differences(differences: torch.Tensor, threshold: float, preset: str) -> torch.Tensor:
    """Turn differences (B, T, H, W), 0–255, into dilated masks (B, 1, T, H, W) in [0, 1].

    ``threshold`` is the paper's λ in gray levels. ``paper`` masks are 0 or 1, ``release`` masks are multiples of
    1/255; a frame without any difference above the threshold gets an empty mask.
    """
    if preset == "paper":
        mask = torch.gt(differences, threshold, out=torch.empty_like(differences))  # no detour through bool
    else:
        kept = F.threshold(differences, threshold, 0.0)
        low, high = kept.amin((-2, -1), keepdim=True), kept.amax((-2, -1), keepdim=True)
        span = (high - low).clamp_min_(torch.finfo(kept.dtype).tiny)
        # CUDA divides by a number as it multiplies by its inverse, which isn't exact; by a tensor it divides.
        mask = kept.sub_(low).div_(span).mul_(255).floor_().div_(torch.full_like(span, 255.0))
    return dilate(mask)[:, None]


def dilate(mask: torch.Tensor) -> torch.Tensor:
    """Dilate (…, H, W) with the kernel [[0, 1], [1, 1]], anchor (1, 1): upper and left neighbours count."""
    grown = torch.empty_like(mask)
    grown[..., 0, :] = mask[..., 0, :]
    torch.maximum(mask[..., 1:, :], mask[..., :-1, :], out=grown[..., 1:, :])
    torch.maximum(grown[..., :, 1:], mask[..., :, :-1], out=grown[..., :, 1:])
    return grown


def foreground_masks(clip: torch.Tensor, momentum: float, threshold: float, preset: str) -> torch.Tensor:
    """Compute the masks of a batch of clips.

    Args:
        clip: (B, 3, T, H, W), RGB in [0, 1], after scale, crop and flip, before colour.
        momentum: the paper's m.
        threshold: the paper's λ, gray levels.
        preset: ``paper`` or ``release``.

    Returns:
        (B, 1, T, H, W) in [0, 1], 1 on the moving foreground.
    """
    masks = torch.empty_like(clip[:, :1])
    for part in working_sets(clip):
        differences = background_differences(luma(clip[part], preset), momentum, preset)
        masks[part] = threshold_differences(differences, threshold, preset)
    return masks
