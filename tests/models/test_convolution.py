"""Folded convolutions are the 3D ones: values, gradients, strides, and which of a network's are folded."""

import pytest
import torch
from torch import nn

from mac.models.backbones import Backbone
from mac.models.convolution import FoldedConv3d, fold

KINDS = {
    "space": {"kernel_size": (1, 3, 3), "padding": (0, 1, 1)},
    "space, strided": {"kernel_size": (1, 7, 7), "stride": (1, 2, 2), "padding": (0, 3, 3)},
    "time": {"kernel_size": (3, 1, 1), "padding": (1, 0, 0)},
    "time, strided": {"kernel_size": (3, 1, 1), "stride": (2, 1, 1), "padding": (1, 0, 0)},
    "a point": {"kernel_size": (1, 1, 1)},
    "with a bias": {"kernel_size": (1, 3, 3), "bias": True},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_values_and_gradients_are_the_3d_ones(options, layout):
    torch.manual_seed(1)
    plain = nn.Conv3d(3, 5, **({"bias": False} | options)).double()
    folded = nn.Conv3d(3, 5, **({"bias": False} | options)).double()
    folded.load_state_dict(plain.state_dict())
    fold(folded)
    assert type(folded) is FoldedConv3d
    inputs = [torch.randn(2, 3, 7, 9, 8, generator=torch.manual_seed(2), dtype=torch.double) for _ in range(2)]
    inputs = [x.contiguous(memory_format=layout).requires_grad_() for x in inputs]
    outputs = [layer(x) for layer, x in zip((plain, folded), inputs, strict=True)]
    assert outputs[0].shape == outputs[1].shape
    torch.testing.assert_close(outputs[1], outputs[0])
    upstream = torch.randn_like(outputs[0])
    for y in outputs:
        y.backward(upstream)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for one, other in zip(folded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 3, 3)},
        {"kernel_size": (1, 1, 1), "stride": 2},
        {"kernel_size": (1, 3, 3), "dilation": 2},
        {"kernel_size": (1, 3, 3), "padding": (1, 1, 1)},
        {"kernel_size": (3, 1, 1), "groups": 3},
        {"kernel_size": (1, 3, 3), "padding_mode": "reflect", "padding": (0, 1, 1)},
    ],
)
def test_others_are_left_alone(options):
    layer = nn.Conv3d(3, 3, **options)
    fold(layer)
    assert type(layer) is nn.Conv3d


@pytest.mark.parametrize(("name", "unfolded"), [("r2plus1d_18", 3), ("r2plus1d_10", 3), ("r3d_18", 20)])
def test_factorised_networks_are_folded_but_for_their_shortcuts(name, unfolded):
    layers = [module for module in Backbone(name, 8).modules() if isinstance(module, nn.Conv3d)]
    others = [layer.kernel_size for layer in layers if not isinstance(layer, FoldedConv3d)]
    assert len(others) == unfolded
    assert set(others) <= {(1, 1, 1), (3, 3, 3), (3, 7, 7)}
