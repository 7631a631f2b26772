"""Simulated tables: what the report's decisions do where the truth is known."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mac.experiment import VerdictSettings
from mac.report import comparisons
from mac.report.comparisons import CONTRADICTED, HOLDS, UNDECIDED
from mac.report.differences import between
from mac.report.statistics import Sample

SEED_SD = 1.0  # points between trainings of one method
BASE = 80.0  # percent: all rows but the first
# Shares of the variance of how hard a video is: for every model alike (group, video), for one method (group), for one
# trained model (group, and the rest).
GROUP, VIDEO, METHOD_GROUP, MODEL_GROUP = 0.3, 0.2, 0.05, 0.1
SIGNS = {HOLDS: 1, CONTRADICTED: -1, UNDECIDED: 0, None: 0}
SETTINGS = VerdictSettings(margin=5.0, seed_sd=SEED_SD)


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

    def run(self, accuracy: float, seeds: int) -> tuple[Sample, float]:
        """Train and test one method ``seeds`` times; the true accuracy of what was trained [percent] comes along."""
        own = self._hard + self._by_group(METHOD_GROUP)
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
    false_claims: int = 0
    claim_models: int = 0
    claim_methods: int = 0
    reproduced: int = 0
    differs: int = 0
    false_verdicts: int = 0

    def rates(self) -> dict[str, float]:
        """Each count as a share [percent], of pairs or of tables."""
        of_pairs = ("models_found", "methods_found")
        names = [name for name in vars(self) if name not in ("tables", "pairs")]
        totals = {name: self.pairs if name in of_pairs else self.tables for name in names}
        return {name: round(100 * getattr(self, name) / totals[name], 1) for name in names}


def simulate(difference: float, videos: int, seeds: int, tables: int, seed: int = 0) -> Tally:
    """Decide simulated tables of 3 to 5 rows whose first row is ``difference`` points better than all others.

    The claim is that the first row is best. The printed number of its cell is one run of a method that is
    ``difference`` points worse, on the same videos.
    """
    tally = Tally()
    for table in range(tables):
        rng = np.random.default_rng((seed, table, videos, seeds, int(10 * difference)))
        world, rows = World(rng, videos), 3 + table % 3
        accuracies = [BASE + difference, *[BASE] * (rows - 1)]
        found = [world.run(accuracy, seeds) for accuracy in accuracies]
        _count_pairs(tally, found, accuracies)
        _count_claim(tally, found, difference)
        printed = 100 * float(world.run(BASE, 1)[0].right.mean())
        outcome = comparisons.judge([found[0][0]], printed, SETTINGS).outcome
        tally.reproduced += outcome == comparisons.REPRODUCED
        tally.differs += outcome == comparisons.DIFFERS
        is_near = difference < SETTINGS.margin
        tally.false_verdicts += outcome == (comparisons.DIFFERS if is_near else comparisons.REPRODUCED)
        tally.tables += 1
    return tally


def _count_pairs(tally: Tally, found: list[tuple[Sample, float]], accuracies: list[float]) -> None:
    pairs = [(a, b) for a in range(len(found)) for b in range(a + 1, len(found))]
    decisions = comparisons.decide([[between([found[a][0]], [found[b][0]])] for a, b in pairs])
    false_models = false_methods = False
    for (a, b), decision in zip(pairs, decisions, strict=True):
        models, methods = np.sign(found[a][1] - found[b][1]), np.sign(accuracies[a] - accuracies[b])
        false_models |= SIGNS[decision.models] not in (0, models)
        false_methods |= SIGNS[decision.methods] not in (0, methods)
        if a == 0:
            tally.pairs += 1
            tally.models_found += decision.models == HOLDS
            tally.methods_found += decision.methods == HOLDS
    tally.false_models += false_models
    tally.false_methods += false_methods


def _count_claim(tally: Tally, found: list[tuple[Sample, float]], difference: float) -> None:
    parts = [between([found[0][0]], [other]) for other, _ in found[1:]]
    (decision,) = comparisons.decide([parts])
    best = found[0][1] - max(top for _, top in found[1:])
    false_models = decision.models == (HOLDS if best <= 0 else CONTRADICTED)
    wrong = (CONTRADICTED,) if difference > 0 else (HOLDS, CONTRADICTED)
    tally.false_claims += bool(false_models or decision.methods in wrong)
    tally.claim_models += decision.models == HOLDS
    tally.claim_methods += decision.methods == HOLDS
