"""torchvision's video ResNets: R(2+1)D-18, its half with one block a stage, and R3D-18, of any width.

A convolution of R(2+1)D has two steps, in space and in time, with so many channels in between that it has as many
parameters as the 3D convolution it stands for. Tran et al. (CVPR 2018) count them for each convolution, and so does the
authors' code: R3D-18 and R(2+1)D-18 then have 33.17 million parameters both, as §9 says. torchvision counts them once a
block, by its first convolution: 31.30 million.
"""

import torch
from torch import nn

from mac.models.backbones import FULL_WIDTH, PAPER
from mac.models.operators import declare_missing_operators

declare_missing_operators()

from torchvision.models.video import R2Plus1D_18_Weights, R3D_18_Weights  # noqa: E402
from torchvision.models.video.resnet import (  # noqa: E402  (after the operators are declared)
    BasicBlock,
    BasicStem,
    Conv2Plus1D,
    Conv3DSimple,
    R2Plus1dStem,
    VideoResNet,
)

WEIGHTS = {"r2plus1d_18": R2Plus1D_18_Weights.KINETICS400_V1, "r3d_18": R3D_18_Weights.KINETICS400_V1}
CLASSIFIER = "fc"  # torchvision's name of the layer behind the features
_ARCHITECTURES = {
    "r2plus1d_10": (Conv2Plus1D, [1, 1, 1, 1]),
    "r2plus1d_18": (Conv2Plus1D, [2, 2, 2, 2]),
    "r3d_18": (Conv3DSimple, [2, 2, 2, 2]),
}


def build(name: str, width: int, channels: str) -> "ResNet":
    """Build a randomly initialised network of this name and width."""
    return ResNet(name, width, channels)


def loading_lines(name: str, channels: str, classes: int | None) -> list[str]:
    """Python that builds the network as ``model`` by torchvision: imports, an empty line, the network, its last layer.

    Args:
        name: the backbone.
        channels: as of :func:`mac.models.backbones.build`.
        classes: outputs of the classifier; None where the model gives features.
    """
    last = f"model.fc = {'torch.nn.Identity()' if classes is None else f'torch.nn.Linear(512, {classes})'}"
    convolution, layers = _ARCHITECTURES[name]
    if convolution is Conv3DSimple or (name == "r2plus1d_18" and channels != PAPER):
        return [f"from torchvision.models.video import {name}", "", f"model = {name}()", last]
    lines = ["from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet", ""]
    if channels == PAPER:
        lines += [
            "class Convolution(Conv2Plus1D):  # channels in between: 27io / (9i + 3o) of each convolution",
            "    def __init__(self, i, o, _, stride=1, padding=1):",
            "        super().__init__(i, o, 27 * i * o // (9 * i + 3 * o), stride, padding)",
            "",
        ]
    used = "Convolution" if channels == PAPER else "Conv2Plus1D"
    return [*lines, f"model = VideoResNet(BasicBlock, [{used}] * 4, {layers}, R2Plus1dStem)", last]


def classifier_tensors(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name the tensors of a linear classifier, (classes, D) and (classes,), as torchvision's network does."""
    return {"fc.weight": weight, "fc.bias": bias}


class OwnChannels(Conv2Plus1D):
    """A convolution in two steps that counts its own channels in between: (27io) / (9i + 3o), the whole part."""

    def __init__(self, in_planes: int, out_planes: int, _: int, stride: int = 1, padding: int = 1) -> None:
        between = 27 * in_planes * out_planes // (9 * in_planes + 3 * out_planes)
        super().__init__(in_planes, out_planes, between, stride, padding)


class ResNet(VideoResNet):
    """A torchvision ``VideoResNet`` without its classifier; parameters keep torchvision's names.

    Attributes:
        num_features: D, length of the feature vector (512 at full width).
    """

    def __init__(self, name: str, width: int, channels: str) -> None:
        """Build the network: ``width`` channels in the first stage, and between two steps as ``channels`` says."""
        convolution, layers = _ARCHITECTURES[name]
        self._width = width
        stem = R2Plus1dStem if convolution is Conv2Plus1D else BasicStem
        block = OwnChannels if convolution is Conv2Plus1D and channels == PAPER else convolution
        super().__init__(BasicBlock, [block] * 4, layers, stem)
        if width != FULL_WIDTH:
            self.stem = _narrow_stem(convolution is Conv2Plus1D, width)
            for module in self.stem.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.num_features = 512 * width // FULL_WIDTH
        del self.avgpool, self.fc

    def _make_layer(self, block: type, conv_builder: type, planes: int, blocks: int, stride: int = 1) -> nn.Sequential:
        if planes == FULL_WIDTH:  # the first stage: VideoResNet starts at 64 channels
            self.inplanes = self._width
        return super()._make_layer(block, conv_builder, planes * self._width // FULL_WIDTH, blocks, stride)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Map clips (B, 3, T, H, W) to features (B, D)."""
        # A mean, not AdaptiveAvgPool3d: the latter has no deterministic backward on CUDA.
        return self.activations(clip).mean((2, 3, 4))

    def activations(self, clip: torch.Tensor) -> torch.Tensor:
        """Map clips (B, 3, T, H, W) to the last stage's activations (B, D, T/8, H/16, W/16)."""
        x = self.stem(clip)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def _narrow_stem(factorised: bool, width: int) -> nn.Sequential:
    """Build torchvision's stem with fewer channels, module for module."""
    if not factorised:
        convolution = nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))
    between = max(45 * width // FULL_WIDTH, 1)
    return nn.Sequential(
        nn.Conv3d(3, between, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, width, (3, 1, 1), stride=1, padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )
