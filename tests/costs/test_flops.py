"""The analytical counts against torch's own, on the real networks."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mac.costs import flops
from mac.models.backbones import build

SHAPES = [
    ("r2plus1d_18", 64, 16, 112),
    ("r2plus1d_10", 64, 16, 112),
    ("r3d_18", 64, 16, 112),
    ("r2plus1d_10", 8, 8, 32),
    ("r2plus1d_18", 4, 8, 16),
    ("r3d_18", 12, 5, 45),
]


@pytest.mark.parametrize(("backbone", "width", "num_frames", "size"), SHAPES)
def test_forward_pass_counts_as_torch_counts_it(backbone, width, num_frames, size):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build(backbone, width)
        network.eval()(torch.empty(1, 3, num_frames, size, size))
    assert 2 * flops.multiply_accumulates(backbone, width, num_frames, size) == counter.get_total_flops()
    assert flops.features(width) == network.num_features


@pytest.mark.parametrize(("backbone", "width"), {shape[:2] for shape in SHAPES})
def test_parameters_and_statistics_are_the_networks(backbone, width):
    with torch.device("meta"):
        network = build(backbone, width)
    trained = sum(p.numel() for p in network.parameters())
    kept = sum(t.numel() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked"))
    assert flops.numbers(backbone, width) == (trained, kept)


def test_the_full_network_is_the_published_size():
    assert flops.multiply_accumulates("r2plus1d_18", 64, 16, 112) == pytest.approx(40.5e9, rel=0.05)
