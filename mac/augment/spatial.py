"""Scale, crop and flip (method §3): one draw per clip, all frames alike."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mac.randomness import choose, uniform


class Crops(NamedTuple):
    """What to cut out of each clip's frames.

    ``windows`` is (B, 4) float32, (x0, y0, x1, y1) as fractions of the stored frame; ``flips`` is (B,) bool.
    """

    windows: torch.Tensor
    flips: torch.Tensor


def sample_crops(
    count: int,
    scales: list[list[int]],
    size: int,
    flip_probability: float,
    keys: tuple[int | str | np.ndarray, ...],
    is_centred: bool = False,
) -> Crops:
    """Draw a scale, a crop position and a flip for each clip.

    Args:
        count: B, clips.
        scales: [width, height] in pixels that frames are resized to before cropping; one is drawn per clip.
        size: side of the square crop in pixels.
        flip_probability: chance of a left-right flip.
        keys: of the draw; arrays in it have shape (B,).
        is_centred: cut out the centre instead of drawing a position.
    """
    draws = np.broadcast_to(uniform(keys, 4), (count, 4))
    scale = np.asarray(scales)[choose(draws[:, 0], len(scales))]
    corner = (scale - size) // 2 if is_centred else choose(draws[:, 1:3], scale - size + 1)
    windows = np.concatenate([corner / scale, (corner + size) / scale], axis=1)
    return Crops(torch.from_numpy(windows).float(), torch.from_numpy(draws[:, 3] < flip_probability))


def centre_crops(count: int, scale: list[int], size: int) -> Crops:
    """Cut the centre out of frames resized to ``scale`` [width, height], as in testing; no flip."""
    extent = np.asarray(scale)
    corner = (extent - size) // 2
    window = torch.from_numpy(np.concatenate([corner / extent, (corner + size) / extent])).float()
    return Crops(window.expand(count, 4), torch.zeros(count, dtype=torch.bool))


def crop(frames: torch.Tensor, crops: Crops, size: int) -> torch.Tensor:
    """Resize, crop and flip in one bilinear resampling (half-pixel centres, no antialiasing, as OpenCV's INTER_LINEAR).

    Args:
        frames: uint8 (B, T, H, W, 3) RGB.
        crops: one window and flip per clip, on the device of the frames.
        size: side of the square result in pixels.

    Returns:
        float32 (B, 3, T, size, size) in [0, 1].
    """
    batch, num_frames, height, width, _ = frames.shape
    planes = frames.permute(0, 4, 1, 2, 3).reshape(batch, 3 * num_frames, height, width).float().div_(255)
    steps = (torch.arange(size, device=frames.device) + 0.5) / size
    window = crops.windows
    along = torch.where(crops.flips[:, None], 1 - steps, steps)
    x = window[:, 0:1] + (window[:, 2:3] - window[:, 0:1]) * along
    y = window[:, 1:2] + (window[:, 3:4] - window[:, 1:2]) * steps
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1) * 2 - 1
    cut = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.view(batch, 3, num_frames, size, size)
