"""Measured numbers held against printed ones: one by one, and the order of all rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import permutation_test, rankdata

from mac.plan import Cell
from mac.report.differences import TRAININGS_WANTED, Difference, between
from mac.report.provenance import why_incomparable
from mac.report.results import Results
from mac.report.scores import Sample
from mac.report.statistics import LEVEL, satterthwaite, t_quantile
from mac.report.texts import interval_text, points_text

REPRODUCED, DIFFERS, UNDECIDED, OPEN = "reproduced", "differs", "undecided", "open"
NOT_COMPARABLE = "not comparable"
SPLIT = 1  # the split that printed numbers are of
PERMUTATIONS = 9999


class Verdict(NamedTuple):
    """What can be said, in a word and in a sentence."""

    outcome: str
    text: str


def against_printed(cell: Cell, results: Results) -> Verdict:
    """Say whether a cell reproduces its printed number, see :func:`judge`, or why that can't be said."""
    if not cell.runs:
        return Verdict(NOT_COMPARABLE, "only cited: nothing was run")
    if cell.printed is None:
        return Verdict(NOT_COMPARABLE, "no number is printed")
    if reason := why_incomparable(cell.runs, results.plan):
        return Verdict(NOT_COMPARABLE, reason)
    samples = results.samples(cell)
    if not samples:
        return Verdict(OPEN, "; ".join(results.reasons(cell)) or "not run yet")
    settings = results.plan.experiment.verdicts
    margin = settings.margin_of(results.plan.tested[cell.runs[0]].config.store.dataset.name)
    split = printed_split(samples)
    found = judge(samples[split], cell.printed, margin, settings.seed_sd)
    return found if len(samples) == 1 else found._replace(text=f"on split {split}: {found.text}")


def printed_split(splits: Iterable[int]) -> int:
    """Choose the split that printed numbers are of, or the first of those that were run."""
    return min(splits, key=lambda split: (split != SPLIT, split))


def judge(sample: Sample, printed: float, margin: float, seed_sd: float) -> Verdict:
    """Judge one cell's runs on one split against a printed number [percent].

    Reproduced: the 90 % interval of measured − printed lies within ± ``margin`` [points], which are two one-sided tests
    at 5 % (Schuirmann 1987). Differs: it lies outside. And whether the printed number lies in the 95 % prediction
    interval of a re-run.
    """
    difference = against_number(sample, printed, seed_sd)
    low, high = difference.interval(of_methods=True, level=2 * LEVEL)
    inside = predict_rerun([sample], seed_sd)
    outcome = UNDECIDED
    if -margin <= low and high <= margin:
        outcome = REPRODUCED
    elif low > margin or high < -margin:
        outcome = DIFFERS
    text = f"{points_text(difference.estimate)} {interval_text(low, high)} points, margin ± {margin:g}; the printed"
    text += f" number lies {where(printed, *inside)} the 95 % prediction interval of a re-run,"
    text += f" [{inside[0]:.1f}, {inside[1]:.1f}]"
    return Verdict(outcome, text)


def where(value: float, low: float, high: float) -> str:
    """Say on which side of an interval's limits a value lies."""
    return "inside" if low <= value <= high else "outside"


def predict_rerun(sides: Sequence[Sample], seed_sd: float) -> tuple[float, float]:
    """Predict what training once more, with another seed, would give on the same test videos.

    With three runs or more their spread says it. With fewer, a training is taken to have the standard deviation
    ``seed_sd`` [points] between seeds, and two trainings to be right on different videos, for half of the variance that
    another choice of videos has (measured on real video: a fifth, docs/statistics.md).

    Args:
        sides: one row's runs on a split; or two rows', for the difference of first and second.
        seed_sd: see above.

    Returns:
        The 95 % prediction interval [percent or points].
    """
    tops = [100 * side.right.mean(1) for side in sides]
    parts = []
    for side, top in zip(sides, tops, strict=True):
        if len(top) >= TRAININGS_WANTED:
            spread, degrees = float(top.var(ddof=1)), len(top) - 1
        else:
            spread, degrees = seed_sd**2 + between([side]).video_variance / 2, np.inf
        parts.append((spread * (1 + 1 / len(top)), degrees))
    estimate = tops[0].mean() - sum(top.mean() for top in tops[1:])
    half = t_quantile(satterthwaite(parts)) * sum(variance for variance, _ in parts) ** 0.5
    return float(estimate - half), float(estimate + half)


def against_number(sample: Sample, number: float, seed_sd: float) -> Difference:
    """Take the difference from a number that somebody measured in one run on the same test videos.

    The videos are the same on both sides, so their choice counts once, as for one run: the two models are right on much
    the same videos, which makes their difference no more uncertain than one of them.

    Args:
        sample: one cell's runs on a split.
        number: top-1 [percent].
        seed_sd: standard deviation between trainings [points] that the number is taken to have, and ours too where
            fewer than three were run.
    """
    own, runs = between([sample]), len(sample.right)
    single = np.mean([between([Sample(sample.clusters, right[None])]).video_variance for right in sample.right])
    variance = float(single) - own.video_variance + seed_sd**2 * (1 if own.speaks_of_methods else 1 + 1 / runs)
    found = replace(own.less(number), disagreements=None, is_to_number=True, other_variance=variance)
    return found if own.speaks_of_methods else replace(found, seed_parts=())


class Order(NamedTuple):
    """How well the order of ``rows`` rows agrees with the printed one.

    ``correlation`` is Spearman's, of ranks; at least 95 % of all orders give one from ``low`` to ``high``; ``p`` is
    two-sided.
    """

    rows: int
    correlation: float
    low: float
    high: float
    p: float


def order(pairs: Sequence[tuple[float, float]]) -> Order | None:
    """Correlate the ranks of measured and printed numbers; None with fewer than three rows or where all are equal.

    Each of the possible orders of the rows is as likely by chance; up to 9,999 of them are looked at.
    """
    ranks = [rankdata(values) for values in zip(*pairs, strict=True)]
    if len(pairs) < 3 or any(np.ptp(values) == 0 for values in ranks):
        return None
    printed = ranks[1] - ranks[1].mean()

    def correlate(measured: np.ndarray, axis: int = -1) -> np.ndarray:
        centred = measured - ranks[0].mean()
        return (centred * printed).sum(axis) / np.sqrt((centred**2).sum(axis) * (printed**2).sum())

    found = permutation_test(
        (ranks[0],), correlate, permutation_type="pairings", n_resamples=PERMUTATIONS, vectorized=True, rng=len(pairs)
    )
    low = np.quantile(found.null_distribution, LEVEL / 2, method="lower")
    high = np.quantile(found.null_distribution, 1 - LEVEL / 2, method="higher")
    return Order(len(pairs), float(found.statistic), float(low), float(high), float(found.pvalue))


def order_of(cells: Sequence[Cell], results: Results) -> Order | None:
    """Hold the order of the cells that have a measured and a printed number against the printed order."""
    distinct = {(cell.measure, cell.runs): cell for cell in cells if cell.runs and cell.printed is not None}
    pairs = [
        (score.top1, cell.printed)
        for cell in distinct.values()
        if not why_incomparable(cell.runs, results.plan) and (score := results.score(cell))
    ]
    return order(pairs)
