"""Rows of a table compared in pairs, and each cell with its printed number, for these models and for the methods."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import pandas as pd

from mac.experiment import VerdictSettings
from mac.plan import Cell, PlannedTable
from mac.report.differences import Difference, between, models_p
from mac.report.provenance import why_incomparable
from mac.report.results import Results
from mac.report.statistics import LEVEL, Sample, holm
from mac.report.texts import interval_text, p_text

REPRODUCED, DIFFERS, UNDECIDED, OPEN = "reproduced", "differs", "undecided", "open"
HOLDS, CONTRADICTED, NOT_COMPARABLE = "holds", "contradicted", "not comparable"


@dataclass(frozen=True)
class Decision:
    """An outcome and its corrected p, for the trained models and (None: too few seeds) for the methods.

    ``clustered`` holds the p over source groups of each part, uncorrected.
    """

    models: str
    models_p: float
    clustered: list[float]
    methods: str | None = None
    methods_p: float | None = None


def decide(claims: Sequence[Sequence[Difference]]) -> list[Decision]:
    """Decide a family of claims, each that all its differences are above 0.

    A claim holds if each part does (intersection–union: the largest one-sided p counts). It is contradicted if one
    part is (the smallest one-sided p, times the number of parts). Both at half the level, corrected over the family
    (Holm). For a claim of one part this is the two-sided test of that difference.
    """
    found = iter(models_p([difference for parts in claims for difference in parts]))
    pairs = [[next(found) for _ in parts] for parts in claims]
    able = [n for n, parts in enumerate(claims) if all(difference.speaks_of_methods for difference in parts)]
    of_methods = _family([claims[n] for n in able], [[d.methods_p() for d in claims[n]] for n in able])
    of_models = _family(claims, [[larger for _, larger in parts] for parts in pairs])
    methods, clustered = dict(zip(able, of_methods, strict=True)), [[p for p, _ in parts] for parts in pairs]
    return [Decision(*of_models[n], clustered[n], *methods.get(n, ())) for n in range(len(claims))]


def _family(claims: Sequence[Sequence[Difference]], values: list[list[float]]) -> list[tuple[str, float]]:
    """Outcome and corrected p of each claim, from the two-sided p of its parts."""
    directions, smallest = [], []
    for parts, two_sided in zip(claims, values, strict=True):
        above = [p / 2 if d.estimate > 0 else 1 - p / 2 for d, p in zip(parts, two_sided, strict=True)]
        below = [p / 2 if d.estimate < 0 else 1 - p / 2 for d, p in zip(parts, two_sided, strict=True)]
        holds, fails = max(above), min(1.0, len(parts) * min(below))
        directions.append(HOLDS if holds < fails else CONTRADICTED)
        smallest.append(min(1.0, 2 * min(holds, fails)))
    corrected = holm(smallest)
    return [(way if p <= LEVEL else UNDECIDED, p) for way, p in zip(directions, corrected, strict=True)]


def paired(first: dict[int, Sample], second: dict[int, Sample]) -> Difference | None:
    """Compare two cells over the splits both have runs of; None without any, or where their test videos differ."""
    splits = sorted(first.keys() & second.keys())
    if not splits or any(list(first[s].clusters) != list(second[s].clusters) for s in splits):
        return None
    return between([first[s] for s in splits], [second[s] for s in splits])


def compare(table: PlannedTable, results: Results) -> pd.DataFrame:
    """Compare all pairs of a table's measured rows, column by column.

    Returns:
        One line a pair: ``first``, ``second`` and ``column`` name it; ``difference`` is first less second [points];
        ``low`` to ``high`` is its 95 % interval over source groups for these trained models, uncorrected;
        ``mcnemar_p`` is NaN where a side has several runs; ``p_holm`` is the larger of it and ``clustered_p``,
        corrected for all pairs of the table; ``models`` and ``methods`` say which is better, or that it is undecided
        and why.
    """
    measured = [row for row in table.rows if not row.cited]
    found = [
        (first.label, second.label, column, difference)
        for number, column in enumerate(table.columns)
        for first, second in combinations(measured, 2)
        if (difference := paired(*(results.samples(row.cells[number].finetunes) for row in (first, second))))
    ]
    lines = []
    for (first, second, column, difference), decision in zip(found, decide([[d] for *_, d in found]), strict=True):
        better = {HOLDS: f"{first} is better", CONTRADICTED: f"{second} is better", UNDECIDED: UNDECIDED}
        methods = f"{UNDECIDED} ({difference.too_few})"
        if difference.speaks_of_methods:
            interval = interval_text(*difference.interval(of_methods=True))
            methods = f"{better[decision.methods]} ({interval}, p {p_text(decision.methods_p)})"
        tests = (difference.mcnemar_p(), *decision.clustered, decision.models_p)
        numbers = (difference.estimate, *difference.interval(), *tests)
        lines.append((first, second, column, *numbers, better[decision.models], methods))
    heads = ["first", "second", "column", "difference", "low", "high", "mcnemar_p", "clustered_p", "p_holm"]
    return pd.DataFrame(lines, columns=[*heads, "models", "methods"])


class Verdict(NamedTuple):
    """What can be said, in a word and in a sentence."""

    outcome: str
    text: str


def against_printed(cell: Cell, results: Results) -> Verdict:
    """Say whether a cell reproduces its printed number, which is itself one run's on some thousand videos.

    The interval of measured − printed counts both sides' test videos (the printed number's with the same clustering
    as ours) and both sides' training seeds: ours as measured if there are three or more, else, like the printed
    number's, as ``verdicts.seed_sd`` says. Reproduced: it lies within ± ``verdicts.margin``. Differs: it lies outside.
    """
    if not cell.finetunes:
        return Verdict(NOT_COMPARABLE, "only cited: nothing was run")
    if cell.printed is None:
        return Verdict(NOT_COMPARABLE, "no number is printed")
    if reason := why_incomparable(cell.finetunes, results.plan):
        return Verdict(NOT_COMPARABLE, reason)
    samples = list(results.samples(cell.finetunes).values())
    if not samples:
        return Verdict(OPEN, "; ".join(results.reasons(cell)) or "not run yet")
    return judge(samples, cell.printed, results.plan.experiment.verdicts)


def judge(samples: Sequence[Sample], printed: float, settings: VerdictSettings) -> Verdict:
    """Judge one cell's runs, a sample a split, against a printed number [percent]."""
    difference, margin = against_number(samples, printed, settings), settings.margin
    low, high = difference.interval(of_methods=True)
    text = f"{difference.estimate:+.1f} {interval_text(low, high)} points, margin ± {margin:g}"
    if -margin <= low and high <= margin:
        return Verdict(REPRODUCED, text)
    if low > margin or high < -margin:
        return Verdict(DIFFERS, text)
    return Verdict(UNDECIDED, f"{text}; {difference.wanted(settings.seed_sd, margin)}")


def against_number(samples: Sequence[Sample], number: float, settings: VerdictSettings) -> Difference:
    """Take the difference from a number somebody measured in one run on the same test videos.

    Args:
        samples: of one cell, a sample a split.
        number: top-1 [percent]. Its videos are taken to cluster as ours do: its binomial variance is multiplied by the
            ratio of our clustered to our binomial variance (at least 1).
        settings: the standard deviation between seeds that the number is taken to have, and ours too where fewer than
            three seeds were run.
    """
    own = between(samples)
    binomial = own.estimate * (100 - own.estimate) / own.videos
    design = max(own.video_variance / binomial, 1.0) if binomial else 1.0
    theirs = own.videos / len(samples)  # it is of one split, like every printed number
    variances = {"other_video": design * number * (100 - number) / theirs, "other_seed": settings.seed_sd**2}
    if not own.speaks_of_methods:
        variances["other_seed"] += settings.seed_sd**2 / sum(len(part.right) for part in samples)
        variances["seed_parts"] = ()
    return replace(own.less(number), disagreements=None, **variances)
