"""The difference between two accuracies on the same test videos, with its variance over videos and training seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mac.report.scores import Sample
from mac.report.statistics import (
    LEVEL,
    cluster_variance,
    flip_p,
    mcnemar,
    satterthwaite,
    seed_spread,
    t_p,
    t_quantile,
)

TRAININGS_WANTED = 3  # of each side: fewer say too little about the spread between trainings
FEWEST_DEGREES = 2  # of freedom of that spread
MOST_TRAININGS = 100


@dataclass(frozen=True)
class Difference:
    """The first accuracy less the second [points of top-1].

    Attributes:
        totals: what each source group adds to the estimate, (G,).
        weights: the share of the videos each group holds, (G,); they sum to 1.
        seed_parts: variance of the estimate from training again and its degrees of freedom: one of each measured side,
            or one of both, from split to split, where splits were trained once.
        draw_parts: likewise from other draws of the labelled videos, where several were made: of the difference, draw
            by draw, where both sides learned from the same ones.
        trainings: the fewest seeds of a measured side, over all splits.
        sides: how many sides were measured.
        disagreements: videos right by the first only and by the second only; None unless both sides are single runs.
        is_split_to_split: the part in ``seed_parts`` holds the choice of videos, too.
        is_to_number: the second is a number that somebody else measured in one run.
        other_variance: of that number over training seeds, and what one run's videos have more than ours.
    """

    totals: np.ndarray
    weights: np.ndarray
    seed_parts: tuple[tuple[float, int], ...]
    trainings: int
    sides: int
    disagreements: tuple[int, int] | None = None
    is_split_to_split: bool = False
    is_to_number: bool = False
    other_variance: float = 0.0
    draw_parts: tuple[tuple[float, int], ...] = ()

    @property
    def estimate(self) -> float:
        """The difference itself."""
        return float(self.totals.sum())

    @property
    def video_variance(self) -> float:
        """Variance from the choice of source groups."""
        return cluster_variance(self.totals - self.estimate * self.weights)

    @property
    def method_parts(self) -> list[tuple[float, float]]:
        """Variances of the estimate over videos and trainings, each with its degrees of freedom."""
        videos = [] if self.is_split_to_split else [(self.video_variance, len(self.totals) - 1)]
        return [*videos, *self.seed_parts, *self.draw_parts, (self.other_variance, float("inf"))]

    @property
    def speaks_of_methods(self) -> bool:
        """Whether each side was trained often enough, and the spread between its trainings is known."""
        is_known = bool(self.seed_parts) and all(degrees >= FEWEST_DEGREES for _, degrees in self.seed_parts)
        return self.trainings >= TRAININGS_WANTED and is_known

    def wanted(self, assumed_sd: float) -> str:
        """Say how many trainings would decide whether the methods differ, if the numbers stay the same.

        ``assumed_sd`` is the standard deviation between trainings [points] where too few were run.
        """
        fixed = self.video_variance + self.other_variance + sum(variance for variance, _ in self.draw_parts)
        done = self.trainings if self.speaks_of_methods else 0
        each = self.sides * assumed_sd**2
        if done and not self.is_split_to_split:
            each = self.trainings * sum(variance for variance, _ in self.seed_parts)
        for count in range(max(TRAININGS_WANTED, done + 1), MOST_TRAININGS + 1):
            half = t_quantile(self.sides * (count - 1)) * (fixed + each / count) ** 0.5
            if half <= abs(self.estimate):
                return f"about {count} trainings{' a side' if self.sides > 1 else ''} would decide a gap of this size"
        return "too small a gap to decide here"

    def less(self, points: float) -> "Difference":
        """Subtract a constant, to test another value than 0; McNemar's test has no such value."""
        if not points:
            return self
        return replace(self, totals=self.totals - points * self.weights, disagreements=None)

    def negated(self) -> "Difference":
        """Second less first."""
        swapped = self.disagreements and self.disagreements[::-1]
        return replace(self, totals=-self.totals, disagreements=swapped)

    def interval(self, of_methods: bool = False, level: float = LEVEL) -> tuple[float, float]:
        """1 − ``level`` interval: of these trained models over source groups, or of the methods over seeds too."""
        variance, degrees = self.video_variance, len(self.totals) - 1
        if of_methods:
            variance, degrees = sum(part for part, _ in self.method_parts), satterthwaite(self.method_parts)
        half = t_quantile(degrees, level) * variance**0.5 if degrees > 0 else float("inf")
        return self.estimate - half, self.estimate + half

    def methods_p(self) -> float:
        """Two-sided p of the methods being equal (Student's t with Satterthwaite's degrees of freedom)."""
        variance = sum(part for part, _ in self.method_parts)
        return t_p(self.estimate, variance, satterthwaite(self.method_parts))

    def mcnemar_p(self) -> float | None:
        """Exact p of these two models being equal, as if videos were independent; None for several runs a side."""
        return None if self.disagreements is None else mcnemar(*self.disagreements)


