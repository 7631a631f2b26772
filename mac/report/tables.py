"""A table's cells as one DataFrame, which its Markdown, CSV and LaTeX and the HTML page are written from."""

import pandas as pd

from mac.plan import Cell, PlannedTable
from mac.report.claims import claim_rows, judge_table
from mac.report.comparisons import compare
from mac.report.printed import NOT_COMPARABLE, Verdict, against_printed, order_of
from mac.report.provenance import data_note, measured_on
from mac.report.results import Results
from mac.report.texts import (
    NONE,
    UNTRAINED,
    interval_text,
    number_text,
    p_text,
    points_text,
    render,
    row_label,
    score_text,
    title,
)

NUMBERS = ["measured", "low", "high", "spread", "wilson_low", "wilson_high"]
COLUMNS = ["table", "row", "epoch", "column", "measured", "low", "high", "spread", "videos", "runs", "splits"]
COLUMNS += ["planned", "printed", "cited", "finetune_ids", "wilson_low", "wilson_high", "groups", "verdict", "problem"]
OF_PROBES = ["measure", "probe_ids"]  # further columns of a table that shows probes
OF_DRAWS = ["draw_spread"]  # likewise of one whose labelled videos were drawn several times
LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$^\dagger$"}
    | {"α": r"$\alpha$", "λ": r"$\lambda$", "ρ": r"$\rho$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$"}
    | {"±": r"$\pm$", "–": "--", "“": "``", "”": "''", "\u202f": r"\,"}
)


def cells(table: PlannedTable, results: Results) -> pd.DataFrame:
    """Gather a table, one line a cell.

    Returns:
        ``COLUMNS``, ``OF_PROBES`` and ``OF_DRAWS``, the CSV's: numbers in percent, missing ones NaN; and for other
        formats ``label`` (the row's, with a curve's epoch, and whether it is cited), ``text`` (the number as
        Markdown), ``ids`` (a list) and ``explanation`` (of the verdict).
    """
    lines = []
    for row in table.rows:
        label = row_label(row) + (" (cited)" if row.cited else "")
        for cell in row.cells:
            score, is_judged = results.score(cell), cell.runs and cell.printed is not None
            line = {"measured": score.top1} | vars(score) if score else {}
            line |= {"table": table.name, "row": row.label, "epoch": row.epoch, "cited": row.cited, "label": label}
            line |= {"column": cell.column, "printed": cell.printed, "problem": "; ".join(results.reasons(cell))}
            line |= {"measure": cell.measure, "ids": list(cell.runs), f"{cell.stage}_ids": " ".join(cell.runs)}
            line["verdict"], line["explanation"] = against_printed(cell, results) if is_judged else Verdict("", "")
            lines.append(line | {"text": NONE if row.cited else score_text(score)})
    whole = dict.fromkeys(("epoch", "videos", "runs", "splits", "planned", "groups"), "Int64")
    found = pd.DataFrame(lines, columns=[*COLUMNS, *OF_PROBES, *OF_DRAWS, "label", "text", "ids", "explanation"])
    return found.astype(dict.fromkeys([*NUMBERS, *OF_DRAWS, "printed"], float) | whole)


def grid(table: pd.DataFrame, measured: pd.Series) -> pd.DataFrame:
    """Lay cells out as the paper does: a line a row; measured numbers, and the printed ones where there are any."""
    shown = table[["label", "column"]].assign(measured=measured)
    if table["printed"].notna().any():
        shown["printed"] = table["printed"].map(number_text)
    wide = shown.set_index(["label", "column"]).unstack(sort=False).swaplevel(axis=1)
    return wide[list(table["column"].unique())].rename_axis(index=None, columns=[None, None])


