"""What a reader sees: templates filled in, tables as Markdown, and how titles, rows and numbers are written."""

import re
from typing import Any

import jinja2
import pandas as pd

from mac.plan import Plan, PlannedRow, PlannedTable
from mac.report.scores import Score

PENDING, NONE = "pending", "–"
UNTRAINED = (
    "A linear probe's top-1 and recall@1 are of the weights without finetuning; recall@1 says how often [percent] the"
    " nearest training video has the test video's class."
)
# Cells that are aligned to the right: numbers with what follows them, and the words for a missing one.
NUMBER = re.compile(r"(\*\*|[+-]|< )?\d|–$|pending|$")


def markdown(frame: pd.DataFrame) -> str:
    """Write a table as Markdown; columns of numbers are aligned to the right."""
    cells = frame.astype(str).replace(r"\|", r"\\|", regex=True)
    align = ["right" if all(map(NUMBER.match, column)) else "left" for _, column in cells.items()]
    text = cells.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align)
    return re.sub("(?<= ) +|(?<=---)-+", "", text)  # without padding, a longer cell changes only its own line


def is_papers(name: str) -> bool:
    """Whether a table is one of the paper's (``T5``, ``F1``, ``F2-F4``) and not of our own or the user's."""
    return re.match(r"[TF]\d", name) is not None


def title(table: PlannedTable) -> str:
    """Write a table's heading: ``Table 5. …``, ``Figure 1. …`` or, for ``F2-F4``, ``Figures 2–4. …``."""
    kind, number = "Table", table.name
    if is_papers(table.name):
        kind, number = "Figure" if number[0] == "F" else "Table", re.sub("[TF]", "", number).replace("-", "–")
    return f"{kind}{'s' if '–' in number else ''} {number}. {table.title}"


def short_title(table: PlannedTable) -> str:
    """Name a table: ``Table 5``, ``Figures 2–4``."""
    return title(table).partition(". ")[0]


def run_name(used_by: list[str], plan: Plan) -> str:
    """Name a run by the first row that uses it, and how many more do."""
    name, _, label = used_by[0].partition(": ")
    others = f" and {len(used_by) - 1} more" if len(used_by) > 1 else ""
    return f"“{label}” ({short_title(plan.tables[name])}{others})"


def row_label(row: PlannedRow) -> str:
    """Label a row; the label of a curve's point names its epoch."""
    return f"{row.label} (epoch {row.epoch})" if row.epoch else row.label


def number_text(value: float | None) -> str:
    """Write a number [percent], or that there is none (None, NaN)."""
    return NONE if pd.isna(value) else f"{value:.1f}"


def points_text(value: float) -> str:
    """Write a difference [points] with its sign; what rounds to zero is +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"


def interval_text(low: float, high: float) -> str:
    """Write an interval of a difference [points]."""
    return f"[{points_text(low)}, {points_text(high)}]"


def digits(score: Score) -> tuple[str, str]:
    """Write a score's accuracy and its interval as every part of a report does."""
    return f"{score.top1:.1f}", f"[{score.low:.1f}, {score.high:.1f}]"


def score_text(score: Score | None) -> str:
    """Write a measured number: mean, 95 % interval, and with several runs their spreads and number."""
    if score is None:
        return PENDING
    spread = "" if score.spread is None else f" ± {score.spread:.1f}"
    splits = f", {score.splits} splits" if score.splits > 1 else ""
    draws = "" if score.draw_spread is None else f", draws ± {score.draw_spread:.1f}"
    runs = f" ({score.runs} of {score.planned} runs{splits}{draws})" if score.planned > 1 else ""
    number, interval = digits(score)
    return f"**{number}** {interval}{spread}{runs}"


def p_text(p: float) -> str:
    """Write a p value: three decimals, never 0."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates; in HTML, values are text and not markup."""
    return ENVIRONMENT.get_template(template).render(values)


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("mac.report"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters["table"] = markdown
ENVIRONMENT.globals |= {
    "title": title,
    "points_text": points_text,
    "interval_text": interval_text,
    "UNTRAINED": UNTRAINED,
}
