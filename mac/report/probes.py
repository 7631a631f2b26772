"""What the weights are worth without finetuning: linear probe and retrieval, a line for each set of weights."""

from dataclasses import dataclass

import pandas as pd

from mac.config import RETRIEVAL_KS
from mac.report.comparisons import decide, paired
from mac.report.results import Results
from mac.report.scores import Sample, Score, score
from mac.report.statistics import p_text
from mac.report.tables import NONE, row_label, score_text


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
    lines: dict[tuple[tuple[str, ...], str], ProbeLine] = {}
    for table in results.plan.tables.values():
        for label, cell in ((row_label(row), cell) for row in table.rows for cell in row.cells):
            ids = tuple(results.plan.finetunings[i].probe for i in cell.finetunes)
            if ids and all(ids):
                if (ids, cell.column) not in lines:
                    lines[ids, cell.column] = ProbeLine([], cell.column, ids, *_scores(ids, results))
                lines[ids, cell.column].labels.append(f"{table.name}: {label}")
    _compare_with_random(list(lines.values()), results)
    return list(lines.values())


def _scores(ids: tuple[str, ...], results: Results) -> tuple[Score | None, dict[int, Score | None]]:
    """Score the linear probe, and by k how often a video of the right class is among the k nearest."""
    found = [results.probes[i] for i in ids if i in results.probes]
    if not found:
        return None, dict.fromkeys(RETRIEVAL_KS)
    near = {
        k: [part.assign(predicted=part["label"].where(part["first_match"] <= k, -1)) for part in found]
        for k in RETRIEVAL_KS
    }
    return score(found, len(ids)), {k: score(parts, len(ids)) for k, parts in near.items()}


def _compare_with_random(lines: list[ProbeLine], results: Results) -> None:
    """Compare each line's linear probe with that on random weights, of which the line with the most runs is taken."""

    def samples(line: ProbeLine) -> dict[int, Sample]:
        return results.samples_of(line.ids, results.plan.probes, results.probes)

    untrained = [line for line in lines if all(results.plan.probes[i].config.initial == "random" for i in line.ids)]
    base: dict[str, ProbeLine] = {}
    for line in untrained:
        base[line.column] = max(base.get(line.column, line), line, key=lambda line: len(line.ids))
    compared, differences = [], []
    for line in (line for line in lines if line not in untrained and line.column in base):
        ours, theirs = samples(line), samples(base[line.column])
        if ours.keys() == theirs.keys() and (difference := paired(ours, theirs)):
            compared.append(line)
            differences.append(difference)
    decisions = decide([[difference] for difference in differences])
    for line, difference, decision in zip(compared, differences, decisions, strict=True):
        about_methods = difference.speaks_of_methods
        low, high = difference.methods_interval() if about_methods else difference.interval()
        p = p_text(decision.methods_p if about_methods else decision.models_p)
        what = "" if about_methods else ", these models"
        line.over = f"{difference.estimate:+.1f} [{low:+.1f}, {high:+.1f}], p {p}{what}"


def probe_rows(lines: list[ProbeLine], results: Results) -> pd.DataFrame | None:
    """Lay the lines out for Markdown; None where there are none."""
    first, *others = RETRIEVAL_KS
    rows = [
        {"Weights of": "; ".join(line.labels), "data": line.column, "linear probe": score_text(line.top1)}
        | {"over random weights": line.over or NONE, f"R@{first}": score_text(line.recalls[first])}
        | {f"R@{k}": f"{line.recalls[k].top1:.1f}" if line.recalls[k] else NONE for k in others}
        | {"runs": ", ".join(map(results.link, line.ids))}
        for line in lines
    ]
    return pd.DataFrame(rows) if rows else None
