"""What a reader sees: templates filled in, tables written as Markdown."""

import re
from typing import Any

import jinja2
import pandas as pd

# A cell that belongs to the right: a number with what goes along with it, or the word for a missing one.
NUMBER = re.compile(r"(\*\*|[+-]|< )?\d|–$|pending|$")


def markdown(frame: pd.DataFrame) -> str:
    """Write a table as Markdown; columns of numbers are aligned to the right."""
    cells = frame.astype(str).replace(r"\|", r"\\|", regex=True)
    align = ["right" if all(map(NUMBER.match, column)) else "left" for _, column in cells.items()]
    text = cells.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align)
    return re.sub("(?<= ) +|(?<=---)-+", "", text)  # without padding, a longer cell changes its own line only


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
