"""What the figure of gains compares: rows that a scale names, found among its tables."""

from collections.abc import Collection

from mac.experiment import GainsSettings
from mac.planned import Gains, Plan
from mac.validation import ConfigError, nearest


def find_gains(asked: GainsSettings, plan: Plan, known: Collection[str]) -> Gains | None:
    """Find the cells that the figure of gains compares; None where the scale leaves one of their tables out.

    Args:
        asked: the rows and the column.
        plan: of the scale.
        known: names of all tables that there are.

    Raises:
        ConfigError: there is no such row or column, or it is not of finetunings.
    """
    names = [asked.row, *asked.over]
    if any((table := name.partition(": ")[0]) in known and table not in plan.tables for name in names):
        return None
    rows = plan.rows
    if unknown := [name for name in names if name not in rows]:
        raise ConfigError([f"no row {name!r} that trains{nearest(name, rows)}" for name in unknown])
    found = {}
    for name in names:
        cells = {cell.column: cell for cell in rows[name].cells if cell.stage == "finetune"}
        if asked.column not in cells:
            raise ConfigError([f"{name} has no column {asked.column!r} of finetunings{nearest(asked.column, cells)}"])
        found[name] = cells[asked.column]
    return Gains(asked.column, asked.row, found.pop(asked.row), tuple(found.items()))
