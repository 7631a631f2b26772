"""Reports as files: the summary and claims, a table in its formats, the page."""

import sys
from pathlib import Path
from typing import Any

from mac.leftovers import size
from mac.pipeline import STAGES, configs_of
from mac.plan import Plan, PlannedTable
from mac.report import pages, tables
from mac.report.provenance import data_note, spent
from mac.report.results import Read, Results
from mac.runtime.atomic import write_text


def read(plan: Plan, source: Read, runs_page: str | None) -> Results:
    """Read a plan's results, and name those that can't be used."""
    results = Results(plan, source, runs_page)
    for key, reason in results.problems.items():
        print(f"mac report: {key} is left out: {reason}", file=sys.stderr)
    return results


def write_summary(results: Results, out: Path) -> None:
    """Write the summary and the claims; the same results give the same bytes."""
    write_text(out / "README.md", pages.summary(results))
    write_text(out / "claims.md", pages.claims_page(results))


def write_table(table: PlannedTable, results: Results, folder: Path, svg: bool = False) -> None:
    """Write ``FOLDER/TABLE.md``, ``.csv`` and ``.tex``, and a curve's pictures; equal results give equal bytes."""
    write_text(folder / f"{table.name}.md", tables.markdown(table, results))
    write_text(folder / f"{table.name}.csv", tables.comma_separated(table, results))
    write_text(folder / f"{table.name}.tex", tables.latex(table, results))
    if table.is_curve:
        from mac import pictures  # matplotlib: only where a picture is drawn
        from mac.report.figures import draw_curve

        kind = "generated figures" if "generated" in data_note(results.plan) else "real video"
        caption = f"scale {results.plan.scale}, {kind}"
        draw_curve(table, results, caption, pictures.formats(folder / table.name, svg))


def write_page(results: Results, root: Path, out: Path, ledger: Path) -> None:
    """Write ``OUT/index.html`` from results (read from the folder ``root``) and what the report in ``OUT`` holds."""
    text = ledger.read_text(encoding="utf-8")
    write_text(out / "index.html", pages.page(results, out, str(root), _cost(results, root), text))


def _cost(results: Results, root: Path) -> dict[str, Any]:
    """Tabulate device hours, wall time and disk of a scale's runs, by stage."""
    took, rows = {stage.stage: stage for stage in spent(results)}, []
    for folder, configs in configs_of(results.plan).items():
        held = sum(size(root / folder / i) for i in configs if (root / folder / i).is_dir())
        name, numbers = STAGES[folder].title, ["", "", "", ""]
        if stage := took.get(name):
            devices = ", ".join(f"{device} ({jobs} jobs)" for device, jobs in stage.devices.items())
            numbers = [stage.runs, f"{stage.device_hours:.2f}", f"{stage.wall_seconds / 3600:.2f}", devices]
        rows.append([name, *numbers[:3], f"{held / 1e6:,.0f} MB", numbers[3]])
    note = (
        "Hours are summed over jobs, whether or not they ran side by side; an interrupted job counts from its last"
        " start. Runs are shared by rows and scales; each is counted once."
    )
    return {"heads": ["stage", "runs", "device hours", "wall hours", "disk", "devices"], "rows": rows, "note": note}
