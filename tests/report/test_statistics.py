"""Intervals and tests against worked examples from the literature and against other libraries."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, bootstrap, permutation_test, ttest_ind, ttest_rel
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from benchmarks.verdicts import coverage
from mac.report.differences import Difference, between
from mac.report.scores import Repeat, Sample, score
from mac.report.statistics import RESAMPLES, clustered_interval, flip_p, holm, mcnemar, widen, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_worked_values(correct, total, low, high):
    """Newcombe (1998), Statistics in Medicine 17, table I, method 3."""
    assert wilson(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (5, 10), (10, 10), (3208, 3783), (1, 531)])
def test_wilson_agrees_with_other_libraries(correct, total):
    reference = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert wilson(correct, total) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert wilson(correct, total) == pytest.approx(proportion_confint(correct, total, method="wilson"), abs=1e-9)


def test_mcnemar_gives_a_textbook_example():
    """59 and 80 pairs agree, 6 and 16 do not: exact p 0.0525 (Fagerland, Lydersen and Laake 2013 give such tables)."""
    assert mcnemar(6, 16) == pytest.approx(0.0525, abs=5e-5)
    assert mcnemar(6, 16) == pytest.approx(mcnemar_of_statsmodels([[59, 6], [16, 80]], exact=True).pvalue)
    assert mcnemar(0, 0) == mcnemar(7, 7) == 1.0
    for first, second in np.random.default_rng(5).integers(1, 400, (200, 2)).tolist():
        assert mcnemar(first, second) == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-9)


def test_holm_gives_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    values = np.random.default_rng(0).uniform(0, 0.2, 12).tolist()
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_flipped_signs_give_fishers_test_of_darwins_maize():
    """Fisher (1935), The Design of Experiments, § 21: 1,726 of 32,768 flips are as extreme, p 0.0527."""
    maize = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)
    exact = permutation_test((maize,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert exact == pytest.approx(1726 / 32768)
    found = flip_p(np.array([maize, -maize, np.zeros(15)]))
    assert found[0] == found[1] == pytest.approx(exact, abs=0.006)
    assert found[2] == 1.0
    assert flip_p(np.full((1, 40), 1.0))[0] == pytest.approx(1 / 10_000)


def test_a_differences_variance_is_statsmodels_cluster_robust_one():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(30), rng.integers(1, 8, 30))
    first, second = rng.random((2, 1, len(clusters))) < 0.6
    found = between([Sample(clusters, first)], [Sample(clusters, second)])
    values = 100 * (first[0].astype(float) - second[0])
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert found.estimate == pytest.approx(values.mean())
    assert found.video_variance == pytest.approx(float(fit.cov_params()[0, 0]))


def test_the_seeds_part_of_the_methods_test_is_welchs():
    rights = [np.repeat([[True] * n + [False] * (100 - n)], 1, 0) for n in (80, 84, 82, 70, 73, 76)]
    clusters = np.arange(100)
    first, second = (Sample(clusters, np.concatenate(rights[part])) for part in (slice(0, 3), slice(3, 6)))
    found = between([first], [second])
    seeds_only = sum(variance for variance, _ in found.seed_parts)
    welch = ttest_ind([80, 84, 82], [70, 73, 76], equal_var=False)
    assert found.estimate / seeds_only**0.5 == pytest.approx(welch.statistic)
    assert found.video_variance > 0
    assert found.interval(of_methods=True)[0] > 0


def test_splits_weigh_the_same_and_groups_on_both_are_one():
    one = Sample(np.array(["a", "a", "b"]), np.array([[True, True, False]]))
    two = Sample(np.array(["a", "c"]), np.array([[False, True]]))
    found = between([one, two])
    assert found.estimate == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert len(found.totals) == 3
    assert found.weights.sum() == pytest.approx(1)


def test_cells_whose_groups_are_all_alike_have_an_interval_over_groups():
    sizes = np.full((1, 20), 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clustered_interval(sizes * 0, sizes) == wilson(0, 20)
        assert clustered_interval(sizes, sizes) == wilson(20, 20)
        assert clustered_interval(np.array([[3]]), np.array([[5]])) == wilson(0.6, 1)
        assert clustered_interval(np.full((1, 20), 2), np.full((1, 20), 4)) == wilson(10, 20)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize(("runs", "groups"), [(1, 40), (3, 25), (1, 400)])
def test_the_clustered_interval_is_scipys_bootstrap_of_groups(method, runs, groups):
    rng = np.random.default_rng(groups)
    sizes = rng.integers(1, 8, (runs, groups))
    correct = rng.binomial(sizes, 0.7)

    def accuracy(*sums, axis=-1):
        totals = [part.sum(axis) for part in sums]
        return np.mean([totals[run] / totals[runs + run] for run in range(runs)], axis=0)

    drawing = {"paired": True, "vectorized": True, "n_resamples": RESAMPLES, "batch": 2_000_000 // groups}
    found = bootstrap((*correct, *sizes), accuracy, method=method, rng=np.random.default_rng(groups), **drawing)
    assert clustered_interval(correct, sizes, method) == pytest.approx(tuple(found.confidence_interval), abs=1e-12)


def test_the_spread_of_seeds_widens_an_interval():
    low, high = widen(80, 78, 81, 1 / 3, 2)
    half = 4.302653 / 3**0.5  # Student's t with two degrees of freedom, from tables
    assert (low, high) == pytest.approx((80 - (4 + half**2) ** 0.5, 80 + (1 + half**2) ** 0.5))
    assert widen(80, 78, 81, 0.0, 2) == (78, 81)


def test_the_clustered_interval_covers_where_wilsons_does_not():
    found = coverage(531, 60)
    assert found["BCa"] >= 88
    assert found["BCa and three seeds"] >= 92
    assert found["Wilson"] < found["BCa"]


@pytest.mark.parametrize(
    ("totals", "seed_sd", "sides", "wanted"),
    [
        ([1, 1], 1.0, 2, "about 4 trainings a side would"),  # t² · 2 / R ≤ 2²: R = 4, t with 6 degrees is 2.447
        ([1, 1], 1.0, 1, "about 4 trainings would"),  # t² / R ≤ 2²: R = 4, t with 3 degrees is 3.182
        ([1, 0], 0.0, 2, "too small a gap to decide here"),  # 1.96² · 1 > 1²
        ([0.5, -0.5], 1.0, 2, "too small a gap to decide here"),
    ],
)
def test_what_would_decide_is_worked_by_hand(totals, seed_sd, sides, wanted):
    """Two groups: a gap of their sum, a variance over groups of 0 or 1 points²."""
    found = Difference(np.array(totals, float), np.array([0.5, 0.5]), (), 1, sides)
    assert wanted in found.wanted(seed_sd)


def predictions(top, split):
    """A run on 100 videos of a split, so many of which it gets right."""
    paths = [f"{split}/{number}" for number in range(100)]
    right = np.arange(100) >= top
    return pd.DataFrame({"path": paths, "group": np.arange(100) // 4, "label": 0, "predicted": right.astype(int)})


def test_seeds_and_how_hard_a_split_is_are_kept_apart():
    """Splits of 50 and 90 %, each with seeds 2 points apart: s² = 2, of the mean over four runs 2 / 4."""
    found = score([predictions(top, split) for top, split in ((49, 1), (51, 1), (89, 2), (91, 2))], 4)
    assert (found.top1, found.runs, found.splits) == (70.0, 4, 2)
    assert found.spread == pytest.approx(2**0.5)
    assert score([predictions(top, split) for top, split in ((50, 1), (90, 2))], 2).spread is None
    uneven = score([predictions(top, split) for top, split in ((50, 1), (50, 1), (50, 1), (90, 2))], 4)
    assert uneven.top1 == 70.0  # splits weigh the same


def test_splits_trained_once_are_compared_by_students_paired_test():
    clusters = np.arange(100)
    tops = ((50, 60, 70), (53, 65, 78))
    first, second = (
        [Sample(clusters + 100 * n, (np.arange(100) < top)[None]) for n, top in enumerate(side)] for side in tops
    )
    found = between(second, first)
    reference = ttest_rel(tops[1], tops[0])
    assert found.speaks_of_methods
    assert found.methods_p() == pytest.approx(reference.pvalue)
    assert found.interval(of_methods=True) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert not between(second[:2], first[:2]).speaks_of_methods


def crossed(rng, seeds, draws, seed_sd, draw_sd, rest_sd, drawn=None):
    """Accuracies of 1,000 videos, in groups of 5, for each seed and each draw of the labelled videos."""
    drawn = rng.normal(0, draw_sd, draws) if drawn is None else drawn
    tops = 60 + rng.normal(0, seed_sd, (seeds, 1)) + drawn + rng.normal(0, rest_sd, (seeds, draws))
    right = [rng.random(1000) < top / 100 for top in tops.ravel()]
    repeats = tuple(Repeat(seed, draw) for seed in range(seeds) for draw in range(draws))
    return Sample(np.repeat(np.arange(200), 5), np.array(right), repeats)


def test_seeds_and_draws_of_labels_are_two_sources_of_spread():
    """Means by seed and by draw, by hand; what both rows' draws share falls out of their difference."""
    tops = np.array([[50, 60], [52, 66], [54, 60]])  # seeds, draws
    one, other = (
        Sample(
            np.arange(100),
            np.arange(100) < values.reshape(-1, 1),
            tuple(Repeat(seed, draw) for seed in (1, 2, 3) for draw in (1, 2)),
        )
        for values in (tops, tops - np.array([10, 12]))
    )
    alone, gap = between([one]), between([one], [other])
    assert (alone.trainings, gap.trainings) == (3, 3)
    assert alone.seed_parts == ((pytest.approx(np.var([55, 59, 57], ddof=1) / 3), 2),)
    assert alone.draw_parts == ((pytest.approx(np.var([52, 62], ddof=1) / 2), 1),)
    assert gap.estimate == pytest.approx(11)
    assert gap.draw_parts == ((pytest.approx(np.var([10, 12], ddof=1) / 2), 1),)
    apart = between([one], [replace(other, repeats=tuple(Repeat(seed, draw + 2) for seed, draw in other.repeats))])
    assert len(apart.draw_parts) == 2  # other draws: each side's own spread counts