def rows(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Lay a table out for Markdown; the last column names the runs behind a row's cells."""
    left_out = (table["text"] + "; ").where(table["measured"].notna(), "") + "left out: " + table["problem"]
    found = grid(table, table["text"].mask(table["problem"] != "", left_out))
    found.columns = [f"{column}, {kind}" for column, kind in found.columns]
    runs = table.groupby("label", sort=False)["ids"].sum().map(dict.fromkeys)
    found["runs"] = [", ".join(map(results.link, ids)) or NONE for ids in runs]
    return found.reset_index(names="")


def verdicts(table: pd.DataFrame) -> pd.DataFrame | str | None:
    """Hold each cell against its printed number; the reason if none can be, None if there is none to hold."""
    judged = table[table["verdict"] != ""]
    if judged.empty:
        return None
    if (judged["verdict"] == NOT_COMPARABLE).all():
        return "; ".join(judged["explanation"].unique())
    heads = {"label": "", "column": "column", "verdict": "against the printed number"}
    return judged[[*heads, "explanation"]].rename(columns=heads | {"explanation": "measured − printed"})


def pair_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    """Phrase paired comparisons, one a line."""
    found = pd.DataFrame({"First − second": pairs["first"] + " − " + pairs["second"], "column": pairs["column"]})
    numbers = zip(pairs["difference"], pairs["low"], pairs["high"], strict=True)
    found["points [95 %]"] = [f"{points_text(difference)} {interval_text(*limits)}" for difference, *limits in numbers]
    for head, name in {"p, McNemar": "mcnemar_p", "p, groups": "clustered_p", "p, corrected": "p_holm"}.items():
        found[head] = pairs[name].map(lambda p: NONE if pd.isna(p) else p_text(p))
    found = found.assign(**{"these models": pairs["models"], "the method": pairs["method"]})
    return found.assign(printed=pairs["printed"]) if (pairs["printed"] != "").any() else found


def orders(table: PlannedTable, results: Results) -> list[str]:
    """Say of each column how far its rows come in the printed order, where that can be said."""
    columns = {name: [row.cells[number] for row in table.rows] for number, name in enumerate(table.columns)}
    return describe_orders(columns, results, are_named=len(columns) > 1)


def describe_orders(columns: dict[str, list[Cell]], results: Results, are_named: bool = True) -> list[str]:
    """Say of the cells of each column how far they come in the printed order, where that can be said."""
    return [
        (f"{name}: " if are_named else "")
        + f"Do the rows come in the printed order? Rank correlation {order.correlation:+.2f} over {order.rows} rows"
        f" (Spearman); 95 % of random orders lie in [{order.low:+.2f}, {order.high:+.2f}], p {p_text(order.p)}."
        for name, cells in columns.items()
        if (order := order_of(cells, results))
    ]


def markdown(table: PlannedTable, results: Results) -> str:
    """Write a table's page: rows, verdicts, claims, paired comparisons, and what it was measured on."""
    found, pairs = cells(table, results), pair_rows(compare(table, results))
    return render(
        "table.md",
        table=table,
        rows=rows(found, results),
        verdicts=verdicts(found),
        orders=orders(table, results),
        claims=claim_rows(judge_table(table, results)).drop(columns=""),
        pairs=pairs if len(table.columns) > 1 else pairs.drop(columns="column"),
        note=data_note(results.plan),
        measured_on=measured_on(table.finetunes + table.probes, results),
    )


def comma_separated(table: PlannedTable, results: Results) -> str:
    """Write a table as tidy CSV, one line a cell; numbers are in percent."""
    found = cells(table, results)
    numbers = NUMBERS + (OF_DRAWS if found["draw_spread"].notna().any() else [])
    found = found[[*COLUMNS, *(OF_PROBES if table.probes else []), *numbers[len(NUMBERS) :]]]
    found[numbers] = found[numbers].map("{:.4f}".format, na_action="ignore")
    return found.to_csv(index=False, lineterminator="\n")


def latex(table: PlannedTable, results: Results) -> str:
    """Write a table as a float: measured with its 95 % interval and printed, side by side, for each column.

    It needs the package booktabs. Cited methods carry a dagger.
    """
    found = cells(table, results)
    text = found["text"].where(found["measured"].notna(), NONE).str.replace(r"\*\*| \(.*", "", regex=True)
    shown = grid(found.assign(label=found["label"].str.replace(" (cited)", "†")), text).map(escape)
    shown = shown.rename(index=escape, columns=escape)
    legend = "Top-1 accuracy [percent] with its 95\u202f% interval; ± is the standard deviation between seeds."
    legend += f" {UNTRAINED}" if table.probes else ""
    cited = " †Cited, not measured." if found["cited"].any() else ""
    note = f" {table.note}" if table.note else ""
    caption = escape(f"{title(table)}. {legend}{cited}{note} {data_note(results.plan).replace('**', '')}")
    form = {"position_float": "centering", "hrules": True, "multicol_align": "c"}
    return "% needs \\usepackage{booktabs}\n" + shown.style.to_latex(
        caption=caption, label=f"tab:{table.name.lower()}", column_format="l" + "r" * shown.shape[1], **form
    )


def escape(text: str) -> str:
    """Write plain text so that LaTeX prints it; Greek letters and signs become mathematics."""
    return text.translate(LATEX)
