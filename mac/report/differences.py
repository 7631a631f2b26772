"""The difference between two accuracies on the same test videos, with its variance over videos and training seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from mac.report.statistics import LEVEL, Sample, Z, cluster_variance, flip_p, mcnemar, t_p

SEEDS_WANTED = 3  # of each side: fewer say too little about the spread between trainings
MOST_SEEDS = 100


@dataclass(frozen=True)
class Difference:
    """The first accuracy less the second [points of top-1].

    Attributes:
        totals: what each source group adds to the estimate, (G,).
        weights: the share of the videos each group holds, (G,); they sum to 1.
        seed_parts: variance of the estimate from training seeds and its degrees of freedom, one a measured side.
        seeds: the fewest seeds of a measured side.
        videos: test videos, added up over splits.
        disagreements: videos right by the first only and by the second only; None unless both sides are single runs.
        other_video: variance over test videos of a number that was measured elsewhere.
        other_seed: variance over training seeds of that number.
    """

    totals: np.ndarray
    weights: np.ndarray
    seed_parts: tuple[tuple[float, int], ...]
    seeds: int
    videos: int
    disagreements: tuple[int, int] | None = None
    other_video: float = 0.0
    other_seed: float = 0.0

    @property
    def estimate(self) -> float:
        """The difference itself."""
        return float(self.totals.sum())

    @property
    def video_variance(self) -> float:
        """Variance from the choice of source groups, and of the other number's videos."""
        return cluster_variance(self.totals - self.estimate * self.weights) + self.other_video

    @property
    def seed_variance(self) -> float:
        """Variance from training seeds, as far as they were run."""
        return sum(variance for variance, _ in self.seed_parts) + self.other_seed

    @property
    def speaks_of_methods(self) -> bool:
        """Whether enough seeds were run on each side."""
        return self.seeds >= SEEDS_WANTED

    @property
    def too_few(self) -> str:
        """How many seeds were run, as the reason why nothing is said of the methods."""
        return "one seed" if self.seeds == 1 else f"{self.seeds} seeds"

    def wanted(self, assumed_sd: float, margin: float = 0.0) -> str:
        """Say what would decide whether the difference is beyond ± ``margin`` [points], if the numbers stay the same.

        ``assumed_sd`` is the standard deviation between seeds [points] where too few were run, and of a number that was
        measured elsewhere, whose variance no run of ours makes smaller.
        """
        sides, done = max(len(self.seed_parts), 1), self.seeds if self.speaks_of_methods else 0
        per_seed = sides * assumed_sd**2
        if done and self.seed_parts:
            per_seed = self.seeds * sum(variance for variance, _ in self.seed_parts)
        fixed = self.other_video + (assumed_sd**2 if self.other_video else 0.0)
        gap, own = abs(abs(self.estimate) - margin), self.video_variance - self.other_video
        for seeds in range(max(SEEDS_WANTED, done + 1), MOST_SEEDS + 1):
            if student.ppf(1 - LEVEL / 2, sides * (seeds - 1)) ** 2 * (own + fixed + per_seed / seeds) <= gap**2:
                return f"about {seeds} seeds{' a side' if sides > 1 else ''} would decide a gap of this size"
        room = (gap / Z) ** 2 - fixed - per_seed / MOST_SEEDS
        if room <= 0 and fixed:
            return "no number of seeds or videos decides a gap of this size: the other number is of a single run"
        if room <= 0 or (videos := own * self.videos / room) > 1_000_000:
            return "a gap of this size is too small to be decided"
        return (
            f"on {self.videos:,} videos no number of seeds would decide a gap of this size; about {videos:,.0f} videos"
            " would"
        )

    def less(self, points: float) -> "Difference":
        """Subtract a constant, to test another value than 0; McNemar's test has no such value."""
        if not points:
            return self
        return replace(self, totals=self.totals - points * self.weights, disagreements=None)

    def negated(self) -> "Difference":
        """Second less first."""
        swapped = self.disagreements and self.disagreements[::-1]
        return replace(self, totals=-self.totals, disagreements=swapped)

    def interval(self, of_methods: bool = False) -> tuple[float, float]:
        """95 % interval: of these trained models over source groups, or of the methods over training seeds too."""
        variance, degrees = self.video_variance, len(self.totals) - 1
        if of_methods:
            variance, degrees = variance + self.seed_variance, self._degrees()
        half = float(student.ppf(1 - LEVEL / 2, degrees)) * variance**0.5 if degrees > 0 else float("inf")
        return self.estimate - half, self.estimate + half

    def methods_p(self) -> float:
        """Two-sided p of the methods being equal (Student's t with Satterthwaite's degrees of freedom)."""
        return t_p(self.estimate, self.video_variance + self.seed_variance, self._degrees())

    def mcnemar_p(self) -> float | None:
        """Exact p of these two models being equal, as if videos were independent; None for several runs a side."""
        return None if self.disagreements is None else mcnemar(*self.disagreements)

    def _degrees(self) -> float:
        parts = [(self.video_variance, len(self.totals) - 1), *self.seed_parts]
        share = sum(variance**2 / degrees for variance, degrees in parts if degrees > 0)
        return (self.video_variance + self.seed_variance) ** 2 / share if share else float("inf")


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
    seeds = min(len(part.right) for side in sides for part in side)
    return Difference(totals, weights, tuple(map(_seed_part, sides)), seeds, sum(sizes), disagreements)


def _seed_part(side: Sequence[Sample]) -> tuple[float, int]:
    """Variance of a side's mean from its seeds, pooled over splits, and its degrees of freedom (0: nothing known)."""
    tops = [100 * part.right.mean(1) for part in side]
    degrees = sum(len(top) - 1 for top in tops)
    if not degrees:
        return 0.0, 0
    pooled = sum(float(((top - top.mean()) ** 2).sum()) for top in tops) / degrees
    return pooled * sum(1 / len(top) for top in tops) / len(tops) ** 2, degrees


def models_p(differences: Sequence[Difference]) -> list[tuple[float, float]]:
    """Test whether the two trained models of each difference are equal.

    A number that was measured elsewhere can't be paired with ours by video: Student's t then takes the place of flipped
    signs.

    Returns:
        Two two-sided p a difference: over source groups, and the larger of that and McNemar's.
    """
    clustered = [1.0] * len(differences)
    by_groups: dict[int, list[int]] = {}
    for number, difference in enumerate(differences):
        if difference.other_video:
            clustered[number] = t_p(difference.estimate, difference.video_variance, len(difference.totals) - 1)
        else:
            by_groups.setdefault(len(difference.totals), []).append(number)
    for numbers in by_groups.values():
        found = flip_p(np.array([differences[number].totals for number in numbers]))
        for number, p in zip(numbers, found.tolist(), strict=True):
            clustered[number] = p
    exact = [difference.mcnemar_p() or 0.0 for difference in differences]
    return [(p, max(p, other)) for p, other in zip(clustered, exact, strict=True)]
