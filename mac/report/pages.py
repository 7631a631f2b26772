"""A scale's report as files: the summary, the claims, the tables, and one HTML page that needs no other file."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from mac.config import RETRIEVAL_KS
from mac.costs.throughput import split_device
from mac.leftovers import size
from mac.pipeline import RECORDED, STAGES, configs_of
from mac.plan import Cell, PlannedTable
from mac.report import tables
from mac.report.claims import Judgement, claim_rows, count_outcomes, judge
from mac.report.comparisons import CONTRADICTED, HOLDS, UNDECIDED, compare
from mac.report.findings import findings, reasons
from mac.report.pretext import PRETEXT, held_out, warnings
from mac.report.probes import probe_lines, probe_rows
from mac.report.provenance import changes, data_note, measured_on
from mac.report.results import Results
from mac.report.texts import NONE, is_papers, render, score_text
from mac.report.trained import trained_rows
from mac.runtime.atomic import write_text
from mac.runtime.reading import read_json

DECIDED = (HOLDS, CONTRADICTED, UNDECIDED)  # outcomes that each claim has a reason of its own for


def write_summary(results: Results, out: Path) -> None:
    """Write the summary and the claims; the same results give the same bytes."""
    write_text(out / "README.md", summary(results))
    write_text(out / "claims.md", claims_page(results))


def write_table(table: PlannedTable, results: Results, folder: Path, svg: bool = False) -> None:
    """Write ``FOLDER/TABLE.md``, ``.csv`` and ``.tex``, and a curve's or sweep's pictures; always the same bytes."""
    write_text(folder / f"{table.name}.md", tables.markdown(table, results))
    write_text(folder / f"{table.name}.csv", tables.comma_separated(table, results))
    write_text(folder / f"{table.name}.tex", tables.latex(table, results))
    if table.has_picture:
        from mac import pictures  # matplotlib: only where a picture is drawn
        from mac.report.figures import draw_curve, draw_sweep

        kind = "generated figures" if "generated" in data_note(results.plan) else "real video"
        caption = f"scale {results.plan.scale}, {kind}"
        draw = draw_curve if table.is_curve else draw_sweep
        draw(table, results, caption, pictures.formats(folder / table.name, svg))


def summary(results: Results) -> str:
    """Write everything of a scale on one page (Markdown); open cells are marked pending."""
    pretext, judgements = held_out(results), judge(results)
    return render(
        "summary.md",
        results=results,
        findings=findings(results),
        reasons=reasons(judgements),
        complete=lambda table: is_complete(table, results),
        note=data_note(results.plan),
        measured_on=measured_on(results.plan.finetunings, results),
        cells=tables.cells,
        rows=tables.rows,
        pretext=pretext.assign(run=pretext["run"].map(results.link))[list(PRETEXT)].rename(columns=PRETEXT),
        warnings=warnings(results),
        trained=trained_rows(results),
        probes=probe_rows(probe_lines(results), results),
        orders=_orders(results),
        claims=_short_claims(judgements),
    )


def is_complete(table: PlannedTable, results: Results) -> bool:
    """Whether every run of a table has results that can be used."""
    done = results.metrics["finetune"].keys() | results.metrics["probe"].keys()
    return done >= {*table.finetunes, *table.probes}


def claims_page(results: Results) -> str:
    """Write which claims hold (Markdown), and how to read that."""
    plan = results.plan
    facts = {"scale": plan.scale, "note": data_note(plan), "seed_sd": plan.experiment.verdicts.seed_sd}
    return render("claims.md", **facts, **_claims(judge(results)))


def _claims(judgements: list[Judgement]) -> dict[str, Any]:
    """Tabulate claims, and say how many have which outcome."""
    shown = {
        side: ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "none"
        for side, counts in count_outcomes(judgements).items()
    }
    count = f"{len(judgements)} claims; for these trained models: {shown['models']}. For the method: {shown['method']}."
    return {"claims": claim_rows(judgements), "count": count}


def _short_claims(judgements: list[Judgement]) -> pd.DataFrame:
    """Tabulate claims without their evidence; what is open for the same reason as others says nothing of the method."""
    found = claim_rows(judgements).drop(columns="Evidence")
    found["The method"] = found["The method"].where(found["The method"].isin(DECIDED), NONE)
    return found if (found["The method"] != NONE).any() else found.drop(columns="The method")


def _orders(results: Results) -> list[str]:
    """Say of each column's label how far all rows of the paper's tables come in the printed order, where it can be."""
    cells: dict[str, list[Cell]] = {}
    for table in (table for name, table in results.plan.tables.items() if is_papers(name)):
        for cell in (cell for row in table.rows for cell in row.cells):
            cells.setdefault(cell.column, []).append(cell)
    return tables.describe_orders(cells, results)


def page(results: Results, folder: Path, root: Path, ledger: str) -> str:
    """Write the whole report as one HTML file.

    Args:
        results: what the runs gave.
        folder: the scale's report so far, whose pictures and data cards are taken in; what is missing is left out.
        root: the results folder, for the runs' sizes; paths and commands on the page name it.
        ledger: the discrepancy ledger, Markdown.
    """
    plan, note, judgements = results.plan, data_note(results.plan), judge(results)
    cells = {table.name: tables.cells(table, results) for table in plan.tables.values()}
    return render(
        "page.html",
        results=results,
        data_note=note.replace("**", ""),
        comparable="not comparable" not in note,
        measured_on=measured_on(plan.finetunings, results),
        findings=findings(results),
        reasons=reasons(judgements),
        claim_counts=count_outcomes(judgements),
        orders=_orders(results),
        judgements=judgements,
        decided=DECIDED,
        tables=[
            (table, cells[table.name], _records(compare(table, results)), tables.orders(table, results))
            for table in plan.tables.values()
        ],
        curves=[
            (table, drawn)
            for table in plan.tables.values()
            if table.is_curve and (drawn := embed(folder / f"tables/{table.name}.png"))
        ],
        records=_records,
        gains=_facts(folder / "figures" / "gains.json"),
        gradcam=_gradcam(folder / "figures" / "gradcam.json"),
        pretext=_records(held_out(results)),
        warnings=warnings(results),
        trained=trained_rows(results),
        probes=probe_lines(results),
        recalls=RETRIEVAL_KS,
        score_text=score_text,
        data=[(dataset.name, _facts(folder / "data" / f"{dataset.name}.json")) for dataset in plan.datasets.values()],
        cost=cost(results, root),
        changes=lambda run_id: changes(plan, run_id),
        score_of=lambda run_id, measure: results.score(Cell("", None, (run_id,), measure)),
        root=root,
        ledger=MarkdownIt("commonmark", {"html": False}).enable("table").render(ledger.partition("\n")[2]),
        embed=lambda name: embed(folder / name),
    )


def embed(path: Path) -> str | None:
    """Give a picture (PNG) as a ``data:`` address; None where there is none."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if path.is_file() else None