def between(first: Sequence[Sample], second: Sequence[Sample] = ()) -> Difference:
    """Compare two rows on the same videos, or (without a second) take one row's accuracy; shares are treated alike.

    Args:
        first: one sample a split.
        second: the same splits with the same videos in the same order. Splits weigh the same.

    Returns:
        The difference in points; the accuracy in percent if there is no second.
    """
    sides = [side for side in (first, second) if side]
    sizes = [part.right.shape[1] for part in first]
    shares = np.repeat([1 / (size * len(first)) for size in sizes], sizes)
    accuracy, other = (np.concatenate([part.right.mean(0) for part in side] or [[0.0]]) for side in (first, second))
    names, codes = np.unique(np.concatenate([part.clusters for part in first]), return_inverse=True)
    totals = np.bincount(codes, 100 * shares * (accuracy - other), len(names))
    weights = np.bincount(codes, shares, len(names))
    disagreements = None
    if second and all(len(part.right) == 1 and part.right.dtype == bool for side in sides for part in side):
        ours, theirs = (np.concatenate([part.right[0] for part in side]) for side in sides)
        disagreements = (int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))
    trainings = min(sum(len(part.means("seed")[0]) for part in side) for side in sides)
    parts, is_split_to_split = _seed_parts(sides)
    about = trainings, len(sides), disagreements, is_split_to_split
    return Difference(totals, weights, parts, *about, draw_parts=_draw_parts(sides))


def _seed_parts(sides: Sequence[Sequence[Sample]]) -> tuple[tuple[tuple[float, int], ...], bool]:
    """Variance of the estimate from training again, with degrees of freedom; and whether it is from split to split.

    Each side's spread between the seeds of a split, if all sides have enough of them. Else, of two sides, the spread
    of their difference from split to split: how hard a split is falls on both. It holds the choice of videos, too.
    """
    tops = [[part.means("seed")[1] for part in side] for side in sides]
    found = [seed_spread(side) for side in tops]
    parts = tuple((spread.of_mean, spread.degrees) for spread in found if spread)
    if len(parts) == len(sides) and all(degrees >= FEWEST_DEGREES for _, degrees in parts):
        return parts, False
    if len(sides) == 2 and (splits := len(tops[0])) > FEWEST_DEGREES:
        gaps = np.array([first.mean() - second.mean() for first, second in zip(*tops, strict=True)])
        return ((float(gaps.var(ddof=1)) / splits, splits - 1),), True
    return parts, False


def _draw_parts(sides: Sequence[Sequence[Sample]]) -> tuple[tuple[float, int], ...]:
    """Variance of the estimate from other draws of the labelled videos, with degrees of freedom.

    Of two sides that learned from the same draws it is the variance of their difference: an easy draw is easy for both.
    """
    drawn = [[part.means("draw") for part in side] for side in sides]
    tops = [[means for _, means in side] for side in drawn]
    if len(sides) == 2 and all(first[0] == second[0] for first, second in zip(*drawn, strict=True)):
        tops = [[first - second for first, second in zip(*tops, strict=True)]]
    found = [seed_spread(side) for side in tops]
    return tuple((spread.of_mean, spread.degrees) for spread in found if spread)


def models_p(differences: Sequence[Difference]) -> list[tuple[float, float]]:
    """Test whether the two trained models of each difference are equal.

    A number that was measured elsewhere can't be paired with ours by video: Student's t then takes the place of flipped
    signs. Both are of the same test videos, so their choice counts once.

    Returns:
        Two two-sided p a difference: over source groups, and the larger of that and McNemar's.
    """
    clustered = [1.0] * len(differences)
    by_groups: dict[int, list[int]] = {}
    for number, difference in enumerate(differences):
        if difference.is_to_number:
            clustered[number] = t_p(difference.estimate, difference.video_variance, len(difference.totals) - 1)
        else:
            by_groups.setdefault(len(difference.totals), []).append(number)
    for numbers in by_groups.values():
        found = flip_p(np.array([differences[number].totals for number in numbers]))
        for number, p in zip(numbers, found.tolist(), strict=True):
            clustered[number] = p
    exact = [difference.mcnemar_p() or 0.0 for difference in differences]
    return [(p, max(p, other)) for p, other in zip(clustered, exact, strict=True)]
