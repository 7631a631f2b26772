"""What a mask check finds: how much a setting marks, how steadily, and what that looks like."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure


class DegenerateMaskError(Exception):
    """A mask setting marks almost nothing or almost everything; the message names it, the share and the limits."""


def statistics(masks: torch.Tensor) -> dict[str, float | list[float]]:
    """Summarise masks (V, 1, T, H, W) in [0, 1] of V clips.

    Returns:
        ``foreground``: mean share of foreground in [0, 1]; ``foreground_by_frame``: its mean per frame position (T);
        ``foreground_by_video``: its 0, 25, 50, 75 and 100 % quantiles over clips; ``empty_frames``: share of frames
        without any foreground; ``stability``: mean intersection over union of neighbouring frames' masks (soft masks:
        sum of minima over sum of maxima), frames without foreground left out, NaN-free (0 when there are none).
    """
    share = masks.mean((1, 3, 4))
    low, high = torch.minimum(masks[:, :, 1:], masks[:, :, :-1]), torch.maximum(masks[:, :, 1:], masks[:, :, :-1])
    union = high.sum((1, 3, 4))
    overlap = low.sum((1, 3, 4))[union > 0] / union[union > 0]
    return {
        "foreground": float(share.mean()),
        "foreground_by_frame": [float(value) for value in share.mean(0)],
        "foreground_by_video": [float(v) for v in share.mean(1).quantile(torch.tensor([0, 0.25, 0.5, 0.75, 1.0]))],
        "empty_frames": float((share == 0).float().mean()),
        "stability": float(overlap.mean()) if len(overlap) else 0.0,
    }


def refuse_degenerate(foreground: float, low: float, high: float, setting: str, used_by: list[str]) -> None:
    """Refuse a setting that marks almost nothing or almost everything.

    Raises:
        DegenerateMaskError: ``foreground`` lies outside [low, high].
    """
    if not low <= foreground <= high:
        raise DegenerateMaskError(
            f"mask setting {setting}: {foreground:.2%} of the pixels are foreground, allowed are {low:.2%} to"
            f" {high:.2%} (mask_limits). Used by {'; '.join(used_by)}. Change the rows' threshold or momentum,"
            " or the limits"
        )


def overlay(clip: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """Paint a mask (1, T, H, W) over its clip (3, T, H, W) in [0, 1]: the rest dimmed; uint8 (T, H, W, 3)."""
    painted = clip * (0.25 + 0.75 * mask) + torch.tensor([0.25, 0.0, 0.0]).view(3, 1, 1, 1) * mask
    return (painted.clamp(0, 1) * 255).byte().permute(1, 2, 3, 0).numpy()


def picture(rows: list[tuple[str, np.ndarray]], title: str) -> Figure:
    """Draw rows of frames, each a label and uint8 (T, H, W, 3): frames run to the right, settings or videos down."""
    frames, height, width = rows[0][1].shape[:3]
    size = (0.85 * frames + 1.6, (0.85 * height / width + 0.05) * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), frames, figsize=size, squeeze=False, layout="constrained")
    for line, (label, images) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure
