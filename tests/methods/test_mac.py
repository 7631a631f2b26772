"""What MAC asks of a clip, and how its answers are scored."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mac.methods.mac import Attenuation, Mac

VIDEOS = np.arange(400)


def mac(objective, k, segments, preset="paper"):
    settings = {"objective": objective, "k": k, "segments": segments, "preset": preset, "reverse": False}
    pretext = Mac.Settings(**settings, dropout=0.0, weight=1.0)
    return Mac(SimpleNamespace(pretext=pretext, contrast=None, seed=1))


def test_cross_entropy_has_one_class_per_combination():
    objective = mac("cross_entropy", 4, 2)
    assert objective.outputs(VIDEOS) == 16
    assert objective.chance == pytest.approx(1 / 16)
    drawn = objective.draw(0, VIDEOS, VIDEOS)
    assert set(drawn.labels.tolist()) == set(range(16))
    digits = torch.stack([drawn.labels // 4, drawn.labels % 4], 1)
    values = torch.tensor([1 / 6, 1 / 2, 5 / 6, 1])
    torch.testing.assert_close(drawn.alphas, values[digits])
    outputs = F.one_hot(drawn.labels, 16).float() * 50
    assert objective.loss(outputs, drawn) < 1e-6
    assert objective.correct(outputs, drawn).all()


def test_four_segments_make_256_classes():
    assert mac("cross_entropy", 4, 4).outputs(VIDEOS) == 256


def test_mse_regresses_preset_alphas_and_is_scored_by_the_nearest():
    objective = mac("mse", 4, 2)
    assert objective.outputs(VIDEOS) == 2
    drawn = objective.draw(0, VIDEOS, VIDEOS)
    outputs = torch.logit(drawn.alphas.clamp(0.01, 0.99) - 0.005)
    expected = ((outputs.sigmoid() - drawn.alphas) ** 2).mean()
    torch.testing.assert_close(objective.loss(outputs, drawn), expected)
    assert objective.correct(outputs, drawn).all()
    release = mac("mse", 4, 1, "release")  # .165, .495, .83, 1: the middle between its upper two is .915
    between = Attenuation(torch.tensor([[0.83]]), torch.tensor([2]))
    assert release.correct(torch.logit(torch.tensor([[0.9155]])), between).tolist() == [False]
    assert mac("mse", 4, 1).correct(torch.logit(torch.tensor([[0.9155]])), between).tolist() == [True]
    wrong = torch.logit((drawn.alphas + 0.4) % 0.98 + 0.01)
    assert not objective.correct(wrong, drawn).any()


def test_mse_n_draws_alphas_uniformly():
    objective = mac("mse_n", 4, 2)
    drawn = objective.draw(0, VIDEOS, VIDEOS)
    assert drawn.labels is None
    assert objective.chance is None
    assert objective.correct(torch.zeros(400, 2), drawn) is None
    assert len(torch.unique(drawn.alphas)) == 800
    histogram = np.histogram(drawn.alphas.numpy(), bins=4, range=(0, 1))[0]
    assert histogram.min() > 160


def test_a_constant_guess_scores_chance():
    objective = mac("cross_entropy", 3, 2)
    drawn = Attenuation(torch.ones(9, 2), torch.arange(9))
    outputs = torch.zeros(9, 9)
    outputs[:, 4] = 1
    assert objective.correct(outputs, drawn).float().mean() == pytest.approx(objective.chance)
