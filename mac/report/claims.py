"""Claims, judged on the results of a scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mac.claims import Claim, Expression, Operand
from mac.plan import Cell, Plan, PlannedTable
from mac.report.comparisons import (
    CONTRADICTED,
    HOLDS,
    NOT_COMPARABLE,
    OPEN,
    UNDECIDED,
    Decision,
    against_number,
    decide,
    paired,
    too_few,
)
from mac.report.differences import Difference, between
from mac.report.provenance import why_incomparable
from mac.report.results import Results
from mac.report.statistics import p_text

OUTCOMES = (HOLDS, CONTRADICTED, UNDECIDED, OPEN, NOT_COMPARABLE)


@dataclass(frozen=True)
class Judgement:
    """A claim of a table: one of ``OUTCOMES``, and the numbers it rests on."""

    table: str
    claim: str
    outcome: str
    evidence: str


@dataclass(frozen=True)
class Part:
    """One comparison a claim is made of: ``text`` names it; the claim says that ``difference`` is above 0."""

    text: str
    difference: Difference
    shown: Difference  # before a margin or a number of points was taken off


class _SettledError(Exception):
    """A claim has its outcome before any test: carries it and why."""

    def __init__(self, outcome: str, evidence: str) -> None:
        super().__init__(evidence)
        self.outcome, self.evidence = outcome, evidence


def judge(plan: Plan, results: Results) -> list[Judgement]:
    """Judge every claim of a plan, in the tables' order."""
    return [judgement for table in plan.tables.values() for judgement in judge_table(table, results)]


def judge_table(table: PlannedTable, results: Results) -> list[Judgement]:
    """Judge one table's claims together: p values are corrected for their number (Holm)."""
    settled: dict[int, Judgement] = {}
    tested: dict[int, list[Part]] = {}
    for number, claim in enumerate(table.claims):
        try:
            tested[number] = list(_parts(claim, table, results))
        except _SettledError as found:
            settled[number] = Judgement(table.name, claim.text, found.outcome, found.evidence)
    decided = decide([[part.difference for part in parts] for parts in tested.values()])
    for (number, parts), decision in zip(tested.items(), decided, strict=True):
        outcome, evidence = _phrase(parts, decision, results)
        settled[number] = Judgement(table.name, table.claims[number].text, outcome, evidence)
    return [settled[number] for number in range(len(table.claims))]


def _parts(claim: Claim, table: PlannedTable, results: Results) -> Iterator[Part]:
    """Spell a claim out as comparisons.

    Raises:
        _SettledError: a number is missing, or not comparable, or the claim needs no test.
    """
    if claim.groups:
        raise _count_groups(claim.groups, table, results)
    for first, second, points, by in _comparisons(claim, table):
        for column, name in enumerate(table.columns):
            text = f"{first} over {second}" + (f" ({name})" if len(table.columns) > 1 else "")
            shown = _difference(first, second, column, table, results, bool(by))
            yield Part(text, shown.less(points), shown)


def _comparisons(claim: Expression, table: PlannedTable) -> Iterator[tuple[Operand, Operand, float, float]]:
    """First, second, how much more the first must have, and how much of that is the paper's number."""
    if claim.best is not None:
        yield from ((claim.best, row.label, 0.0, 0.0) for row in table.rows if row.label != claim.best)
    elif claim.greater:
        yield (*claim.greater, 0.0, 0.0)
    elif claim.at_least:
        yield (*claim.at_least, claim.by - claim.margin, claim.by)
    for part in claim.all or []:
        yield from _comparisons(part, table)


