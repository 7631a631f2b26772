import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mac.models.heads import DropoutLinear
from mac.models.pretext import AlphaObjective, Attenuation

VIDEOS = np.arange(400)


def test_dropout_is_a_function_of_its_keys():
    head = DropoutLinear(64, 5, 0.5)
    features = torch.ones(400, 64)
    kept = head.draw(400, ("d", 1, VIDEOS))
    assert torch.equal(kept, head.draw(400, ("d", 1, VIDEOS)))
    assert not torch.equal(kept, head.draw(400, ("d", 2, VIDEOS)))
    assert torch.equal(head.draw(200, ("d", 1, VIDEOS[200:])), kept[200:])
    assert DropoutLinear(64, 5, 0.0).draw(400, ("d", VIDEOS)) is None
    expected = F.linear(features * kept * 2, head.weight, head.bias)
    torch.testing.assert_close(head(features, kept), expected)
    torch.testing.assert_close(head(features), F.linear(features, head.weight, head.bias))


def test_dropout_keeps_half_and_the_mean():
    head = DropoutLinear(256, 1, 0.5)
    with torch.no_grad():
        head.weight.fill_(1 / 256)
    out = head(torch.ones(400, 256), head.draw(400, ("d", VIDEOS)))
    assert abs(out.mean() - 1) < 0.02
    assert out.std() > 0.03


def test_cross_entropy_has_one_class_per_combination():
    objective = AlphaObjective("cross_entropy", 4, 2)
    assert objective.outputs == 16
    assert objective.chance == pytest.approx(1 / 16)
    drawn = objective.draw(400, ("o", VIDEOS))
    assert set(drawn.labels.tolist()) == set(range(16))
    digits = torch.stack([drawn.labels // 4, drawn.labels % 4], 1)
    values = torch.tensor([1 / 6, 1 / 2, 5 / 6, 1])
    torch.testing.assert_close(drawn.alphas, values[digits])
    outputs = F.one_hot(drawn.labels, 16).float() * 50
    assert objective.loss(outputs, drawn) < 1e-6
    assert objective.correct(outputs, drawn).all()


def test_four_segments_make_256_classes():
    assert AlphaObjective("cross_entropy", 4, 4).outputs == 256


def test_mse_regresses_preset_alphas_and_is_scored_by_the_nearest():
    objective = AlphaObjective("mse", 4, 2)
    assert objective.outputs == 2
    drawn = objective.draw(400, ("o", VIDEOS))
    outputs = torch.logit(drawn.alphas.clamp(0.01, 0.99) - 0.005)
    expected = ((outputs.sigmoid() - drawn.alphas) ** 2).mean()
    torch.testing.assert_close(objective.loss(outputs, drawn), expected)
    assert objective.correct(outputs, drawn).all()
    wrong = torch.logit((drawn.alphas + 0.4) % 0.98 + 0.01)
    assert not objective.correct(wrong, drawn).any()


def test_mse_n_draws_alphas_uniformly():
    objective = AlphaObjective("mse_n", 4, 2)
    drawn = objective.draw(400, ("o", VIDEOS))
    assert drawn.labels is None
    assert objective.chance is None
    assert objective.correct(torch.zeros(400, 2), drawn) is None
    assert len(torch.unique(drawn.alphas)) == 800
    histogram = np.histogram(drawn.alphas.numpy(), bins=4, range=(0, 1))[0]
    assert histogram.min() > 160


def test_a_constant_guess_scores_chance():
    objective = AlphaObjective("cross_entropy", 3, 2)
    drawn = Attenuation(torch.ones(9, 2), torch.arange(9))
    outputs = torch.zeros(9, 9)
    outputs[:, 4] = 1
    assert objective.correct(outputs, drawn).float().mean() == pytest.approx(objective.chance)
