"""GradCAM against a network whose maps are known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from mac.models.backbones import build
from mac.models.cam import class_activation_maps
from mac.models.heads import ActionClassifier


class Weighed(nn.Module):
    """Activations are the clip's colours; class 0's score is a known function of them, class 1's is its negative."""

    def __init__(self, pooled_square=False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, -1.0, 0.5]))
        self.pooled_square = pooled_square

    def activations(self, clip):
        return nn.functional.avg_pool3d(clip, (2, 3, 3))

    def classify(self, activations):
        mean = activations.mean((2, 3, 4))
        score = ((mean**2 if self.pooled_square else mean) * self.scale).sum(1)
        return torch.stack([score, -score], 1)


def triangle(coarse, length):
    """Upsample linearly along the first axis with half-pixel centres, ends held (NumPy's own interpolation)."""
    at = (np.arange(length) + 0.5) * len(coarse) / length - 0.5
    flat = coarse.reshape(len(coarse), -1)
    fine = np.stack([np.interp(at, np.arange(len(coarse)), column) for column in flat.T], 1)
    return fine.reshape(length, *coarse.shape[1:])


def closed_form(clip, scale, sign, pooled_square):
    """The map (T, H, W) of one clip (3, T, H, W) by hand."""
    channels, *size = clip.shape
    t, h, w = size[0] // 2, size[1] // 3, size[2] // 3
    blocks = clip[:, : 2 * t, : 3 * h, : 3 * w].reshape(channels, t, 2, h, 3, w, 3).mean((2, 4, 6))
    weights = scale / (t * h * w) * (2 * blocks.mean((1, 2, 3)) if pooled_square else 1)
    coarse = np.maximum(sign * np.tensordot(weights, blocks, 1), 0)
    fine = coarse
    for axis, length in enumerate(size):
        fine = np.moveaxis(triangle(np.moveaxis(fine, axis, 0), length), 0, axis)
    return fine / fine.max() if fine.max() else fine


@pytest.mark.parametrize("pooled_square", [False, True])
@pytest.mark.parametrize("size", [(4, 6, 6), (5, 7, 11), (7, 13, 10), (3, 4, 5)])
def test_the_map_is_the_closed_form(size, pooled_square):
    rng = np.random.default_rng(sum(size))
    clips = rng.normal(0.2, 1, (3, 3, *size)).astype(np.float32)
    network, classes = Weighed(pooled_square), np.array([0, 1, 0])
    maps = class_activation_maps(network, torch.from_numpy(clips), torch.from_numpy(classes)).numpy()
    assert maps.shape == (3, *size)
    scale = network.scale.detach().numpy().astype(np.float64)
    for found, clip, label in zip(maps, clips.astype(np.float64), classes, strict=True):
        np.testing.assert_allclose(found, closed_form(clip, scale, 1 - 2 * label, pooled_square), atol=1e-5)


def test_nothing_for_a_class_stays_zero_and_finite():
    clips = torch.ones(2, 3, 4, 6, 6)
    maps = class_activation_maps(Weighed(), clips, torch.tensor([1, 0]))
    assert maps[0].eq(0).all()
    assert maps[1].eq(1).all()


@pytest.fixture
def classifier():
    torch.manual_seed(3)
    network = ActionClassifier(build("r2plus1d_18", 4), 5, 0.5)
    with torch.no_grad():
        network(torch.randn(4, 3, 8, 24, 24))  # running statistics of some data
        network.head.weight.normal_()
    return network


def test_a_map_depends_on_its_own_clip_alone(classifier):
    clips, classes = torch.randn(5, 3, 9, 23, 17), torch.tensor([0, 3, 4, 1, 3])
    together = class_activation_maps(classifier, clips, classes)
    assert together.equal(class_activation_maps(classifier, clips, classes))
    for i in range(5):
        alone = class_activation_maps(classifier, clips[i : i + 1], classes[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=0)
    other = class_activation_maps(classifier, clips, (classes + 1) % 5)
    assert not torch.allclose(together, other, atol=0.1)
    assert together.amax((1, 2, 3)).allclose(torch.ones(5))
    assert together.min() >= 0


def test_the_weights_are_those_of_autograd_through_the_whole_network(classifier):
    classifier.eval()
    clips, classes = torch.randn(2, 3, 8, 32, 32), torch.tensor([2, 0])
    seen = []

    def keep(_, __, output):
        output.retain_grad()
        seen.append(output)

    hook = classifier.backbone.layer4.register_forward_hook(keep)
    classifier(clips).gather(1, classes[:, None]).sum().backward()
    hook.remove()
    coarse = (seen[0].grad.mean((2, 3, 4), keepdim=True) * seen[0]).sum(1, keepdim=True).relu().detach()
    fine = nn.functional.interpolate(coarse, (8, 32, 32), mode="trilinear")[:, 0]
    expected = fine / fine.amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    assert expected.any()
    torch.testing.assert_close(class_activation_maps(classifier, clips, classes), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gradients", [True, False])
def test_the_model_is_left_as_it_was(classifier, gradients):
    classifier.train()
    classifier.backbone.layer1.eval()
    classifier.head.weight.requires_grad_(False)
    classifier.backbone.stem[0].weight.grad = torch.full_like(classifier.backbone.stem[0].weight, 7.0)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    modes = [module.training for module in classifier.modules()]
    with torch.set_grad_enabled(gradients):
        maps = class_activation_maps(classifier, torch.randn(2, 3, 8, 16, 16), torch.tensor([1, 2]))
        assert torch.is_grad_enabled() == gradients
    assert not maps.requires_grad
    assert [module.training for module in classifier.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert not classifier.head.weight.requires_grad
    assert classifier.backbone.layer1[0].conv1[0][0].weight.requires_grad
    assert classifier.backbone.stem[0].weight.grad.eq(7).all()
    assert classifier.backbone.layer1[0].conv1[0][0].weight.grad is None
