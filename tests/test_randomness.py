import warnings

import numpy as np
import pytest

from mac.randomness import choose, integer_seed, uniform


def test_draws_depend_on_their_keys_alone():
    videos = np.arange(50)
    together = uniform((1, "crop", 3, videos), 4)
    alone = np.stack([uniform((1, "crop", 3, int(v)), 4) for v in videos])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(uniform((1, "crop", 3, videos[::-1]), 4), together[::-1])


@pytest.mark.parametrize("other", [(2, "crop", 3), (1, "flip", 3), (1, "crop", 4)])
def test_every_key_matters(other):
    videos = np.arange(2000)
    a, b = uniform((1, "crop", 3, videos), 1).ravel(), uniform((*other, videos), 1).ravel()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.08  # 3.5 standard errors of 0 at n = 2000


def test_draws_are_uniform_and_uncorrelated_over_consecutive_keys():
    draws = uniform(("uniformity", np.arange(20_000)), 3)
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    expected = draws.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees of freedom, p = .001
    correlation = np.corrcoef(draws.T)
    assert np.abs(correlation - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03
    assert draws.min() >= 0
    assert draws.max() < 1


def test_choose_covers_all_options_equally():
    picked = choose(uniform(("choose", np.arange(9000)), 1)[:, 0], 3)
    counts = np.bincount(picked)
    assert len(counts) == 3
    assert counts.min() > 2800


def test_the_largest_draw_chooses_the_last_option():
    options = np.concatenate([np.arange(1, 1_000_000), 2 ** np.arange(20, 52), 2 ** np.arange(20, 52) + 1])
    assert np.array_equal(choose(1 - 2.0**-53, options), options - 1)
    assert not choose(0.0, options).any()


def test_integer_seed_differs_by_keys():
    assert len({integer_seed((seed, "weights")) for seed in range(100)}) == 100


def test_no_key_gives_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uniform((2**63 - 1, "crop", -(2**63), 7), 3)
