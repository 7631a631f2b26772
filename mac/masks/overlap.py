"""How much of a map's mass lies on the moving foreground, against what chance would put there."""

from typing import Any

import numpy as np
import torch

from mac.randomness import Key, choose, uniform

RESAMPLES = 2000
SHIFTS = 8  # random shifts of each map


def share_inside(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Measure the share of each map's mass that lies inside its mask.

    Args:
        maps: (B, T, H, W), not negative.
        masks: (B, T, H, W) in [0, 1]; where a mask is soft, mass counts by its value.

    Returns:
        (B,) in [0, 1]; NaN for a map that is zero everywhere. Mass spread evenly gives the mask's share of the area.
    """
    return (maps * masks).sum((1, 2, 3)) / maps.sum((1, 2, 3))


def shift_randomly(maps: torch.Tensor, keys: tuple[Key, ...]) -> torch.Tensor:
    """Shift each map (B, T, H, W) in space by an offset of its own, all frames alike; what leaves comes in opposite.

    It keeps a map's shape and its course in time, and takes away where it lies. ``keys`` name the draw; arrays in it
    have shape (B,).
    """
    height, width = maps.shape[-2:]
    draws = np.broadcast_to(uniform(keys, 2), (len(maps), 2))
    offsets = zip(choose(draws[:, 0], height), choose(draws[:, 1], width), strict=True)
    return torch.stack([own.roll((int(y), int(x)), (-2, -1)) for own, (y, x) in zip(maps, offsets, strict=True)])


def compare(
    maps: tuple[torch.Tensor, ...], masks: torch.Tensor, groups: np.ndarray, keys: tuple[Key, ...]
) -> dict[str, Any]:
    """Measure several models' maps of the same clips against the moving foreground.

    Args:
        maps: each model's, (N, T, H, W), not negative.
        masks: (N, T, H, W) in [0, 1].
        groups: (N,) the group each video belongs to.
        keys: of the draws.

    Returns:
        ``videos`` that count, those left out ``without_foreground`` and ``without_map`` (of some model), ``mask_area``
        (mean share of foreground), the ``difference`` of the first two models' ``times_chance``, and per model in
        ``models`` the mean ``share_inside`` and, as multiples of the mask's area with intervals: ``times_chance``; the
        same of randomly shifted maps, ``times_chance_shifted``: what a map of this shape gives anywhere; and of the
        masks of other videos, ``times_chance_other_mask``: what it gives where things move in general (the centre).
        ``each`` has the numbers of single videos, in their order, with six digits: ``clip`` (which of the N),
        ``mask_area``, and ``share_inside``, a list a model. These four are None where no video counts.
    """
    has_foreground = masks.flatten(1).any(1).numpy()
    has_maps = np.all([own.flatten(1).any(1).numpy() for own in maps], axis=0)
    kept = np.flatnonzero(has_foreground & has_maps)
    found = {
        "videos": len(kept),
        "without_foreground": int((~has_foreground).sum()),
        "without_map": int((has_foreground & ~has_maps).sum()),
    }
    if not len(kept):
        return found | dict.fromkeys(("mask_area", "models", "difference", "each"))
    masks, groups = masks[kept], groups[kept]
    area = masks.mean((1, 2, 3)).double().numpy()
    half = len(kept) // 2  # in store order half way on: as a rule another class
    others, other_area = masks.roll(half, 0), np.roll(area, half)

    def ratio(shares: np.ndarray, chances: np.ndarray = area) -> dict[str, float]:
        return ratio_with_interval(shares, chances, groups, (*keys, "groups"))

    models, inside = [], []
    for own in (own[kept] for own in maps):
        inside.append(share_inside(own, masks).double().numpy())
        shifted = [
            share_inside(shift_randomly(own, (*keys, "shift", kept, number)), masks).double().numpy()
            for number in range(SHIFTS)
        ]
        models.append(
            {
                "share_inside": float(inside[-1].mean()),
                "times_chance": ratio(inside[-1]),
                "times_chance_shifted": ratio(np.mean(shifted, axis=0)),
                "times_chance_other_mask": ratio(share_inside(own, others).double().numpy(), other_area),
            }
        )
    difference = ratio(inside[0] - inside[1])
    each = {"clip": kept.tolist(), "mask_area": area.round(6).tolist(), "share_inside": np.round(inside, 6).tolist()}
    return found | {"mask_area": float(area.mean()), "models": models, "difference": difference, "each": each}


def describe(names: list[str], found: dict[str, Any]) -> str:
    """Say in a sentence what :func:`compare` found of models of these names."""
    if not found["videos"]:
        return "Overlap of the maps with the moving foreground: no video with both a foreground and maps."

    def number(measured: dict[str, float]) -> str:
        return f"{measured['value']:.2f} [{measured['low']:.2f}, {measured['high']:.2f}]"

    parts = [
        f"{name} {number(own['times_chance'])} (shifted at random {own['times_chance_shifted']['value']:.2f}, on other"
        f" videos' masks {own['times_chance_other_mask']['value']:.2f})"
        for name, own in zip(names, found["models"], strict=True)
    ]
    return (
        f"Mass of the maps on the moving foreground, times chance (the mask's share of the area,"
        f" {found['mask_area']:.1%}), with 95 % intervals over groups of videos: {'; '.join(parts)}; difference"
        f" {number(found['difference'])}. {found['videos']} test videos."
    )


def ratio_with_interval(
    shares: np.ndarray, chances: np.ndarray, groups: np.ndarray, keys: tuple[Key, ...]
) -> dict[str, float]:
    """Divide the mean share by the mean chance, with a 95 % interval from resampling whole groups of videos.

    The videos of a group are cut from one source and are alike; the percentile bootstrap (Efron 1979) draws as many
    groups as there are, with replacement.

    Args:
        shares: (N,) of each video, N ≥ 1; a difference of two models' shares is as good.
        chances: (N,) what chance gives each, e.g. the mask's share of the area; positive.
        groups: (N,) the group each video belongs to.
        keys: of the draws.

    Returns:
        ``value``, ``low`` and ``high``; 1 is chance (0 for a difference).
    """
    names, member = np.unique(groups, return_inverse=True)
    above, below = (np.bincount(member, values) for values in (shares, chances))
    drawn = choose(uniform((*keys, np.arange(RESAMPLES)), len(names)), len(names))
    ratios = above[drawn].sum(1) / below[drawn].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {"value": float(shares.sum() / chances.sum()), "low": float(low), "high": float(high)}
