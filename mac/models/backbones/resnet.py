"""torchvision's video ResNets: R(2+1)D-18, its half with one block a stage, and R3D-18, of any width."""

import torch
from torch import nn

from mac.models.backbones import FULL_WIDTH
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


def build(name: str, width: int) -> "ResNet":
    """Build a randomly initialised network of this name and width."""
    return ResNet(name, width)


def loading_lines(name: str, classes: int | None) -> list[str]:
    """Python that builds torchvision's network as ``model``: imports, an empty line, the network and its last layer.

    Args:
        name: the backbone.
        classes: outputs of the classifier; None where the model gives features.
    """
    last = "torch.nn.Identity()" if classes is None else f"torch.nn.Linear(512, {classes})"
    if name == "r2plus1d_10":
        imports = "from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet"
        network = "VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem)"
    else:
        imports, network = f"from torchvision.models.video import {name}", f"{name}()"
    return [imports, "", f"model = {network}", f"model.fc = {last}"]


def classifier_tensors(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name the tensors of a linear classifier, (classes, D) and (classes,), as torchvision's network does."""
    return {"fc.weight": weight, "fc.bias": bias}


class ResNet(VideoResNet):
    """A torchvision ``VideoResNet`` without its classifier; parameters keep torchvision's names.

    Attributes:
        num_features: D, length of the feature vector (512 at full width).
    """

    def __init__(self, name: str, width: int) -> None:
        """Build the network: ``width`` channels in the first stage; 64 is torchvision's network exactly."""
        convolution, layers = _ARCHITECTURES[name]
        self._width = width
        stem = R2Plus1dStem if convolution is Conv2Plus1D else BasicStem
        super().__init__(BasicBlock, [convolution] * 4, layers, stem)
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
