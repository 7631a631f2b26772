"""One table as LaTeX (booktabs), ready to paste."""

from mac.plan import Cell, PlannedRow, PlannedTable
from mac.report.results import Results
from mac.report.tables import row_label, title

CITED = r"$^\dagger$"
LETTERS = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "α": r"$\alpha$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
    "“": "``",
    "”": "''",
}


def escape(text: str) -> str:
    """Write plain text so that LaTeX prints it; Greek letters and signs become mathematics."""
    return "".join(LETTERS.get(letter, letter) for letter in text)


def latex(table: PlannedTable, results: Results, note: str) -> str:
    """Write a table as a float: measured with its 95 % interval and printed, side by side, for each column.

    It needs the package booktabs. Cited methods carry a dagger.
    """
    spans = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escape(column)}}}" for column in table.columns)
    rules = " ".join(rf"\cmidrule(lr){{{2 * i + 2}-{2 * i + 3}}}" for i in range(len(table.columns)))
    head = " & ".join(["measured", "printed"] * len(table.columns))
    legend = "Top-1 accuracy [percent] with its 95\\,\\% interval; $\\pm$ is the standard deviation over runs."
    if any(row.cited for row in table.rows):
        legend += f" {CITED}Cited, not measured."
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(table.title)}. {legend} {escape(note.replace('**', ''))}}}",
        rf"  \label{{tab:{table.name.lower()}}}",
        rf"  \begin{{tabular}}{{l{'rr' * len(table.columns)}}}",
        r"    \toprule",
        rf"    & {spans} \\",
        f"    {rules}",
        rf"    & {head} \\",
        r"    \midrule",
        *(_row(row, results) for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return f"% {title(table)}\n" + "\n".join(lines) + "\n"


def _row(row: PlannedRow, results: Results) -> str:
    cells = " & ".join(f"{_measured(row, cell, results)} & {_number(cell.printed)}" for cell in row.cells)
    return rf"    {escape(row_label(row))}{CITED if row.cited else ''} & {cells} \\"


def _measured(row: PlannedRow, cell: Cell, results: Results) -> str:
    score = None if row.cited else results.score(cell)
    if score is None:
        return "--"
    spread = "" if score.spread is None else rf" $\pm$ {score.spread:.1f}"
    return f"{score.top1:.1f} [{score.low:.1f}, {score.high:.1f}]{spread}"


def _number(value: float | None) -> str:
    return "--" if value is None else f"{value:.1f}"