def test_a_cells_interval_covers_other_seeds_and_other_draws():
    tops = np.array([[50, 60, 55], [52, 66, 57], [54, 60, 54]])
    repeats = [Repeat(seed, draw) for seed in (1, 2, 3) for draw in (1, 2, 3)]
    found = score([predictions(top, 1) for top in tops.ravel()], 9, repeats)
    assert found.spread == pytest.approx(np.std(tops.mean(1), ddof=1))
    assert found.draw_spread == pytest.approx(np.std(tops.mean(0), ddof=1))
    as_seeds = score([predictions(top, 1) for top in tops.ravel()], 9)
    assert as_seeds.draw_spread is None
    assert found.high - found.low > as_seeds.high - as_seeds.low  # nine runs are not nine independent trainings


@pytest.mark.parametrize(("seed_sd", "draw_sd", "rest_sd"), [(1, 3, 1), (2, 0, 1), (0, 0, 2), (2, 3, 2)])
def test_intervals_of_a_difference_cover_it_whichever_the_source_of_the_spread(seed_sd, draw_sd, rest_sd):
    """Both rows are equally good: the interval of their difference holds 0 in at least 93 % of simulated tables."""
    held = 0
    for table in range(400):
        rng = np.random.default_rng((table, seed_sd, draw_sd, rest_sd))
        drawn = rng.normal(0, draw_sd, 3)
        low, high = between(*([crossed(rng, 3, 3, seed_sd, draw_sd, rest_sd, drawn)] for _ in range(2))).interval(
            of_methods=True
        )
        held += low <= 0 <= high
    assert held >= 0.93 * 400
