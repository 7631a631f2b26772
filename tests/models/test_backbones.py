import pytest
import torch

from mac.models.backbones import build
from mac.models.operators import declare_missing_operators

declare_missing_operators()

from torchvision.models import video  # noqa: E402


@pytest.mark.parametrize("name", ["r2plus1d_18", "r3d_18"])
def test_full_width_is_torchvisions_network(name):
    ours, theirs = build(name).eval(), getattr(video, name)().eval()
    theirs.fc = torch.nn.Identity()
    ours.load_state_dict(theirs.state_dict())
    clip = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip))
    assert ours.num_features == 512


@pytest.mark.parametrize("name", ["r2plus1d_18", "r2plus1d_10", "r3d_18"])
def test_a_narrow_network_has_the_same_modules(name):
    wide, narrow = build(name), build(name, width=8)
    assert [n for n, _ in wide.named_parameters()] == [n for n, _ in narrow.named_parameters()]
    assert narrow(torch.randn(2, 3, 8, 32, 32)).shape == (2, narrow.num_features)
    assert narrow.num_features == 64
    assert narrow.activations(torch.randn(1, 3, 16, 112, 112)).shape == (1, 64, 2, 7, 7)


def test_r2plus1d_10_has_one_block_a_stage():
    stages = build("r2plus1d_10", width=8)
    assert [len(getattr(stages, f"layer{i}")) for i in (1, 2, 3, 4)] == [1, 1, 1, 1]


def test_an_unknown_backbone_is_named():
    with pytest.raises(ValueError, match="r2plus1d_34.*allowed are r2plus1d_18, r2plus1d_10, r3d_18"):
        build("r2plus1d_34")
