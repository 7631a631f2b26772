"""What the weights are worth without finetuning: linear probe and retrieval, a line a row."""

from dataclasses import dataclass, replace

from mac.config import RETRIEVAL_KS
from mac.plan import PlannedRow
from mac.report.comparisons import decide
from mac.report.differences import Difference, between
from mac.report.results import Results
from mac.report.scores import Sample, Score, sample, score
from mac.report.statistics import p_text
from mac.report.tables import NONE, row_label, score_text


@dataclass(frozen=True)
class ProbeLine:
    """One distinct set of weights: the rows that use it, the scores of probe and recalls by k; None where pending.

    ``over`` says how much more the linear probe reaches than on random weights; empty where that can't be said.
    """

    labels: tuple[str, ...]
    column: str
    ids: tuple[str, ...]
    top1: Score | None
    recalls: dict[int, Score | None]
    over: str = ""


def probe_lines(results: Results) -> list[ProbeLine]:
    """List every row's weights once, in the order of the tables; nothing where the scale asks for no probes."""
    rows: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for table in results.plan.tables.values():
        for row in table.rows:
            for cell in row.cells:
                probes = [results.plan.finetunings[i].probe for i in cell.finetunes]
                if probes and all(probes):
                    rows.setdefault((tuple(probes), cell.column), []).append(_label(table.name, row))
    lines = []
    for (ids, column), labels in rows.items():
        found = [results.probes[i] for i in ids if i in results.probes]
        top1 = score(found, len(ids)) if found else None
        recalls = {}
        for k in RETRIEVAL_KS:  # a video counts as right if a video of its class is among the k nearest
            near = [table.assign(predicted=table["label"].where(table["first_match"] <= k, -1)) for table in found]
            recalls[k] = score(near, len(ids)) if near else None
        lines.append(ProbeLine(tuple(labels), column, ids, top1, recalls))
    return _with_random(lines, results)


def _with_random(lines: list[ProbeLine], results: Results) -> list[ProbeLine]:
    """Compare each line's linear probe with that on random weights, of which the line with the most runs is taken."""
    base: dict[str, ProbeLine] = {}
    untrained = [line for line in lines if all(results.plan.probes[i].config.initial == "random" for i in line.ids)]
    for line in untrained:
        base[line.column] = max(base.get(line.column, line), line, key=lambda one: len(one.ids))
    differences: dict[int, Difference] = {}
    for number, line in enumerate(lines):
        if line in untrained or line.column not in base:
            continue
        ours, theirs = _samples(line, results), _samples(base[line.column], results)
        if ours and ours.keys() == theirs.keys():
            differences[number] = between(list(ours.values()), list(theirs.values()))
    decisions = dict(zip(differences, decide(list(differences.values())), strict=True))
    for number, difference in differences.items():
        about_methods = difference.speaks_of_methods
        low, high = difference.methods_interval() if about_methods else difference.interval()
        p = p_text(decisions[number].methods_p if about_methods else decisions[number].p_holm)
        what = "" if about_methods else ", these models"
        text = f"{difference.estimate:+.1f} [{low:+.1f}, {high:+.1f}], p {p}{what}"
        lines[number] = replace(lines[number], over=text)
    return lines


def _samples(line: ProbeLine, results: Results) -> dict[int, Sample]:
    """A line's usable runs by split."""
    by_split: dict[int, list] = {}
    for i in line.ids:
        if i in results.probes:
            by_split.setdefault(results.plan.probes[i].config.split, []).append(results.probes[i])
    return {split: sample(found) for split, found in sorted(by_split.items())}


def probe_rows(results: Results) -> list[str]:
    """Write the section: heading, table and how to read it; nothing where the scale asks for no probes."""
    lines = probe_lines(results)
    if not lines:
        return []
    head = ["Weights of", "data", "linear probe", "over random weights", *(f"R@{k}" for k in RETRIEVAL_KS), "runs"]
    table = [head, ["---", "---", *["---:"] * (2 + len(RETRIEVAL_KS)), "---"]]
    for line in lines:
        recalls = [score_text(line.recalls[1]), *(_short(line.recalls[k]) for k in RETRIEVAL_KS[1:])]
        runs = ", ".join(results.link(i) for i in line.ids)
        table.append(["; ".join(line.labels), line.column, score_text(line.top1), line.over or NONE, *recalls, runs])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return ["## Without finetuning", text, HOW_TO_READ]


HOW_TO_READ = (
    "Nothing of the backbone is trained here. Linear probe: accuracy [percent] of logistic regression on its features."
    " Over random weights: the difference on the same test videos, with its interval, of the methods where both sides"
    " have three seeds, else of these trained models; p is corrected for the number of lines (Holm)."
    " R@k: how often [percent] one of the k nearest training videos (cosine) has the test video's class. Intervals as"
    " in the tables."
)


def _label(table: str, row: PlannedRow) -> str:
    return f"{table}: {row_label(row)}"


def _short(found: Score | None) -> str:
    return NONE if found is None else f"{found.top1:.1f}"
