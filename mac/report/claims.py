"""Claims, judged on the results of a scale: for these trained models, and for the method."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from mac.claims import Claim, Expression, Operand
from mac.plan import Cell, PlannedTable
from mac.report.comparisons import CONTRADICTED, HOLDS, TOO_FEW, UNDECIDED, Decision, decide, paired
from mac.report.differences import Difference, between
from mac.report.printed import NOT_COMPARABLE, OPEN, Verdict, against_number, printed_split
from mac.report.provenance import why_incomparable
from mac.report.results import Results
from mac.report.texts import NONE, interval_text, p_text, points_text

OUTCOMES = (HOLDS, CONTRADICTED, UNDECIDED, TOO_FEW, OPEN, NOT_COMPARABLE)


class Judgement(NamedTuple):
    """A claim of a table: one of ``OUTCOMES`` for these trained models and for the method, and what they rest on.

    ``method`` is ``NONE`` for a count, which is of these models alone.
    """

    table: str
    claim: str
    models: str
    method: str
    evidence: str


class _Part(NamedTuple):
    """One comparison a claim is made of: ``text`` names it; the claim says that ``difference`` is above 0."""

    text: str
    difference: Difference
    is_top1: bool = True  # of another number it isn't known how much it differs between seeds


def claim_rows(judgements: list[Judgement]) -> pd.DataFrame:
    """List claims, their outcomes and the evidence, for Markdown."""
    return pd.DataFrame(judgements, columns=["", "Claim", "These models", "The method", "Evidence"])


def count_outcomes(judgements: list[Judgement]) -> dict[str, dict[str, int]]:
    """Count how many claims have which outcome, in the order of ``OUTCOMES``: for ``models`` and for ``method``."""
    found = {side: Counter(getattr(judgement, side) for judgement in judgements) for side in ("models", "method")}
    return {side: {name: own[name] for name in OUTCOMES if own[name]} for side, own in found.items()}


def judge(results: Results) -> list[Judgement]:
    """Judge every claim of a plan, in the tables' order."""
    return [judgement for table in results.plan.tables.values() for judgement in judge_table(table, results)]


def judge_table(table: PlannedTable, results: Results) -> list[Judgement]:
    """Judge one table's claims together: p values are corrected for their number (Holm)."""
    spelt = [_spell_out(claim, table, results) for claim in table.claims]
    decisions = iter(decide([[part.difference for part in parts] for parts in spelt if not isinstance(parts, Verdict)]))
    found = []
    for claim, parts in zip(table.claims, spelt, strict=True):
        if isinstance(parts, Verdict):
            method = NONE if claim.groups and parts.outcome in (HOLDS, CONTRADICTED) else parts.outcome
            found.append(Judgement(table.name, claim.text, parts.outcome, method, parts.text))
        else:
            decision = next(decisions)
            evidence = _evidence(parts, decision, results.plan.experiment.verdicts.seed_sd)
            method = decision.methods or TOO_FEW
            found.append(Judgement(table.name, claim.text, decision.models, method, evidence))
    return found


def _spell_out(claim: Claim, table: PlannedTable, results: Results) -> list[_Part] | Verdict:
    """List a claim's comparisons; give its verdict where it needs no test, or a number is missing or incomparable."""
    if claim.groups:
        return _count_groups(claim.groups, table, results)
    if claim.focus:
        return _compare_focus(claim.focus, table, results)
    parts, wanted = [], claim.columns or table.columns
    for first, second, points, by in _comparisons(claim, table):
        for column, name in enumerate(table.columns):
            if name not in wanted:
                continue
            difference = _difference(first, second, column, table, results, bool(by))
            if isinstance(difference, Verdict):
                return difference
            shift = f", {'less' if points > 0 else 'plus'} {abs(points):g} points" if points else ""
            text = f"{first} over {second}{shift}" + (f" ({name})" if len(table.columns) > 1 else "")
            parts.append(_Part(text, difference.less(points)))
    return parts


def _comparisons(claim: Expression, table: PlannedTable) -> Iterator[tuple[Operand, Operand, float, float]]:
    """First, second, how much more the first must have, and how much of that is the paper's number."""
    if claim.best is not None:
        yield from ((claim.best, row.label, 0.0, 0.0) for row in table.rows if row.label != claim.best)
    elif claim.greater:
        yield (*claim.greater, 0.0, 0.0)
    elif claim.at_least:
        yield (*claim.at_least, claim.by - claim.margin, claim.by)
    elif claim.at_most:
        yield (*reversed(claim.at_most), -claim.by, claim.by)
    for part in claim.all or []:
        yield from _comparisons(part, table)


