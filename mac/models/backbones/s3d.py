"""S3D (Xie et al., ECCV 2018; Inception with separable 3D convolutions), torchvision's, of any width."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from mac.models.backbones import FULL_WIDTH
from mac.models.operators import declare_missing_operators

declare_missing_operators()

from torchvision.models.video import S3D_Weights  # noqa: E402  (after the operators are declared)
from torchvision.models.video.s3d import SepInceptionBlock3D, TemporalSeparableConv  # noqa: E402
from torchvision.ops.misc import Conv3dNormActivation  # noqa: E402

WEIGHTS = {"s3d": S3D_Weights.KINETICS400_V1}
CLASSIFIER = "classifier"  # torchvision's name of the layer behind the features
# Channels of an Inception block: 1×1×1 branch, two separable branches (before, after), pooling branch. A number is the
# stride in time of a pooling between blocks.
_STAGES = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    3,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    2,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


def build(name: str, width: int, channels: str) -> "S3D":
    """Build a randomly initialised S3D of this width."""
    return S3D(width)


def loading_lines(name: str, channels: str, classes: int | None) -> list[str]:
    """Python that builds torchvision's network as ``model``; see :func:`mac.models.backbones.resnet.loading_lines`."""
    last = "torch.nn.Identity()" if classes is None else f"torch.nn.Conv3d(1024, {classes}, 1)"
    head = "model.classifier" if classes is None else "model.classifier[1]"
    average = "model.avgpool = torch.nn.AdaptiveAvgPool3d(1)  # clips of any size"
    return ["from torchvision.models.video import s3d", "", "model = s3d()", average, f"{head} = {last}"]


def classifier_tensors(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name the tensors of a linear classifier, (classes, D) and (classes,), as torchvision's network does."""
    return {"classifier.1.weight": weight[:, :, None, None, None], "classifier.1.bias": bias}


class S3D(nn.Module):
    """torchvision's S3D without its classifier; parameters keep torchvision's names.

    Its batch normalisation has PyTorch's momentum of .1 instead of torchvision's .001, with which running statistics
    need some thousand steps to settle. Tensors and features are the same.

    Attributes:
        num_features: D, length of the feature vector (1024 at full width).
    """

    def __init__(self, width: int) -> None:
        """Build the network: ``width`` channels after the first convolution; 64 is torchvision's network exactly."""
        super().__init__()
        norm = partial(nn.BatchNorm3d, eps=0.001)

        def scaled(channels: int) -> int:
            return max(channels * width // FULL_WIDTH, 1)

        layers: list[nn.Module] = [
            TemporalSeparableConv(3, width, 7, 2, 3, norm),
            MaxPool((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Conv3dNormActivation(width, width, kernel_size=1, stride=1, norm_layer=norm),
            TemporalSeparableConv(width, scaled(192), 3, 1, 1, norm),
            MaxPool((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ]
        channels = scaled(192)
        for stage in _STAGES:
            if isinstance(stage, int):
                layers.append(MaxPool((stage,) * 3, (2, 2, 2), ((stage - 1) // 2,) * 3))
                continue
            first, before1, after1, before2, after2, pooled = map(scaled, stage)
            block = SepInceptionBlock3D(channels, first, before1, after1, before2, after2, pooled, norm)
            block.branch3[0] = MaxPool((3, 3, 3), (1, 1, 1), (1, 1, 1))
            layers.append(block)
            channels = first + after1 + after2 + pooled
        self.features = nn.Sequential(*layers)
        self.num_features = channels

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Map clips (B, 3, T, H, W) to features (B, D)."""
        return self.activations(clip).mean((2, 3, 4))

    def activations(self, clip: torch.Tensor) -> torch.Tensor:
        """Map clips (B, 3, T, H, W) to the last block's activations (B, D, T/8, H/32, W/32)."""
        return self.features(clip)


class MaxPool(nn.Module):
    """Max pooling as maxima of shifted slices, one axis after the other: the values of ``nn.MaxPool3d``.

    The latter has no deterministic backward on CUDA. Equal maxima share the gradient here.
    """

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = list(zip((2, 3, 4), kernel, stride, padding, strict=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, T, H, W) to the maxima of its windows."""
        for axis, kernel, stride, padding in self.axes:
            if kernel == 1 or x.shape[axis] + 2 * padding < kernel:  # tiny clips: nothing is left to pool
                continue
            pad = [0, 0] * (4 - axis) + [padding, padding] + [0, 0] * (axis - 2)
            x = F.pad(x, pad, value=-torch.inf) if padding else x
            windows = (x.shape[axis] - kernel) // stride + 1
            every = [slice(None)] * axis
            shifted = [x[(*every, slice(i, i + stride * (windows - 1) + 1, stride))] for i in range(kernel)]
            x = shifted[0]
            for other in shifted[1:]:
                x = torch.maximum(x, other)
        return x