def _difference(
    first: Operand, second: Operand, column: int, table: PlannedTable, results: Results, has_number: bool
) -> Difference:
    """Compare two operands in one column; ``has_number`` says that the claim contains one of the paper's numbers."""
    sides = [_resolve(operand, column, table) for operand in (first, second)]
    cells = [side for side in sides if isinstance(side, Cell)]
    runs = [i for cell in cells for i in cell.finetunes]
    reason = why_incomparable(runs, results.plan)
    exact = float in (type(first), type(second))
    if reason and (has_number or (len(cells) < 2 and not exact)):
        raise _SettledError(NOT_COMPARABLE, f"the paper's numbers are of the whole, real data; here {reason}")
    if not cells or None in sides:
        raise _SettledError(NOT_COMPARABLE, "no number of it was measured or printed")
    samples = [results.samples(cell) for cell in cells]
    if not all(samples):
        raise _open(cells, results)
    if len(cells) == 2:
        difference = paired(*samples)
        if difference is None:
            raise _SettledError(NOT_COMPARABLE, f"{first} and {second} were tested on different videos")
        return difference
    (number,) = (side for side in sides if not isinstance(side, Cell))
    own, settings = list(samples[0].values()), results.plan.experiment.verdicts
    found = between(own).less(number) if exact else against_number(own, number, settings)
    return found if sides[0] is cells[0] else found.negated()


def _open(cells: Sequence[Cell], results: Results) -> _SettledError:
    reasons = [reason for cell in cells for reason in results.reasons(cell)]
    return _SettledError(OPEN, "; ".join(reasons) or "pending")


def _resolve(operand: Operand, column: int, table: PlannedTable) -> Cell | float | None:
    """Find what an operand stands for: a cell that is run, or a number."""
    if isinstance(operand, float):
        return operand
    for reference in table.references:
        if reference.label == operand:
            return reference.value
    (row,) = (row for row in [*table.rows, *table.elsewhere] if row.label == operand)
    return row.cells[column].printed if row.cited else row.cells[column]


def _count_groups(pair: Sequence[str], table: PlannedTable, results: Results) -> _SettledError:
    cells = [_resolve(operand, 0, table) for operand in pair]
    if not all(isinstance(cell, Cell) for cell in cells):
        return _SettledError(NOT_COMPARABLE, "one of the two is only cited: there are no predictions to count")
    found = [results.predictions(cell.finetunes[0]) for cell in cells]
    if any(predictions is None for predictions in found):
        return _open(cells, results)
    ours, other = (part.set_index("path").eval("label == predicted").sort_index() for part in found)
    if not ours.index.equals(other.index):
        return _SettledError(NOT_COMPARABLE, f"{pair[0]} and {pair[1]} were tested on different videos")
    counts = [int(part.sum()) for part in (ours & ~other, other & ~ours, ~ours & ~other)]
    names = (f"right by {pair[0]} only", f"by {pair[1]} only", "by neither")
    text = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    first = " (first seed and split)" if any(len(cell.finetunes) > 1 for cell in cells) else ""
    return _SettledError(HOLDS if all(counts) else CONTRADICTED, f"{text}, of {len(ours)} videos{first}")


def _phrase(parts: list[Part], decision: Decision, results: Results) -> tuple[str, str]:
    is_of_methods = decision.methods is not None
    outcome = decision.methods if is_of_methods else UNDECIDED
    shown = []
    for part in parts:
        low, high = part.shown.methods_interval() if is_of_methods else part.shown.interval()
        shown.append(f"{part.text} {part.shown.estimate:+.1f} [{low:+.1f}, {high:+.1f}]")
    numbers = ", ".join(shown)
    if is_of_methods:
        evidence = f"p {p_text(decision.methods_p)}, {numbers}"
    else:
        reason = too_few(min(part.difference.seeds for part in parts))
        evidence = f"{reason}; these trained models: {decision.models} (p {p_text(decision.models_p)}), {numbers}"
    if outcome == UNDECIDED:
        worst = min(parts, key=lambda part: part.difference.estimate).difference
        text = worst.wanted(results.plan.experiment.verdicts.seed_sd)
        evidence += f". {text[0].upper()}{text[1:]}"
    return outcome, evidence
