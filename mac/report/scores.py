"""A cell's accuracy with its interval, and which test videos each of its runs got right."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mac.report.statistics import clustered_interval, seed_spread, widen, wilson


@dataclass(frozen=True)
class Score:
    """A cell's number [percent], the mean over splits of the mean over their finished runs.

    ``low`` to ``high`` is the 95 % interval over source groups of videos, with several runs on a split also over
    training seeds; ``wilson_low`` to ``wilson_high`` is Wilson's over one run's videos as if they were independent.
    ``spread`` is the standard deviation between the seeds of a split (None where each split has one run), ``videos``
    and ``groups`` are one run's (the fewest), ``runs`` says how many are finished of ``planned``, on how many
    ``splits``.
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
    splits: int


def clusters(predictions: pd.DataFrame) -> pd.Series:
    """Name each test video's source group; a group belongs to its class, so both name it."""
    return predictions["label"].astype(str) + "/" + predictions["group"].astype(str)


def retrieved(probed: pd.DataFrame, k: int) -> pd.DataFrame:
    """Turn a probe's test videos into predictions that are right where one of the ``k`` nearest has the class."""
    return probed.assign(predicted=probed["label"].where(probed["first_match"] <= k, -1))


def score(found: list[pd.DataFrame], planned: int) -> Score:
    """Score one cell. Runs that were tested on the same videos are of one split; splits weigh the same.

    Args:
        found: predictions of its finished runs, at least one; columns ``path``, ``group``, ``label``, ``predicted``.
        planned: how many runs it is to have.
    """
    by_split: dict[frozenset[str], list[pd.DataFrame]] = {}
    for part in found:
        by_split.setdefault(frozenset(part["path"]), []).append(part)
    splits, runs = list(by_split.values()), [part for parts in by_split.values() for part in parts]
    weights = np.concatenate([np.full(len(parts), 1 / len(parts) / len(splits)) for parts in splits])
    sums = [(part["label"] == part["predicted"]).groupby(clusters(part)).agg(["sum", "size"]) for part in runs]
    groups = pd.concat(sums, axis=1).fillna(0).astype(int).sort_index()
    right_of, size_of = (groups[name].to_numpy().T.reshape(len(runs), -1) for name in ("sum", "size"))
    tops = 100 * right_of.sum(1) / size_of.sum(1)
    mean = float(np.average(tops, weights=weights))
    low, high = (100 * limit for limit in clustered_interval(right_of, size_of, weights=weights))
    seeds = seed_spread(np.split(tops, np.cumsum([len(parts) for parts in splits])[:-1]))
    if seeds:
        low, high = (min(max(limit, 0.0), 100.0) for limit in widen(mean, low, high, seeds.of_mean, seeds.degrees))
    spread = seeds.variance**0.5 if seeds else None
    videos = int(size_of.sum(1).min())
    independent = (100 * limit for limit in wilson(mean / 100 * videos, videos))
    sizes = videos, int((size_of > 0).sum(1).min()), len(runs), planned, len(splits)
    return Score(mean, low, high, *independent, spread, *sizes)


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
