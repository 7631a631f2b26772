"""Intervals and tests. Videos of one source group tend to be right together, so groups are the sample."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

LEVEL = 0.05  # of tests; intervals are of 95 %
Z = float(stats.norm.ppf(1 - LEVEL / 2))
RESAMPLES, FLIPS, BLOCK = 9999, 9999, 1000


def wilson(correct: float, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927), as if videos were independent.

    Args:
        correct: successes, 0 … total; a mean over runs may be fractional.
        total: trials, ≥ 1.

    Returns:
        Lower and upper limit in [0, 1].
    """
    share = correct / total
    centre = share + Z * Z / (2 * total)
    half = Z * (share * (1 - share) / total + Z * Z / (4 * total * total)) ** 0.5
    scale = 1 + Z * Z / total
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def clustered_interval(
    correct: np.ndarray, sizes: np.ndarray, method: str = "BCa", weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Bootstrap the source groups for the 95 % interval of an accuracy, the mean over runs.

    Where resampling shows no spread (every group has the same share of right videos), Wilson's interval counts groups
    instead of videos. The same groups give the same interval.

    Args:
        correct: videos of each group that are right, (runs, groups), 0 … sizes.
        sizes: test videos of each group, (runs, groups); 0 where a run's split has none of it.
        method: ``percentile`` or ``BCa``; BCa covers at least as well as others (docs/statistics.md).
        weights: of the runs in the mean, (runs,); None weighs them the same.

    Returns:
        Lower and upper limit in [0, 1].
    """
    runs, groups = sizes.shape
    share = float(np.average(correct.sum(1) / sizes.sum(1), weights=weights))
    if groups < 2 or share in (0.0, 1.0):
        return wilson(share * groups, groups)

    def accuracy(*parts: np.ndarray, axis: int) -> np.ndarray:
        sums = [part.sum(axis) for part in parts]
        shares = [sums[run] / np.maximum(sums[runs + run], 1) for run in range(runs)]
        return np.average(shares, axis=0, weights=weights)

    drawing = {"paired": True, "vectorized": True, "n_resamples": RESAMPLES, "batch": max(2_000_000 // groups, 1)}
    with warnings.catch_warnings(action="ignore", category=stats.DegenerateDataWarning), np.errstate(invalid="ignore"):
        found = stats.bootstrap((*correct, *sizes), accuracy, method=method, rng=groups, **drawing)
    limits = found.confidence_interval
    if np.ptp(found.bootstrap_distribution) == 0 or not np.isfinite(limits).all():
        return wilson(share * groups, groups)
    return round(float(limits.low), 12), round(float(limits.high), 12)  # every machine then prints the same digits


def widen(mean: float, low: float, high: float, variance: float, degrees: float) -> tuple[float, float]:
    """Add what training seeds and label draws do to an interval over videos (MOVER, Zou and Donner 2008; Student's t).

    Args:
        mean: the estimate.
        low: its lower limit over videos alone.
        high: its upper limit over videos alone.
        variance: of the mean, from seeds and draws, in the unit of ``mean`` squared.
        degrees: of freedom of ``variance``, above 0.

    Returns:
        Limits that cover other videos, training seeds and label draws.
    """
    half = t_quantile(degrees) * variance**0.5
    return mean - ((mean - low) ** 2 + half**2) ** 0.5, mean + ((high - mean) ** 2 + half**2) ** 0.5


@dataclass(frozen=True)
class SeedSpread:
    """The spread between trainings that differ in nothing but their seed, or draw: ``variance`` of one, and degrees of
    freedom.

    ``of_mean`` is the variance that it gives to the mean over splits, each split's mean over its seeds.
    """

    variance: float
    of_mean: float
    degrees: int


def seed_spread(tops: Sequence[np.ndarray]) -> SeedSpread | None:
    """Pool the spread between seeds over splits: how much harder one split is than another has no part in it.

    Args:
        tops: the accuracies of each split's trainings.

    Returns:
        None where no split has two trainings.
    """
    degrees = sum(len(top) - 1 for top in tops)
    if not degrees:
        return None
    variance = sum(float(((top - top.mean()) ** 2).sum()) for top in tops) / degrees
    return SeedSpread(variance, variance * sum(1 / len(top) for top in tops) / len(tops) ** 2, degrees)


def satterthwaite(parts: Iterable[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946), given as (variance, degrees)."""
    known = list(parts)
    share = sum(variance**2 / degrees for variance, degrees in known if degrees > 0)
    return sum(variance for variance, _ in known) ** 2 / share if share else float("inf")


def cluster_variance(residuals: np.ndarray) -> float:
    """Variance of an estimate from its groups' summed influences (linearisation, with the G / (G − 1) correction).

    Args:
        residuals: (G,), what each group adds to the estimate less its expectation; they sum to 0.

    Returns:
        The variance, in the estimate's unit squared; infinite for a single group.
    """
    groups = len(residuals)
    return float((residuals**2).sum() * groups / (groups - 1)) if groups > 1 else float("inf")


@lru_cache(maxsize=-(-FLIPS // BLOCK))
def _signs(groups: int, block: int) -> np.ndarray:
    """Random signs int8 (flips, groups), the same for the same numbers."""
    flips = min(BLOCK, FLIPS - block * BLOCK)
    return np.random.default_rng((groups, block)).integers(0, 2, (flips, groups), dtype=np.int8) * 2 - 1


def flip_p(sums: np.ndarray) -> np.ndarray:
    """Two-sided p of group sums having mean 0: the signs of whole groups are flipped at random.

    Exact if each group's sum is distributed symmetrically around 0, else approximately right with many groups. The
    observed signs count as one of the flips.

    Args:
        sums: (comparisons, groups).

    Returns:
        One p a comparison, in (0, 1].
    """
    observed = np.abs(sums.sum(1)) * (1 - 1e-6)
    scale = sums.T.astype(np.float32)
    extreme = np.ones(len(sums))
    for block in range(-(-FLIPS // BLOCK)):
        extreme += (np.abs(_signs(sums.shape[1], block).astype(np.float32) @ scale) >= observed - 1e-9).sum(0)
    return extreme / (FLIPS + 1)


def mcnemar(first_only: int, second_only: int) -> float:
    """Exact two-sided p of McNemar's test (1947), from the videos that exactly one of two models gets right."""
    total = first_only + second_only
    return float(stats.binomtest(first_only, total).pvalue) if total else 1.0


def t_p(value: float, variance: float, degrees: float) -> float:
    """Two-sided p of a value being 0, by Student's t."""
    if variance == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / variance**0.5, degrees))


def t_quantile(degrees: float, level: float = LEVEL) -> float:
    """Half width of a two-sided 1 − ``level`` interval in standard errors; infinite degrees are the normal's."""
    return float(stats.norm.ppf(1 - level / 2) if np.isinf(degrees) else stats.t.ppf(1 - level / 2, degrees))


def holm(values: list[float]) -> list[float]:
    """Holm's (1979) adjusted p of a family of tests; any dependence between them is allowed."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(values, float)[order]), 1.0)
    return adjusted.tolist()
