"""Accuracies, intervals, tests. Videos of one source group tend to be right together, so groups are the sample."""

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
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


def clustered_interval(correct: np.ndarray, sizes: np.ndarray, method: str = "BCa") -> tuple[float, float]:
    """Bootstrap the source groups for the 95 % interval of an accuracy, the mean over runs.

    Where resampling shows no spread (every group has the same share of right videos), Wilson's interval counts groups
    instead of videos. The same groups give the same interval.

    Args:
        correct: videos of each group that are right, (runs, groups), 0 … sizes.
        sizes: test videos of each group, (runs, groups); 0 where a run's split has none of it.
        method: ``percentile`` or ``BCa``; BCa covers at least as well as others (docs/statistics.md).

    Returns:
        Lower and upper limit in [0, 1].
    """
    runs, groups = sizes.shape
    share = float((correct.sum(1) / sizes.sum(1)).mean())
    if groups < 2 or share in (0.0, 1.0):
        return wilson(share * groups, groups)

    def accuracy(*parts: np.ndarray, axis: int) -> np.ndarray:
        sums = [part.sum(axis) for part in parts]
        return np.mean([sums[run] / np.maximum(sums[runs + run], 1) for run in range(runs)], axis=0)

    drawing = {"paired": True, "vectorized": True, "n_resamples": RESAMPLES, "batch": max(2_000_000 // groups, 1)}
    with warnings.catch_warnings(action="ignore", category=stats.DegenerateDataWarning), np.errstate(invalid="ignore"):
        found = stats.bootstrap((*correct, *sizes), accuracy, method=method, rng=groups, **drawing)
    limits = found.confidence_interval
    if np.ptp(found.bootstrap_distribution) == 0 or not np.isfinite(limits).all():
        return wilson(share * groups, groups)
    return round(float(limits.low), 12), round(float(limits.high), 12)  # every machine then prints the same digits


def widen(mean: float, low: float, high: float, spread: float, runs: int) -> tuple[float, float]:
    """Add the spread between runs to an interval over videos (MOVER, Zou and Donner 2008; t with runs − 1 degrees).

    ``spread`` is the standard deviation over ``runs`` (≥ 2) in the unit of ``mean`` and of ``low`` and ``high``, the
    limits over videos alone. The limits returned cover other videos and other training seeds.
    """
    half = float(stats.t.ppf(1 - LEVEL / 2, runs - 1)) * spread / runs**0.5
    return mean - ((mean - low) ** 2 + half**2) ** 0.5, mean + ((high - mean) ** 2 + half**2) ** 0.5


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


def holm(values: list[float]) -> list[float]:
    """Holm's (1979) adjusted p of a family of tests; any dependence between them is allowed."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(values, float)[order]), 1.0)
    return adjusted.tolist()


@dataclass(frozen=True)
class Score:
    """A cell's number [percent], the mean over its finished runs.

    ``low`` to ``high`` is the 95 % interval over source groups of videos, with several runs also over training seeds;
    ``wilson_low`` to ``wilson_high`` is Wilson's over one run's videos as if they were independent. ``spread`` is the
    standard deviation over runs (None for one), ``videos`` and ``groups`` are one run's (the fewest), ``runs`` says how
    many are finished of ``planned``.
    """

    top1: float
    low: float
    high: float
    wilson_low: float
    wilson_high: float
    spread: float | None
    videos: int
    groups: int
    runs: int
    planned: int


def clusters(predictions: pd.DataFrame) -> pd.Series:
    """Name each test video's source group; a group belongs to its class, so both name it."""
    return predictions["label"].astype(str) + "/" + predictions["group"].astype(str)


def score(found: list[pd.DataFrame], planned: int) -> Score:
    """Score one cell.

    Args:
        found: predictions of its finished runs, at least one; columns ``path``, ``group``, ``label``, ``predicted``.
        planned: how many runs it is to have.
    """
    sums = [(part["label"] == part["predicted"]).groupby(clusters(part)).agg(["sum", "size"]) for part in found]
    groups = pd.concat(sums, axis=1).fillna(0).astype(int).sort_index()
    right_of, size_of = (groups[name].to_numpy().T.reshape(len(found), -1) for name in ("sum", "size"))
    tops = 100 * right_of.sum(1) / size_of.sum(1)
    mean, runs = float(tops.mean()), len(found)
    low, high = (100 * limit for limit in clustered_interval(right_of, size_of))
    spread = float(tops.std(ddof=1)) if runs > 1 else None
    if spread is not None:
        low, high = (min(max(limit, 0.0), 100.0) for limit in widen(mean, low, high, spread, runs))
    videos = int(size_of.sum(1).min())
    independent = (100 * limit for limit in wilson(mean / 100 * videos, videos))
    return Score(mean, low, high, *independent, spread, videos, int((size_of > 0).sum(1).min()), runs, planned)


@dataclass(frozen=True)
class Sample:
    """One split's test videos as several runs of one row answered them: ``clusters`` (n,), ``right`` bool (runs, n).

    Of another number than accuracy, ``right`` is each video's share in [0, 1].
    """

    clusters: np.ndarray
    right: np.ndarray


def sample(found: list[pd.DataFrame]) -> Sample:
    """Gather the runs of one split, which have the same test videos, sorted by path."""
    ordered = [predictions.sort_values("path", ignore_index=True) for predictions in found]
    right = np.array([(part["label"] == part["predicted"]).to_numpy() for part in ordered])
    return Sample(clusters(ordered[0]).to_numpy(dtype=str), right)
