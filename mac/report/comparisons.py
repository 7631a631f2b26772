"""Rows of a table compared in pairs: what holds for these trained models, and what for the methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from mac.plan import Cell, PlannedTable
from mac.report.differences import SEEDS_WANTED, Difference, between, models_p
from mac.report.results import Results
from mac.report.statistics import LEVEL, holm, p_text

UNDECIDED = "undecided"


@dataclass(frozen=True)
class Comparison:
    """Two rows in one column: ``first`` less ``second`` [points].

    ``low`` to ``high`` is the 95 % interval over source groups for these trained models, uncorrected. ``mcnemar_p`` is
    None where a side has several runs. ``p_holm`` is the larger of it and ``clustered_p``, corrected for all
    comparisons of the table. ``models`` and ``methods`` say which is better, or that it is undecided and why.
    """

    first: str
    second: str
    column: str
    difference: float
    low: float
    high: float
    mcnemar_p: float | None
    clustered_p: float
    p_holm: float
    models: str
    methods: str


@dataclass(frozen=True)
class Decision:
    """One comparison of a family: corrected p's, and the sign found (0: undecided; None: too few seeds to say)."""

    clustered_p: float
    p_holm: float
    models: int
    methods_p: float | None
    methods: int | None


def decide(differences: Sequence[Difference]) -> list[Decision]:
    """Decide a family of comparisons, of the models and of the methods, each corrected by Holm's procedure."""
    found = models_p(differences)
    corrected = holm([p for _, p in found])
    able = [number for number, difference in enumerate(differences) if difference.speaks_of_methods]
    of_methods = dict(zip(able, holm([differences[number].methods_p() for number in able]), strict=True))
    decisions = []
    for number, (difference, (clustered, _), p) in enumerate(zip(differences, found, corrected, strict=True)):
        sign = 1 if difference.estimate > 0 else -1
        p_methods = of_methods.get(number)
        methods = None if p_methods is None else sign if p_methods <= LEVEL else 0
        decisions.append(Decision(clustered, p, sign if p <= LEVEL else 0, p_methods, methods))
    return decisions


def paired(first: Cell, second: Cell, results: Results) -> Difference | None:
    """Compare two cells over the splits both have runs of; None without any, or where their test videos differ."""
    ours, theirs = results.samples(first), results.samples(second)
    splits = sorted(ours.keys() & theirs.keys())
    if not splits or any(len(ours[s].clusters) != len(theirs[s].clusters) for s in splits):
        return None
    if any((ours[s].clusters != theirs[s].clusters).any() for s in splits):
        return None
    return between([ours[s] for s in splits], [theirs[s] for s in splits])


def too_few(seeds: int) -> str:
    """Say why nothing is said of the methods."""
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def compare(table: PlannedTable, results: Results) -> list[Comparison]:
    """Compare all pairs of a table's measured rows, column by column."""
    found = []
    for number, column in enumerate(table.columns):
        rows = [(row.label, row.cells[number]) for row in table.rows if not row.cited]
        for (first, mine), (second, theirs) in combinations(rows, 2):
            if difference := paired(mine, theirs, results):
                found.append((first, second, column, difference))
    decisions = decide([difference for *_, difference in found])
    return [_phrase(*names, d, decision) for (*names, d), decision in zip(found, decisions, strict=True)]


def _phrase(first: str, second: str, column: str, difference: Difference, decision: Decision) -> Comparison:
    better = {1: f"{first} is better", -1: f"{second} is better", 0: UNDECIDED}
    methods = f"{UNDECIDED} ({too_few(difference.seeds)})"
    if difference.seeds >= SEEDS_WANTED:
        low, high = difference.methods_interval()
        methods = f"{better[decision.methods]} ([{low:+.1f}, {high:+.1f}], p {p_text(decision.methods_p)})"
    low, high = difference.interval()
    tests = (difference.mcnemar_p(), decision.clustered_p, decision.p_holm, better[decision.models])
    return Comparison(first, second, column, difference.estimate, low, high, *tests, methods)
