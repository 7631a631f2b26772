"""One table as Markdown: measured beside printed, and what can be claimed."""

from mac.plan import Cell, PlannedRow, PlannedTable
from mac.report.claims import judge_table
from mac.report.claims_page import claim_rows
from mac.report.comparisons import Comparison, compare
from mac.report.measured_on import datasets
from mac.report.results import Results, Score
from mac.report.statistics import p_text
from mac.report.verdicts import NOT_COMPARABLE, against_printed

PENDING, NONE = "pending", "–"


def title(table: PlannedTable) -> str:
    """Head a table: ``Table 5. …``, ``Figure 1. …`` or, for ``F2-F4``, ``Figures 2–4. …``."""
    numbers = table.name.replace("F", "").replace("T", "").replace("-", "–")
    kind = "Figure" if table.name.startswith("F") else "Table"
    return f"{kind}{'s' if '–' in numbers else ''} {numbers}. {table.title}"


def row_label(row: PlannedRow) -> str:
    """Label a row; a curve's point names its epoch."""
    return f"{row.label} (epoch {row.epoch})" if row.epoch else row.label


def digits(score: Score) -> tuple[str, str]:
    """Write a score's accuracy and its interval, as everywhere in a report."""
    return f"{score.top1:.1f}", f"[{score.low:.1f}, {score.high:.1f}]"


def score_text(score: Score | None) -> str:
    """Phrase a measured number: mean, 95 % interval, spread and number of runs where there are several."""
    if score is None:
        return PENDING
    number, interval = digits(score)
    text = f"**{number}** {interval}"
    if score.spread is not None:
        text += f" ± {score.spread:.1f}"
    if score.planned > 1:
        text += f" ({score.runs} of {score.planned} runs)"
    return text


def cell_text(cell: Cell, results: Results) -> str:
    """Phrase a cell: its number, and what of it can't be used and why."""
    score, reasons = results.score(cell), results.reasons(cell)
    if not reasons:
        return score_text(score)
    return "; ".join([*([score_text(score)] if score else []), *(f"left out: {reason}" for reason in reasons)])


def markdown_rows(table: PlannedTable, results: Results) -> str:
    """Write the table itself; the last column names the finetunings behind a row's cells."""
    head = ["", *(f"{column}, {kind}" for column in table.columns for kind in ("measured", "printed"))]
    lines = [[*head, "runs"], ["---", *["---:"] * (len(head) - 1), "---"]]
    for row in table.rows:
        cells = [text for cell in row.cells for text in _cell_texts(cell, row, results)]
        runs = ", ".join(results.link(i) for cell in row.cells for i in cell.finetunes) or NONE
        lines.append([row_label(row) + (" (cited)" if row.cited else ""), *cells, runs])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell_texts(cell: Cell, row: PlannedRow, results: Results) -> tuple[str, str]:
    measured = NONE if row.cited else cell_text(cell, results)
    return measured, NONE if cell.printed is None else f"{cell.printed:.1f}"


def markdown(table: PlannedTable, results: Results, note: str) -> str:
    """Write a table's page: rows, verdicts, claims, paired comparisons, and what it was measured on."""
    parts = [f"# {title(table)}", markdown_rows(table, results), *verdict_lines(table, results)]
    if table.claims:
        parts += ["## Claims", claim_rows(judge_table(table, results))]
    if pairs := compare(table, results):
        parts += ["## Rows in pairs", _pair_rows(pairs, len(table.columns) > 1), how_to_read_pairs()]
    parts += ["## How to read this", how_to_read(), note, provenance(table.finetunes, results)]
    return "\n\n".join(parts) + "\n"


def verdict_lines(table: PlannedTable, results: Results) -> list[str]:
    """Hold each cell against its printed number; in one sentence if none can be."""
    cells = [(row, cell) for row in table.rows for cell in row.cells if cell.finetunes and cell.printed is not None]
    if not cells:
        return []
    verdicts = [against_printed(cell, results) for _, cell in cells]
    if all(verdict.outcome == NOT_COMPARABLE for verdict in verdicts):
        reasons = "; ".join(dict.fromkeys(verdict.text for verdict in verdicts))
        return [f"Not comparable with the printed numbers: {reasons}."]
    lines = ["| | column | against the printed number | measured − printed |", "| --- | --- | --- | --- |"]
    for (row, cell), verdict in zip(cells, verdicts, strict=True):
        lines.append(f"| {row_label(row)} | {cell.column} | {verdict.outcome} | {verdict.text} |")
    return ["\n".join(lines)]


def _pair_rows(pairs: list[Comparison], with_column: bool) -> str:
    head = ["First − second", *(["column"] if with_column else []), "points [95 %]", "p, McNemar", "p, groups"]
    lines = [[*head, "p, corrected", "these models", "the methods"]]
    lines.append(["---", *(["---"] if with_column else []), *["---:"] * 4, "---", "---"])
    for pair in pairs:
        exact = NONE if pair.mcnemar_p is None else p_text(pair.mcnemar_p)
        points = f"{pair.difference:+.1f} [{pair.low:+.1f}, {pair.high:+.1f}]"
        tests = [exact, p_text(pair.clustered_p), p_text(pair.p_holm)]
        names = [f"{pair.first} − {pair.second}", *([pair.column] if with_column else [])]
        lines.append([*names, points, *tests, pair.models, pair.methods])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def how_to_read_pairs() -> str:
    """Explain the paired comparisons."""
    return (
        "Each pair is compared on the same test videos: McNemar's exact test takes videos as independent, the other one"
        " flips the signs of whole source groups. The larger of the two, corrected for all pairs of the table (Holm),"
        " decides about *these trained models* at 5 %. The methods need three seeds a side, whose spread then counts."
        " The intervals are of single pairs, uncorrected."
    )


def how_to_read() -> str:
    """Explain the cells."""
    return (
        "Measured: top-1 accuracy [percent] on test videos, with a 95 % interval over the source groups that the videos"
        " were cut from, and over training seeds where several were run; ± is the standard deviation over runs. With"
        " one seed the interval is of this trained model: another training may fall outside. Printed: the paper's"
        " supplementary."
    )


def provenance(finetunes: tuple[str, ...], results: Results) -> str:
    """Say what a table's numbers were measured on."""
    found = results.provenance(list(finetunes))
    done = sum(i in results.finetunes for i in finetunes)
    names = {"seed": "seeds", "split": "splits", "device": "device", "commit": "commit", "torch": "torch"}
    facts = [f"scale {results.plan.scale}", f"{done} of {len(finetunes)} finetunings done"]
    facts += [f"{names[key]} {', '.join(values) or PENDING}" for key, values in found.items()]
    names_used = {dataset.name for dataset in datasets(finetunes, results.plan)}
    used = {name: digest for name, digest in results.digests.items() if name in names_used}
    facts.append("data " + (", ".join(f"{name} ({digest})" for name, digest in sorted(used.items())) or PENDING))
    return f"Measured on: {'; '.join(facts)}."
