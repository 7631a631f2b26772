"""Convolutions of factorised networks, computed as two-dimensional ones over the same memory."""

import torch
import torch.nn.functional as F
from torch import nn


class FoldedConv3d(nn.Conv3d):
    """A 3D convolution over space alone or time alone, by the better tuned 2D kernels.

    In the channels-last format a clip's memory is also that of a batch of frames, (B·T, C, H, W), and that of an image
    of T rows, (B, C, T, H·W): folding copies nothing. Parameters, their names and the result are those of
    ``nn.Conv3d``, up to rounding.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, T, H, W)."""
        size, (_, height, width) = len(x), x.shape[2:]
        rows = x.contiguous(memory_format=torch.channels_last_3d).permute(0, 2, 3, 4, 1)
        if self.kernel_size[0] == 1:
            frames = rows.flatten(0, 1).permute(0, 3, 1, 2)
            y = F.conv2d(frames, self.weight.squeeze(2), self.bias, self.stride[1:], self.padding[1:])
            return y.unflatten(0, (size, -1)).transpose(1, 2)
        image = rows.flatten(2, 3).permute(0, 3, 1, 2)
        y = F.conv2d(image, self.weight.squeeze(4), self.bias, (self.stride[0], 1), (self.padding[0], 0))
        return y.unflatten(3, (height, width))


def fold(network: nn.Module) -> None:
    """Make the convolutions of a network that reach over space alone or time alone folded ones, in place."""
    for module in network.modules():
        if type(module) is nn.Conv3d and _folds(module):
            module.__class__ = FoldedConv3d


def _folds(module: nn.Conv3d) -> bool:
    plain = module.groups == 1 and module.dilation == (1, 1, 1) and module.padding_mode == "zeros"
    (time, *space), strides, padding = module.kernel_size, module.stride, module.padding
    over_space = time == 1 and strides[0] == 1 and padding[0] == 0
    over_time = space == [1, 1] and strides[1:] == (1, 1) and padding[1:] == (0, 0)
    return plain and (over_space or over_time)
