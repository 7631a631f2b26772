"""What the weights are worth without finetuning: linear probe and retrieval, a line a row."""

from dataclasses import dataclass

from mac.config import RETRIEVAL_KS
from mac.plan import PlannedRow
from mac.report.results import Results
from mac.report.scores import Score, score
from mac.report.tables import NONE, row_label, score_text


@dataclass(frozen=True)
class ProbeLine:
    """One distinct set of weights: the rows that use it, the scores of probe and recalls by k; None where pending."""

    labels: tuple[str, ...]
    column: str
    ids: tuple[str, ...]
    top1: Score | None
    recalls: dict[int, Score | None]


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
    return lines


def probe_rows(results: Results) -> list[str]:
    """Write the section: heading, table and how to read it; nothing where the scale asks for no probes."""
    lines = probe_lines(results)
    if not lines:
        return []
    head = ["Weights of", "data", "linear probe", *(f"R@{k}" for k in RETRIEVAL_KS), "runs"]
    table = [head, ["---", "---", *["---:"] * (1 + len(RETRIEVAL_KS)), "---"]]
    for line in lines:
        recalls = [score_text(line.recalls[1]), *(_short(line.recalls[k]) for k in RETRIEVAL_KS[1:])]
        runs = ", ".join(results.link(i) for i in line.ids)
        table.append(["; ".join(line.labels), line.column, score_text(line.top1), *recalls, runs])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return ["## Without finetuning", text, HOW_TO_READ]


HOW_TO_READ = (
    "Nothing of the backbone is trained here. Linear probe: accuracy [percent] of logistic regression on its features."
    " R@k: how often [percent] one of the k nearest training videos (cosine) has the test video's class. Intervals as"
    " in the tables."
)


def _label(table: str, row: PlannedRow) -> str:
    return f"{table}: {row_label(row)}"


def _short(found: Score | None) -> str:
    return NONE if found is None else f"{found.top1:.1f}"
