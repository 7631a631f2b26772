"""One step of MAC-S-2 in plain PyTorch, to read the method in one piece: frames → mask → blend → network → loss.

Left out: random scale, crop, flip and colour (§3), and the contrast of MAC-SC. ``python docs/mac_step.py`` trains one
step on random clips. A test holds mask, blended clip and loss against those of the package.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

K, SEGMENTS, MOMENTUM, THRESHOLD = 4, 2, 0.5, 30.0  # §8: k; §1: n; §7: m and λ (gray levels)
ALPHAS = torch.tensor([1 / 6, 1 / 2, 5 / 6, 1.0])  # §8: centres of k − 1 equal parts of (0, 1), and 1
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1, 1)  # of ImageNet, as STD
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1, 1)


def foreground_mask(clip: torch.Tensor) -> torch.Tensor:
    """Algorithm 1 (§2): what moves in clips (B, 3, T, H, W), RGB in [0, 1]; a mask (B, 1, T, H, W) of 0 and 1."""
    gray = 255 * (0.299 * clip[:, 0] + 0.587 * clip[:, 1] + 0.114 * clip[:, 2])
    background, masks = gray[:, 0], []
    for frame in gray.unbind(1)[1:]:
        masks.append(((background - frame).abs() > THRESHOLD).float())
        background = (1 - MOMENTUM) * frame + MOMENTUM * background
    mask = torch.stack([masks[0], *masks], 1)  # the first frame has nothing before it: it takes the second one's mask
    padded = F.pad(mask, (1, 0, 1, 0))  # dilation: a pixel, its upper neighbour or its left one moves
    return torch.stack([mask, padded[..., :-1, 1:], padded[..., 1:, :-1]]).amax(0)[:, None]


def attenuate(clip: torch.Tensor, mask: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Blend (§8): x' = α·M·x + (1 − M)·x, with one α of ``ALPHAS`` for each segment, by ``index`` (B, SEGMENTS)."""
    alpha = ALPHAS[index].repeat_interleave(clip.shape[2] // SEGMENTS, dim=1)[:, None, :, None, None]
    normalised = (clip - MEAN) / STD
    return alpha * mask * normalised + (1 - mask) * normalised


def mac_step(clip: torch.Tensor, index: torch.Tensor, backbone: Callable, head: Callable) -> torch.Tensor:
    """Loss of one step: which of the K ** SEGMENTS combinations of α was it (§6: cross-entropy)?"""
    view = attenuate(clip, foreground_mask(clip), index)
    combination = index[:, 0] * K + index[:, 1]
    return F.cross_entropy(head(backbone(view)), combination)


if __name__ == "__main__":
    from torchvision.models.video import r2plus1d_18

    backbone = r2plus1d_18()  # §9 counts its channels in another way: docs/export.md
    backbone.fc = nn.Identity()
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, K**SEGMENTS))
    optimiser = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.01, momentum=0.9, weight_decay=1e-4)
    clip = torch.rand(2, 3, 16, 56, 56)  # the paper: 112 pixels; here 32 clips of them
    loss = mac_step(clip, torch.randint(K, (2, SEGMENTS)), backbone, head)
    loss.backward()
    optimiser.step()
    print(f"loss {loss.item():.3f}; guessing costs {torch.tensor(float(K**SEGMENTS)).log().item():.3f}")
