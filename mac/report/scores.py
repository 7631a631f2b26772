"""A cell's accuracy with its interval, and which test videos each of its runs got right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mac.report.statistics import clustered_interval, satterthwaite, seed_spread, widen, wilson


@dataclass(frozen=True)
class Score:
    """A cell's number [percent], the mean over splits of the mean over their finished runs.

    ``low`` to ``high`` is the 95 % interval over source groups of videos, with several runs on a split also over
    training seeds; ``wilson_low`` to ``wilson_high`` is Wilson's over one run's videos as if they were independent.
    ``spread`` is the standard deviation between the seeds of a split (None where each split has one), ``draw_spread``
    that between draws of the labelled videos (None where there is one), ``videos`` and ``groups`` are one run's (the
    fewest), ``runs`` says how many are finished of ``planned``, on how many ``splits``.
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
    draw_spread: float | None = None


class Repeat(NamedTuple):
    """What distinguishes a run from the other runs of its cell on a split."""

    seed: int
    draw: int | None = None


def clusters(predictions: pd.DataFrame) -> pd.Series:
    """Name each test video's source group; a group belongs to its class, so both name it."""
    return predictions["label"].astype(str) + "/" + predictions["group"].astype(str)


def retrieved(probed: pd.DataFrame, k: int) -> pd.DataFrame:
    """Turn a probe's test videos into predictions that are right where one of the ``k`` nearest has the class."""
    return probed.assign(predicted=probed["label"].where(probed["first_match"] <= k, -1))


def score(found: list[pd.DataFrame], planned: int, repeats: Sequence[Repeat] = ()) -> Score:
    """Score one cell. Runs that were tested on the same videos are of one split; splits weigh the same.

    Args:
        found: predictions of its finished runs, at least one; columns ``path``, ``group``, ``label``, ``predicted``.
        planned: how many runs it is to have.
        repeats: what distinguishes them; without it each is of another seed.
    """
    by_split: dict[frozenset[str], list[tuple[pd.DataFrame, Repeat]]] = {}
    for part, repeat in zip(found, repeats or map(Repeat, range(len(found))), strict=True):
        by_split.setdefault(frozenset(part["path"]), []).append((part, repeat))
    splits, runs = list(by_split.values()), [part for parts in by_split.values() for part, _ in parts]
    weights = np.concatenate([np.full(len(parts), 1 / len(parts) / len(splits)) for parts in splits])
    sums = [(part["label"] == part["predicted"]).groupby(clusters(part)).agg(["sum", "size"]) for part in runs]
    groups = pd.concat(sums, axis=1).fillna(0).astype(int).sort_index()
    right_of, size_of = (groups[name].to_numpy().T.reshape(len(runs), -1) for name in ("sum", "size"))
    tops = 100 * right_of.sum(1) / size_of.sum(1)
    mean = float(np.average(tops, weights=weights))
    low, high = (100 * limit for limit in clustered_interval(right_of, size_of, weights=weights))
    by_split_tops = np.split(tops, np.cumsum([len(parts) for parts in splits])[:-1])
    spreads = {
        key: seed_spread(
            [
                means_by(own, [getattr(repeat, key) for _, repeat in parts])[1]
                for own, parts in zip(by_split_tops, splits, strict=True)
            ]
        )
        for key in Repeat._fields
    }
    if known := [(spread.of_mean, spread.degrees) for spread in spreads.values() if spread]:
        more = sum(variance for variance, _ in known), satterthwaite(known)
        low, high = (min(max(limit, 0.0), 100.0) for limit in widen(mean, low, high, *more))
    spread, draw_spread = (found and found.variance**0.5 for found in spreads.values())
    videos = int(size_of.sum(1).min())
    least, most = (100 * limit for limit in wilson(mean / 100 * videos, videos))
    sizes = videos, int((size_of > 0).sum(1).min()), len(runs), planned, len(splits)
    return Score(mean, low, high, least, most, spread, *sizes, draw_spread)


def means_by(values: np.ndarray, keys: Sequence[int | None]) -> tuple[list[int | None], np.ndarray]:
    """Average the values (N,) of each of their keys (N,); the keys in the order in which they come, and the means."""
    distinct = list(dict.fromkeys(keys))
    return distinct, np.array([np.mean(values[[own == key for own in keys]]) for key in distinct])


@dataclass(frozen=True)
class Sample:
    """One split's test videos as several runs of one row answered them: ``clusters`` (n,), ``right`` bool (runs, n).

    Of another number than accuracy, ``right`` is each video's share in [0, 1]. ``repeats`` (runs,) says what
    distinguishes the runs; without it each is of another seed.
    """

    clusters: np.ndarray
    right: np.ndarray
    repeats: tuple[Repeat, ...] = ()

    def means(self, key: str) -> tuple[list[int | None], np.ndarray]:
        """Average the runs' accuracies [percent] by ``seed`` or by ``draw``: those, and the means."""
        repeats = self.repeats or [Repeat(number) for number in range(len(self.right))]
        return means_by(100 * self.right.mean(1), [getattr(repeat, key) for repeat in repeats])


def sample(found: list[pd.DataFrame], repeats: Sequence[Repeat] = ()) -> Sample:
    """Gather the runs of one split, which have the same test videos, sorted by path."""
    ordered = [predictions.sort_values("path", ignore_index=True) for predictions in found]
    right = np.array([(part["label"] == part["predicted"]).to_numpy() for part in ordered])
    return Sample(clusters(ordered[0]).to_numpy(dtype=str), right, tuple(repeats))
