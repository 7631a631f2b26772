"""One table as Markdown and as CSV: measured beside printed."""

import csv
import io

from mac.plan import Cell, PlannedRow, PlannedTable
from mac.report.results import Results, Score
from mac.tables import Claim

PENDING, NONE = "pending", "–"


def title(table: PlannedTable) -> str:
    """Head a table: ``Table 5. …``, ``Figure 1. …`` or, for ``F2-F4``, ``Figures 2–4. …``."""
    numbers = table.name.replace("F", "").replace("T", "").replace("-", "–")
    kind = "Figure" if table.name.startswith("F") else "Table"
    return f"{kind}{'s' if '–' in numbers else ''} {numbers}. {table.title}"


def row_label(row: PlannedRow) -> str:
    """Label a row; a curve's point names its epoch."""
    return f"{row.label} (epoch {row.epoch})" if row.epoch else row.label


def score_text(score: Score | None) -> str:
    """Phrase a measured number: mean, 95 % interval, spread and number of runs where there are several."""
    if score is None:
        return PENDING
    text = f"**{score.top1:.1f}** [{score.low:.1f}, {score.high:.1f}]"
    if score.spread is not None:
        text += f" ± {score.spread:.1f}"
    if score.planned > 1:
        text += f" ({score.runs} of {score.planned} runs)"
    return text


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
    measured = NONE if row.cited else score_text(results.score(cell))
    return measured, NONE if cell.printed is None else f"{cell.printed:.1f}"


def claim_text(claim: Claim, table: PlannedTable, results: Results) -> str:
    """Say what these runs show of a claim; that is no verdict on the methods."""
    compared = {claim.best} | {row.label for row in table.rows} if claim.best else set(claim.greater)
    drawn = any(dataset.embedded for dataset in results.plan.datasets.values())
    if drawn and any(row.cited for row in table.rows if row.label in compared):
        return "not comparable: cited numbers are of the real data"
    margins = []
    for column in range(len(table.columns)):
        values = {}
        for row in table.rows:
            cell = row.cells[column]
            score = results.score(cell)
            values[row.label] = cell.printed if row.cited else score and score.top1
        first = claim.best or claim.greater[0]
        others = [row.label for row in table.rows if row.label != first] if claim.best else [claim.greater[1]]
        if values[first] is None or any(values[label] is None for label in others):
            return PENDING
        margins.append(values[first] - max(values[label] for label in others))
    shown = ", ".join(f"{margin:+.1f}" for margin in margins)
    return f"{'yes' if all(margin > 0 for margin in margins) else 'no'} ({shown} points)"


def markdown(table: PlannedTable, results: Results, note: str) -> str:
    """Write a table's page: rows, claims, and what it was measured on."""
    parts = [f"# {title(table)}", markdown_rows(table, results)]
    if table.claims:
        parts.append(
            "\n".join(["| The paper's claim | In these runs |", "| --- | --- |", *_claim_lines(table, results)])
        )
    parts += [how_to_read(), note, provenance(table.finetunes, results)]
    return "\n\n".join(parts) + "\n"


def _claim_lines(table: PlannedTable, results: Results) -> list[str]:
    return [f"| {claim.text} | {claim_text(claim, table, results)} |" for claim in table.claims]


def claims(tables: list[PlannedTable], results: Results) -> str:
    """List all tables' claims and what these runs show of them."""
    lines = ["| | The paper's claim | In these runs |", "| --- | --- | --- |"]
    for table in tables:
        lines += [f"| {table.name} {line}" for line in _claim_lines(table, results)]
    return "\n".join(lines)


def how_to_read() -> str:
    """Explain the cells."""
    return (
        "Measured: top-1 accuracy [percent] on test videos, with Wilson's 95 % interval over videos (training seeds add"
        " their own spread); ± is the standard deviation over runs. Printed: the paper's supplementary. “In these runs”"
        " compares the measured numbers as they are, which for a single seed is no verdict on the methods."
    )


def provenance(finetunes: tuple[str, ...], results: Results) -> str:
    """Say what a table's numbers were measured on."""
    found = results.provenance(list(finetunes))
    done = sum(i in results.finetunes for i in finetunes)
    names = {"seed": "seeds", "split": "splits", "device": "device", "commit": "commit", "torch": "torch"}
    facts = [f"scale {results.plan.scale}", f"{done} of {len(finetunes)} finetunings done"]
    facts += [f"{names[key]} {', '.join(values) or PENDING}" for key, values in found.items()]
    used = {name: digest for name, digest in results.digests.items() if name in datasets(finetunes, results)}
    facts.append("data " + (", ".join(f"{name} ({digest})" for name, digest in sorted(used.items())) or PENDING))
    return f"Measured on: {'; '.join(facts)}."


def datasets(finetunes: tuple[str, ...], results: Results) -> set[str]:
    """Names of the data sets that finetunings and their pretrainings use."""
    used = set()
    for finetune_id in finetunes:
        config = results.plan.finetunings[finetune_id].config
        used.add(config.store.dataset.name)
        if config.pretrain_id:
            used.add(results.plan.pretrainings[config.pretrain_id].config.store.dataset.name)
    return used


def comma_separated(table: PlannedTable, results: Results) -> str:
    """Write a table as tidy CSV, one line a cell."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    head = [
        "table",
        "row",
        "epoch",
        "column",
        "measured",
        "low",
        "high",
        "spread",
        "videos",
        "runs",
        "planned",
        "printed",
    ]
    writer.writerow([*head, "cited", "finetune_ids"])
    for row in table.rows:
        for cell in row.cells:
            score = results.score(cell)
            numbers = [""] * 7
            if score:
                spread = "" if score.spread is None else f"{score.spread:.4f}"
                numbers = [f"{score.top1:.4f}", f"{score.low:.4f}", f"{score.high:.4f}", spread]
                numbers += [score.videos, score.runs, score.planned]
            epoch = "" if row.epoch is None else row.epoch
            printed = "" if cell.printed is None else cell.printed
            ids = " ".join(cell.finetunes)
            writer.writerow([table.name, row.label, epoch, cell.column, *numbers, printed, row.cited, ids])
    return sink.getvalue()
