"""Simulated tables: what the report's decisions do where the truth is known."""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from mac.report import comparisons, printed
from mac.report.comparisons import CONTRADICTED, HOLDS, UNDECIDED
from mac.report.differences import between
from mac.report.scores import Sample

SEED_SD = 1.0  # points between trainings of one method
BASE = 80.0  # percent: all rows but the first
# Shares of the variance of how hard a video is: for every model alike (group, video), for one method (group), for one
# trained model (group, and the rest).
GROUP, VIDEO, METHOD_GROUP, MODEL_GROUP = 0.3, 0.2, 0.05, 0.1
SIGNS = {HOLDS: 1, CONTRADICTED: -1, UNDECIDED: 0, None: 0}


def group_sizes(videos: int) -> np.ndarray:
    """Source group of each video: groups of 4 to 7, the last one as large as is left."""
    sizes = np.random.default_rng(videos).integers(4, 8, videos)
    return np.repeat(np.arange(videos), sizes)[:videos]


class World:
    """The test videos of one simulated table; models answer them."""

    def __init__(self, rng: np.random.Generator, videos: int) -> None:
        """Draw how hard each video is."""
        self._rng, self.clusters = rng, group_sizes(videos)
        self._groups = int(self.clusters[-1]) + 1
        self._hard = self._by_group(GROUP) + rng.normal(0, VIDEO**0.5, videos)

    def method(self) -> np.ndarray:
        """Draw what one method finds hard, whichever way it was trained: (videos,)."""
        return self._hard + self._by_group(METHOD_GROUP)

    def run(self, accuracy: float, seeds: int, method: np.ndarray | None = None) -> tuple[Sample, float]:
        """Train and test a method (None: a new one) ``seeds`` times.

        Returns:
            The videos that are right, and the true accuracy of what was trained [percent].
        """
        own = self.method() if method is None else method
        tops = accuracy + self._rng.normal(0, SEED_SD, seeds)
        rest = 1 - GROUP - VIDEO - METHOD_GROUP - MODEL_GROUP
        right = [
            own + self._by_group(MODEL_GROUP) + self._rng.normal(0, rest**0.5, len(own)) < ndtri(top / 100)
            for top in tops
        ]
        return Sample(self.clusters, np.array(right)), float(tops.mean())

    def _by_group(self, variance: float) -> np.ndarray:
        return self._rng.normal(0, variance**0.5, self._groups)[self.clusters]


@dataclass
class Tally:
    """Counts over tables; ``false_*`` are tables with any claim of the wrong sign."""

    tables: int = 0
    pairs: int = 0
    models_found: int = 0
    methods_found: int = 0
    false_models: int = 0
    false_methods: int = 0
    claim_models: int = 0
    claim_methods: int = 0
    false_claim_models: int = 0
    false_claim_methods: int = 0

    def rates(self) -> dict[str, float]:
        """Each count as a share [percent], of pairs or of tables."""
        of_pairs = ("models_found", "methods_found")
        names = [name for name in vars(self) if name not in ("tables", "pairs")]
        totals = {name: self.pairs if name in of_pairs else self.tables for name in names}
        return {name: round(100 * getattr(self, name) / totals[name], 1) for name in names}


class Row(NamedTuple):
    """A simulated row: its runs, a sample a split; how good its trainings truly are, on average, and its method."""

    samples: list[Sample]
    trained: float
    method: float


def simulate(difference: float, videos: int, seeds: int, tables: int, splits: int = 1, first: int = 0) -> Tally:
    """Decide simulated tables of 3 to 5 rows whose first row is ``difference`` points better than all others.

    Each row is trained with ``seeds`` seeds on each of ``splits`` splits, which have other test videos. The claim is
    that the first row is best. ``first`` numbers the tables: other numbers, other tables.
    """
    tally = Tally()
    for table in range(first, first + tables):
        rng = np.random.default_rng((table, videos, seeds, splits, int(10 * difference)))
        worlds = [World(rng, videos) for _ in range(splits)]
        accuracies = [BASE + difference, *[BASE] * (2 + table % 3)]
        rows = [_row(worlds, accuracy, seeds) for accuracy in accuracies]
        _count_pairs(tally, rows)
        _count_claim(tally, rows, difference)
        tally.tables += 1
    return tally


def _row(worlds: list[World], accuracy: float, seeds: int) -> Row:
    found = [world.run(accuracy, seeds) for world in worlds]
    return Row([sample for sample, _ in found], float(np.mean([top for _, top in found])), accuracy)


def _count_pairs(tally: Tally, rows: list[Row]) -> None:
    pairs = list(combinations(rows, 2))
    decisions = comparisons.decide([[between(a.samples, b.samples)] for a, b in pairs])
    false_models = false_methods = False
    for (a, b), decision in zip(pairs, decisions, strict=True):
        false_models |= SIGNS[decision.models] not in (0, np.sign(a.trained - b.trained))
        false_methods |= SIGNS[decision.methods] not in (0, np.sign(a.method - b.method))
        if a is rows[0]:
            tally.pairs += 1
            tally.models_found += decision.models == HOLDS
            tally.methods_found += decision.methods == HOLDS
    tally.false_models += false_models
    tally.false_methods += false_methods


def _count_claim(tally: Tally, rows: list[Row], difference: float) -> None:
    (decision,) = comparisons.decide([[between(rows[0].samples, row.samples) for row in rows[1:]]])
    is_best = rows[0].trained > max(row.trained for row in rows[1:])
    tally.false_claim_models += decision.models == (CONTRADICTED if is_best else HOLDS)
    tally.false_claim_methods += decision.methods in ((CONTRADICTED,) if difference > 0 else (HOLDS, CONTRADICTED))
    tally.claim_models += decision.models == HOLDS
    tally.claim_methods += decision.methods == HOLDS


class Reruns(NamedTuple):
    """Shares [percent] of cells: reproduced and inside the prediction interval where a printed number is a re-run.

    ``missed``: reproduced although the printed number is of a method ``margin`` points better or worse. ``margin`` is
    the smallest that 80 % of the re-runs are reproduced within [points].
    """

    reproduced: float
    inside: float
    missed: float
    margin: float


def rerun(accuracy: float, videos: int, seeds: int, margin: float, cells: int, first: int = 0) -> Reruns:
    """Hold simulated cells against a printed number from one run on the same test videos."""
    reproduced, inside, missed, wanted = [], [], [], []
    for cell in range(first, first + cells):
        world = World(np.random.default_rng((cell, videos, seeds)), videos)
        method = world.method()
        sample, _ = world.run(accuracy, seeds, method)
        again, _ = world.run(accuracy, 1, method)
        other, _ = world.run(accuracy + (margin if cell % 2 else -margin), 1)
        same, off = (100 * float(one.right.mean()) for one in (again, other))
        low, high = printed.predict_rerun([sample], SEED_SD)
        inside.append(low <= same <= high)
        reproduced.append(printed.judge(sample, same, margin, SEED_SD).outcome == printed.REPRODUCED)
        missed.append(printed.judge(sample, off, margin, SEED_SD).outcome == printed.REPRODUCED)
        limits = printed.against_number(sample, same, SEED_SD).interval(of_methods=True, level=0.1)
        wanted.append(max(map(abs, limits)))
    shares = [round(100 * float(np.mean(values)), 1) for values in (reproduced, inside, missed)]
    return Reruns(shares[0], shares[1], shares[2], round(float(np.quantile(wanted, 0.8)), 2))
