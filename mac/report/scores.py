"""A cell's number: accuracy, intervals, spread over runs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mac.report.statistics import clustered_interval, widen, wilson


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
    """One split's test videos as several runs of one row answered them: ``clusters`` (n,), ``right`` bool (runs, n)."""

    clusters: np.ndarray
    right: np.ndarray


def sample(found: list[pd.DataFrame]) -> Sample:
    """Gather the runs of one split, which have the same test videos, sorted by path."""
    ordered = [predictions.sort_values("path", ignore_index=True) for predictions in found]
    right = np.array([(part["label"] == part["predicted"]).to_numpy() for part in ordered])
    return Sample(clusters(ordered[0]).to_numpy(dtype=str), right)
