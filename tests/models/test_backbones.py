import pytest
import torch

from mac.models.backbones import BACKBONES, NoWeightsError, build, published_weights
from mac.models.backbones.s3d import MaxPool
from mac.models.operators import declare_missing_operators

declare_missing_operators()

from torchvision.models import video  # noqa: E402


@pytest.mark.parametrize("name", [name for name, entry in BACKBONES.items() if entry.is_published])
def test_full_width_is_torchvisions_network(name):
    ours, theirs = build(name).eval(), getattr(video, name)().eval()
    state = {key: tensor for key, tensor in theirs.state_dict().items() if not key.startswith(("fc.", "classifier."))}
    ours.load_state_dict(state)
    theirs.avgpool = torch.nn.AdaptiveAvgPool3d(1)
    theirs.fc = theirs.classifier = torch.nn.Identity()
    clip = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip))


@pytest.mark.parametrize(("name", "features", "seen"), [
    ("r2plus1d_18", 64, (2, 7, 7)), ("r2plus1d_10", 64, (2, 7, 7)), ("r3d_18", 64, (2, 7, 7)), ("s3d", 128, (2, 3, 3)),
])  # fmt: skip
def test_a_narrow_network_has_the_same_modules(name, features, seen):
    wide, narrow = build(name), build(name, width=8)
    assert [n for n, _ in wide.named_parameters()] == [n for n, _ in narrow.named_parameters()]
    assert wide.num_features == 8 * features
    assert narrow.num_features == features
    assert narrow(torch.randn(2, 3, 8, 16, 16)).shape == (2, features)
    assert narrow.activations(torch.randn(1, 3, 16, 112, 112)).shape == (1, features, *seen)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("r3d_18", "paper", 33.17),
        ("r2plus1d_18", "paper", 33.17),  # §9: as many as R3D-18
        ("r2plus1d_18", "torchvision", 31.30),
        ("r2plus1d_10", "paper", 14.35),
        ("r2plus1d_10", "torchvision", 12.49),
    ],
)
def test_parameters(name, channels, millions):
    count = sum(parameter.numel() for parameter in build(name, channels=channels).parameters())
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("width", [8, 64])
def test_a_convolution_in_two_steps_has_as_many_parameters_as_the_one_it_stands_for(width):
    flat, stepped = build("r3d_18", width), build("r2plus1d_18", width, "paper")
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for block, own in zip(getattr(flat, name), getattr(stepped, name), strict=True):
            for convolution in ("conv1", "conv2"):
                wanted = sum(p.numel() for p in getattr(block, convolution)[0].parameters())
                found = sum(p.numel() for p in getattr(own, convolution)[0].parameters() if p.dim() == 5)
                assert 0.93 * wanted < found <= wanted


def test_r2plus1d_10_has_one_block_a_stage():
    stages = build("r2plus1d_10", width=8)
    assert [len(getattr(stages, f"layer{i}")) for i in (1, 2, 3, 4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [
    ((1, 3, 3), (1, 2, 2), (0, 1, 1)), ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((2, 2, 2), (2, 2, 2), (0, 0, 0)), ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
])  # fmt: skip
def test_max_pooling_equals_torchs_with_its_gradient(kernel, stride, padding):
    x = torch.randn(2, 3, 9, 12, 13, dtype=torch.double, requires_grad=True)
    found = [pool(x) for pool in (MaxPool(kernel, stride, padding), torch.nn.MaxPool3d(kernel, stride, padding))]
    assert torch.equal(*found)
    weight = torch.randn_like(found[0])
    torch.testing.assert_close(*(torch.autograd.grad((one * weight).sum(), x) for one in found))


def test_an_unknown_backbone_is_named():
    with pytest.raises(ValueError, match="r2plus1d_34.*allowed are r2plus1d_18, r2plus1d_10, r3d_18, s3d"):
        build("r2plus1d_34")


def test_a_backbone_without_published_weights_names_those_with_them():
    with pytest.raises(NoWeightsError, match="for r2plus1d_18, r3d_18, s3d, not for r2plus1d_10"):
        published_weights("r2plus1d_10")
