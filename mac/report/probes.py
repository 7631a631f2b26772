"""What the weights are worth without finetuning: linear probe and retrieval, a line for each set of weights."""

from dataclasses import dataclass

import pandas as pd

from mac.config import RETRIEVAL_KS
from mac.plan import Cell
from mac.report.comparisons import decide, paired
from mac.report.results import Results
from mac.report.scores import Score, retrieved, score
from mac.report.texts import NONE, interval_text, number_text, p_text, points_text, row_label, score_text


@dataclass
class ProbeLine:
    """One distinct set of weights: the rows that use it, the scores of probe and recalls by k; None where pending.

    ``over`` says how much more the linear probe reaches than on random weights; empty where that can't be said.
    """

    labels: list[str]
    column: str
    ids: tuple[str, ...]
    top1: Score | None
    recalls: dict[int, Score | None]
    over: str = ""


def probe_lines(results: Results) -> list[ProbeLine]:
    """List every row's weights once, in the order of the tables; nothing where the scale asks for no probes."""
    found: dict[tuple[str, ...], tuple[str, dict[str, None]]] = {}
    finetunings, probes = results.plan.finetunings, results.plan.probes
    for table in results.plan.tables.values():
        for label, cell in ((row_label(row), cell) for row in table.rows for cell in row.cells):
            is_probed = cell.stage == "probe"
            ids = tuple(dict.fromkeys(i if is_probed else finetunings[i].probe for i in cell.runs))
            if ids and all(ids):
                data = probes[ids[0]].config.store.dataset.name if is_probed else cell.column
                found.setdefault(ids, (data, {}))[1][f"{table.name}: {label}"] = None
    lines = [ProbeLine(list(named), column, ids, *_scores(ids, results)) for ids, (column, named) in found.items()]
    _compare_with_random(lines, results)
    return lines


def _scores(ids: tuple[str, ...], results: Results) -> tuple[Score | None, dict[int, Score | None]]:
    """Score the linear probe, and by k how often a video of the right class is among the k nearest."""
    found = [results.predictions["probe"][i] for i in ids if i in results.predictions["probe"]]
    if not found:
        return None, dict.fromkeys(RETRIEVAL_KS)
    near = {k: score([retrieved(part, k) for part in found], len(ids)) for k in RETRIEVAL_KS}
    return score(found, len(ids)), near


def _compare_with_random(lines: list[ProbeLine], results: Results) -> None:
    """Compare each line's linear probe with that on random weights, of which the line with the most runs is taken."""
    untrained = [line for line in lines if all(results.plan.probes[i].config.initial == "random" for i in line.ids)]
    most_first = sorted(untrained, key=lambda line: -len(line.ids))
    base = {line.column: line for line in reversed(most_first)}
    found = []
    for line in (line for line in lines if line not in untrained and line.column in base):
        ours, theirs = (results.samples(Cell(one.column, None, one.ids, "probe")) for one in (line, base[line.column]))
        if ours.keys() == theirs.keys() and (difference := paired(ours, theirs)):
            found.append((line, difference))
    for (line, difference), decision in zip(found, decide([[d] for _, d in found]), strict=True):
        of_methods = difference.speaks_of_methods
        interval = interval_text(*difference.interval(of_methods))
        p = p_text(decision.methods_p) if of_methods else f"{p_text(decision.models_p)}, these models"
        line.over = f"{points_text(difference.estimate)} {interval}, p {p}"


def probe_rows(lines: list[ProbeLine], results: Results) -> pd.DataFrame | None:
    """Lay the lines out for Markdown; None where there are none."""
    first, *others = RETRIEVAL_KS
    rows = [
        {"Weights of": "; ".join(line.labels), "data": line.column, "linear probe": score_text(line.top1)}
        | {"over random weights": line.over or NONE, f"R@{first}": score_text(line.recalls[first])}
        | {f"R@{k}": number_text(line.recalls[k] and line.recalls[k].top1) for k in others}
        | {"runs": ", ".join(map(results.link, line.ids))}
        for line in lines
    ]
    return pd.DataFrame(rows) if rows else None
