"""The picture of the method in the README, made by the pipeline itself: ``python -m benchmarks.pictures``."""

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.harness import ROOT
from mac import pictures
from mac.augment.blend import alpha_values, blend
from mac.augment.colour import MEAN, STD, normalise
from mac.augment.spatial import centre_crops, crop
from mac.data import synthetic
from mac.data.splits import SyntheticVideo
from mac.masks.check import picture
from mac.masks.frame_difference import foreground_masks

K, MOMENTUM, THRESHOLD = 4, 0.5, 30.0  # of the default row
MOTION, GROUP, SHOWN = "Raise", 3, 6


def as_images(clip: torch.Tensor) -> np.ndarray:
    """Turn a clip (3 or 1, T, H, W) in [0, 1] into images, uint8 (T, H, W, 3)."""
    return (255 * clip.clamp(0, 1)).round().byte().expand(3, -1, -1, -1).permute(1, 2, 3, 0).numpy()


def method() -> Figure:
    """Show one clip of a synthetic person: its frames, its mask, and the clip blended at each α below 1."""
    planned = SyntheticVideo(path="", motion=synthetic.MOTIONS.index(MOTION), group=GROUP, number=1, sides=())
    images, _ = synthetic.frames(planned, 2 * SHOWN, seed=1)
    frames = torch.from_numpy(np.stack(images[::2]))[None]
    clip = crop(frames, centre_crops(1, [149, 112], 112), 112)
    mask = foreground_masks(clip, MOMENTUM, THRESHOLD, "paper")
    rows = [("frames", as_images(clip[0])), ("mask: what moves", as_images(mask[0]))]
    shown = {f"α = {name}": [alpha] for name, alpha in zip(("5/6", "1/2", "1/6"), alpha_values(K)[2::-1], strict=True)}
    shown["MAC-S-2: which\ntwo α are these?"] = [alpha_values(K)[0], alpha_values(K)[2]]
    for name, alphas in shown.items():
        blended = blend(normalise(clip), mask, torch.tensor([alphas]))[0]
        rows.append(
            (name, as_images(blended * torch.tensor(STD).view(3, 1, 1, 1) + torch.tensor(MEAN).view(3, 1, 1, 1)))
        )
    return picture(rows, "")


if __name__ == "__main__":
    pictures.save(method(), [ROOT / "docs" / "method.png"])
