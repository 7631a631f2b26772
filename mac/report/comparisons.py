"""Claims decided, and rows of a table compared in pairs, for these trained models and for the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from mac.plan import Cell, PlannedTable
from mac.report.differences import Difference, between, models_p
from mac.report.printed import UNDECIDED, predict_rerun, printed_split, where
from mac.report.provenance import why_incomparable
from mac.report.results import Results
from mac.report.scores import Sample
from mac.report.statistics import LEVEL, holm
from mac.report.texts import interval_text, p_text, points_text

HOLDS, CONTRADICTED, TOO_FEW = "holds", "contradicted", "too few trainings"


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
        corrected for all pairs of the table; ``models`` and ``method`` say which is better, or that it is undecided
        and why; ``printed`` is the printed difference, and whether it lies where training both again would put it.
    """
    measured = [row for row in table.rows if not row.cited]
    found = [
        (first, second, number, difference)
        for number in range(len(table.columns))
        for first, second in combinations(measured, 2)
        if (difference := paired(*(results.samples(row.cells[number]) for row in (first, second))))
    ]
    lines = []
    for (first, second, number, difference), decision in zip(found, decide([[d] for *_, d in found]), strict=True):
        better = {HOLDS: f"{first.label} is better", CONTRADICTED: f"{second.label} is better", UNDECIDED: UNDECIDED}
        method = TOO_FEW
        if difference.speaks_of_methods:
            interval = interval_text(*difference.interval(of_methods=True))
            method = f"{better[decision.methods]} ({interval}, p {p_text(decision.methods_p)})"
        tests = (difference.mcnemar_p(), *decision.clustered, decision.models_p)
        numbers = (difference.estimate, *difference.interval(), *tests)
        printed = _printed_gap(first.cells[number], second.cells[number], results)
        labels = first.label, second.label, table.columns[number]
        lines.append((*labels, *numbers, better[decision.models], method, printed))
    heads = ["first", "second", "column", "difference", "low", "high", "mcnemar_p", "clustered_p", "p_holm"]
    return pd.DataFrame(lines, columns=[*heads, "models", "method", "printed"])


def _printed_gap(first: Cell, second: Cell, results: Results) -> str:
    """Write the printed difference of two cells and whether a re-run of both could give it; "" where none compares."""
    if None in (first.printed, second.printed) or why_incomparable(first.runs + second.runs, results.plan):
        return ""
    ours, theirs = (results.samples(cell) for cell in (first, second))
    split = printed_split(ours.keys() & theirs.keys())
    gap = first.printed - second.printed
    low, high = predict_rerun((ours[split], theirs[split]), results.plan.experiment.verdicts.seed_sd)
    return f"{points_text(gap)}, {where(gap, low, high)} {interval_text(low, high)}"
