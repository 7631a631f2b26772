"""Foreground masks from person boxes (Table 3): a frame's mask is the union of its rectangles, undilated."""

import torch

from mac.augment.spatial import Crops


def box_masks(boxes: torch.Tensor, crops: Crops, size: int) -> torch.Tensor:
    """Rasterise boxes after the clip's own scale, crop and flip.

    Args:
        boxes: (B, T, K, 4), (x0, y0, x1, y1) as fractions of the stored frame, NaN where a frame has fewer than K.
        crops: what was cut out of each clip's frames, (B,) windows and flips, on the device of the boxes.
        size: side of the square clip in pixels.

    Returns:
        (B, 1, T, size, size) float32, 1 where a pixel's centre lies in any box, else 0; no box, no foreground.
    """
    window = crops.windows[:, None, None, :]
    extent = window[..., 2:] - window[..., :2]
    corners = (boxes.unflatten(-1, (2, 2)) - window[..., None, :2]) / extent[..., None, :] * size
    x0, y0, x1, y1 = corners.flatten(-2).unbind(-1)
    flip = crops.flips[:, None, None]
    x0, x1 = torch.where(flip, size - x1, x0), torch.where(flip, size - x0, x1)
    centre = torch.arange(size, device=boxes.device) + 0.5
    inside_x = (centre >= x0[..., None]) & (centre < x1[..., None])
    inside_y = (centre >= y0[..., None]) & (centre < y1[..., None])
    return (inside_y[..., :, None] & inside_x[..., None, :]).any(dim=2)[:, None].float()
