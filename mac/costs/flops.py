"""Multiply–accumulates and parameters of the backbones, counted from their shapes. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod

FULL_WIDTH = 64  # channels of torchvision's first stage
_STAGES = (64, 128, 256, 512)
_BLOCKS = {"r2plus1d_18": 2, "r2plus1d_10": 1, "r3d_18": 2}

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class _Convolution:
    """A 3-D convolution without bias, padded to keep sizes but for its stride, and its batch normalisation."""

    inputs: int
    outputs: int
    kernel: Triple
    stride: Triple = (1, 1, 1)

    def shrink(self, shape: Triple) -> Triple:
        return tuple((n - 1) // s + 1 for n, s in zip(shape, self.stride, strict=True))

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs * prod(self.kernel)


@cache
def multiply_accumulates(backbone: str, width: int, num_frames: int, size: int) -> int:
    """Count the multiply–accumulates of one clip's forward pass (half its floating-point operations).

    Convolutions only: normalisation, activation and heads are below one percent.

    Args:
        backbone: ``r2plus1d_18``, ``r2plus1d_10`` or ``r3d_18``.
        width: channels of the first stage.
        num_frames: frames of the clip, T.
        size: pixels of its sides.
    """
    total, shape = 0, (num_frames, size, size)
    for branch in _branches(backbone, width):
        entered = shape
        for convolution in branch.main:
            shape = convolution.shrink(shape)
            total += convolution.weights * prod(shape)
        if branch.shortcut:
            total += branch.shortcut.weights * prod(branch.shortcut.shrink(entered))
    return total


@cache
def numbers(backbone: str, width: int) -> tuple[int, int]:
    """Count a backbone's numbers: trained parameters, and parameters with the running statistics beside them."""
    layers = [c for b in _branches(backbone, width) for c in (*b.main, b.shortcut) if c]
    parameters = sum(c.weights + 2 * c.outputs for c in layers)
    return parameters, parameters + sum(2 * c.outputs for c in layers)


@cache
def normalisations(backbone: str, width: int) -> int:
    """Count the batch normalisations that a forward pass goes through: one behind each convolution."""
    return sum(len(branch.main) + bool(branch.shortcut) for branch in _branches(backbone, width))


def features(width: int) -> int:
    """Length of the feature vector, D."""
    return 512 * width // FULL_WIDTH


@dataclass(frozen=True)
class _Branch:
    main: list[_Convolution]
    shortcut: _Convolution | None = None


def _branches(backbone: str, width: int) -> Iterator[_Branch]:
    """The stem, then every residual block with its shortcut's projection (torchvision's ``VideoResNet``)."""
    factorised = backbone.startswith("r2plus1d")
    if factorised:
        between = 45 if width == FULL_WIDTH else max(45 * width // FULL_WIDTH, 1)
        yield _Branch(
            [_Convolution(3, between, (1, 7, 7), (1, 2, 2)), _Convolution(between, width, (3, 1, 1))],
        )
    else:
        yield _Branch([_Convolution(3, width, (3, 7, 7), (1, 2, 2))])
    channels = width
    for stage, full in enumerate(_STAGES):
        planes = full * width // FULL_WIDTH
        for block in range(_BLOCKS[backbone]):
            stride = 2 if stage and not block else 1
            middle = channels * planes * 27 // (channels * 9 + 3 * planes)
            main = []
            for inputs, s in ((channels, stride), (planes, 1)):
                if factorised:
                    main += [
                        _Convolution(inputs, middle, (1, 3, 3), (1, s, s)),
                        _Convolution(middle, planes, (3, 1, 1), (s, 1, 1)),
                    ]
                else:
                    main.append(_Convolution(inputs, planes, (3, 3, 3), (s, s, s)))
            projected = stride != 1 or channels != planes
            yield _Branch(main, _Convolution(channels, planes, (1, 1, 1), (stride,) * 3) if projected else None)
            channels = planes