def cost(results: Results, root: Path) -> pd.DataFrame:
    """Tabulate what a scale's runs took so far, a line a stage; results that can't be used are left out.

    Args:
        results: what the runs gave.
        root: the results folder, whose runs are weighed.

    Returns:
        Text, by the stage's title: ``runs`` with results, ``device hours`` (hours times devices), ``wall hours``,
        ``disk`` and ``devices`` with the jobs that ran on each. Hours are added up over jobs, each from its last start;
        a pretraining that keeps several epochs has one job for each. Only ``disk`` is known of stages whose metrics are
        not recorded.
    """
    lines = {}
    for stage, configs in configs_of(results.plan).items():
        held = sum(size(root / stage / i) for i in configs if (root / stage / i).is_dir())
        line = {"runs": "", "device hours": "", "wall hours": "", "disk": f"{held / 1e6:,.0f} MB", "devices": ""}
        if stage in RECORDED:
            jobs = results.metrics[stage]
            line["runs"] = len({key[0] if STAGES[stage].by_epoch else key for key in jobs})
            hours = [(split_device(job["device"])[0], job["seconds"] / 3600) for job in jobs.values()]
            line["device hours"] = f"{sum(devices * time for devices, time in hours):.2f}"
            line["wall hours"] = f"{sum(time for _, time in hours):.2f}"
            ran_on = sorted(Counter(job["device"] for job in jobs.values()).items())
            line["devices"] = ", ".join(f"{device} ({count} jobs)" for device, count in ran_on)
        lines[STAGES[stage].title] = line
    return pd.DataFrame.from_dict(lines, orient="index")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's lines as mappings, None where a value is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _gradcam(path: Path) -> list[dict[str, Any]]:
    """List GradCAM's figures, which come with captions of their own; a damaged list is named in a figure's place."""
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        more = f"{facts['reading']} {facts['overlap']['note']}"
        return [
            {"name": name, "title": figure["title"], "caption": " ".join(figure["notes"]), "more": more}
            for name, figure in facts["figures"].items()
        ]
    except (ValueError, KeyError, TypeError):
        return [
            {"name": "F2", "title": "Figures 2–4", "caption": f"{path} is damaged; delete it and run again", "more": ""}
        ]


def _facts(path: Path) -> dict[str, Any] | None:
    """Read what a part of the report says of itself; None while it is not made."""
    return read_json(path) if path.is_file() else None
