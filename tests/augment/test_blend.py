import itertools

import numpy as np
import pytest
import torch

from mac.augment.blend import alpha_values, blend, pretext_labels, sample_alpha_indices, sample_alphas


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (2, [0.5, 1]),
        (3, [0.25, 0.75, 1]),
        (4, [1 / 6, 1 / 2, 5 / 6, 1]),
        (5, [0.125, 0.375, 0.625, 0.875, 1]),
        (6, [0.1, 0.3, 0.5, 0.7, 0.9, 1]),
    ],
)
def test_alphas_are_the_papers(k, expected):
    assert alpha_values(k) == pytest.approx(expected)


def test_alphas_of_the_release_differ_for_four_only():
    assert alpha_values(4, "release") == (0.165, 0.495, 0.83, 1.0)
    assert alpha_values(5, "release") == alpha_values(5)


def test_fewer_than_two_alphas_are_refused():
    with pytest.raises(ValueError, match="k = 1: at least 2"):
        alpha_values(1)


@pytest.mark.parametrize(("k", "n"), [(4, 2), (3, 2), (4, 4), (2, 1)])
def test_labels_count_in_base_k_first_segment_first(k, n):
    digits = np.array(list(itertools.product(range(k), repeat=n)))
    assert pretext_labels(digits, k).tolist() == list(range(k**n))


def test_blend_is_the_formula_segment_by_segment():
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(3, 3, 8, 6, 6, generator=generator)
    mask = torch.rand(3, 1, 8, 6, 6, generator=generator)
    alphas = torch.rand(3, 4, generator=generator)
    out = blend(clip, mask, alphas)
    for b, t in itertools.product(range(3), range(8)):
        alpha, m = alphas[b, t // 2], mask[b, :, t]
        torch.testing.assert_close(out[b, :, t], alpha * m * clip[b, :, t] + (1 - m) * clip[b, :, t])


def test_alpha_one_leaves_the_clip_bit_identical():
    clip, mask = torch.randn(2, 3, 8, 5, 5), torch.rand(2, 1, 8, 5, 5)
    assert torch.equal(blend(clip, mask, torch.ones(2, 2)), clip)
    mixed = blend(clip, mask, torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    assert torch.equal(mixed[0, :, :4], clip[0, :, :4])
    assert not torch.equal(mixed[0, :, 4:], clip[0, :, 4:])


def test_a_clip_keeps_its_precision():
    clip, mask = torch.randn(1, 3, 4, 2, 2, dtype=torch.float64), torch.rand(1, 1, 4, 2, 2, dtype=torch.float64)
    assert blend(clip.bfloat16(), mask.bfloat16(), torch.tensor([[0.5]])).dtype == torch.bfloat16
    third = torch.tensor([[1 / 3]], dtype=torch.float64)
    assert blend(clip, mask, third).equal(clip * (1 - (1 - third.view(1, 1, 1, 1, 1)) * mask))


def test_reverse_attenuates_the_background():
    clip, mask, alphas = torch.randn(1, 3, 4, 5, 5), torch.rand(1, 1, 4, 5, 5).round(), torch.tensor([[0.5, 0.25]])
    torch.testing.assert_close(blend(clip, mask, alphas, reverse=True), blend(clip, 1 - mask, alphas))


@pytest.mark.parametrize("reverse", [False, True])
def test_normalised_apart_is_the_sum_of_two_normalised_pictures(reverse):
    rng = np.random.default_rng(0)
    mean, std = (np.array(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    pixels, mask, alphas = rng.random((2, 3, 4, 6, 6)), rng.random((2, 1, 4, 6, 6)).round(), rng.random((2, 2))
    given = ((pixels - mean[:, None]) / std[:, None], mask, alphas)
    found = blend(*map(torch.from_numpy, given), reverse, is_apart=True)
    for b, t in itertools.product(range(2), range(4)):
        picture, inside = pixels[b, :, t], mask[b, :, t] == 1
        foreground, background = np.where(inside, picture, 0), np.where(inside, 0, picture)
        weak, full = (background, foreground) if reverse else (foreground, background)
        wanted = alphas[b, t // 2] * ((weak - mean) / std) + (full - mean) / std
        torch.testing.assert_close(found[b, :, t], torch.from_numpy(wanted))


def test_normalised_apart_every_pixel_shows_alpha_and_else_only_the_mask_does():
    clip, mask = torch.randn(1, 3, 4, 8, 8), torch.zeros(1, 1, 4, 8, 8)
    mask[..., :2, :2] = 1
    one, other = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.5, 0.25]])
    for is_apart, share in ((False, 4 / 64), (True, 1.0)):
        changed = blend(clip, mask, one, is_apart=is_apart) != blend(clip, mask, other, is_apart=is_apart)
        assert not changed[:, :, :2].any()
        assert changed[:, :, 2:].float().mean() == share


def test_segments_must_divide_the_frames():
    with pytest.raises(ValueError, match="3 segments don't divide 8 frames"):
        blend(torch.zeros(1, 3, 8, 2, 2), torch.zeros(1, 1, 8, 2, 2), torch.ones(1, 3))


def test_draws_are_uniform_per_segment():
    index = sample_alpha_indices(8000, 4, 2, ("a", np.arange(8000)))
    pairs = np.bincount(pretext_labels(index, 4), minlength=16)
    assert pairs.min() > 400
    assert pairs.max() < 600
    alphas = sample_alphas(8000, 2, ("b", np.arange(8000)))
    assert alphas.min() > 0
    assert alphas.max() <= 1
    assert abs(alphas.mean() - 0.5) < 0.01


@pytest.mark.parametrize(("draw", "alpha"), [(0.0, 1.0), (1 - 2**-53, 2**-53)])
def test_alpha_can_be_one_but_not_zero(draw, alpha, monkeypatch):
    monkeypatch.setattr("mac.augment.blend.uniform", lambda keys, count: np.full((2, count), draw))
    assert (sample_alphas(2, 3, ("b", np.arange(2))) == alpha).all()