def _difference(
    first: Operand, second: Operand, column: int, table: PlannedTable, results: Results, has_number: bool
) -> Difference | Verdict:
    """Compare two operands in one column, or say why that can't be done.

    ``has_number`` says that the claim contains one of the paper's numbers.
    """
    sides = [_resolve(operand, column, table) for operand in (first, second)]
    cells = [side for side in sides if isinstance(side, Cell)]
    reason = why_incomparable([i for cell in cells for i in cell.runs], results.plan)
    exact = float in (type(first), type(second))
    if reason and (has_number or (len(cells) < 2 and not exact)):
        of_all = why_incomparable(results.plan.tested, results.plan)  # the same words for every claim
        return Verdict(NOT_COMPARABLE, f"the paper's numbers are of the whole, real data; here {of_all}")
    if not cells or None in sides:
        return Verdict(NOT_COMPARABLE, "no number of it was measured or printed")
    samples = [results.samples(cell) for cell in cells]
    if not all(samples):
        return _open(cells, results)
    if len(cells) == 2:
        return paired(*samples) or Verdict(NOT_COMPARABLE, f"{first} and {second} were tested on different videos")
    (number,) = (side for side in sides if not isinstance(side, Cell))
    own = samples[0]
    if exact:
        found = between(list(own.values())).less(number)
    else:
        found = against_number(own[printed_split(own)], number, results.plan.experiment.verdicts.seed_sd)
    return found if sides[0] is cells[0] else found.negated()


def _open(cells: Sequence[Cell], results: Results) -> Verdict:
    return Verdict(OPEN, "; ".join(reason for cell in cells for reason in results.reasons(cell)) or "pending")


def _resolve(operand: Operand, column: int, table: PlannedTable) -> Cell | float | None:
    """Find what an operand stands for: a cell that is run, or a number."""
    if isinstance(operand, float):
        return operand
    for reference in table.references:
        if reference.label == operand:
            return reference.value
    (row,) = (row for row in [*table.rows, *table.elsewhere] if row.label == operand)
    return row.cells[column].printed if row.cited else row.cells[column]


def _count_groups(pair: Sequence[str], table: PlannedTable, results: Results) -> Verdict:
    cells = [_resolve(operand, 0, table) for operand in pair]
    if not all(isinstance(cell, Cell) for cell in cells):
        return Verdict(NOT_COMPARABLE, "one of the two is only cited: there are no predictions to count")
    found = [results.predictions["finetune"].get(cell.runs[0]) for cell in cells]
    if any(predictions is None for predictions in found):
        return _open(cells, results)
    ours, other = (part.set_index("path").eval("label == predicted").sort_index() for part in found)
    if not ours.index.equals(other.index):
        return Verdict(NOT_COMPARABLE, f"{pair[0]} and {pair[1]} were tested on different videos")
    counts = [int(part.sum()) for part in (ours & ~other, other & ~ours, ~ours & ~other)]
    names = (f"right by {pair[0]} only", f"by {pair[1]} only", "by neither")
    text = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    first = " (first seed and split)" if any(len(cell.runs) > 1 for cell in cells) else ""
    return Verdict(HOLDS if all(counts) else CONTRADICTED, f"{text}, of {len(ours)} videos{first}")


def _compare_focus(pair: Sequence[str], table: PlannedTable, results: Results) -> list[_Part] | Verdict:
    """Compare the shares of two rows' maps on what moves [points of mass]."""
    cells = [_resolve(operand, 0, table) for operand in pair]
    if not all(isinstance(cell, Cell) for cell in cells):
        return Verdict(NOT_COMPARABLE, "one of the two is only cited: it has no maps")
    ids = [cell.runs[0] for cell in cells]
    if any(i not in results.predictions["finetune"] for i in ids):
        return _open(cells, results)
    found = results.focus(*ids)
    if isinstance(found, str):
        return Verdict(OPEN, found)
    own, other = (100 * side.right.mean() for side in (found.first, found.second))
    videos = f"{len(found.first.clusters):,} of {found.tested:,} test videos"
    videos += " (first seed and split)" if any(len(cell.runs) > 1 for cell in cells) else ""
    text = f"on what moves lies {own:.1f} % of the mass of {pair[0]}'s maps against {other:.1f} % of {pair[1]}'s"
    difference = between([found.first], [found.second])
    return [_Part(f"{text} (chance: {100 * found.chance:.1f} %), on {videos}:", difference, is_top1=False)]


def _evidence(parts: list[_Part], decision: Decision, seed_sd: float) -> str:
    """Write the p values, each comparison as it was tested with its intervals, and what would decide the method."""
    knows_method = decision.methods is not None
    p_values = [f"p {p_text(decision.models_p)}"]
    if knows_method:
        p_values.append(f"the method p {p_text(decision.methods_p)}")
    numbers = []
    for text, difference, _ in parts:
        own = f"{text} {points_text(difference.estimate)} {interval_text(*difference.interval())}"
        method = f", the method {interval_text(*difference.interval(of_methods=True))}" if knows_method else ""
        numbers.append(own + method)
    evidence = f"{', '.join(p_values)}: {'; '.join(numbers)}"
    if decision.methods in (None, UNDECIDED) and all(part.is_top1 for part in parts):
        worst = min((part.difference for part in parts), key=lambda difference: difference.estimate)
        evidence += f". The method: {worst.wanted(seed_sd)}"
    return evidence
