"""The page: a scale's whole report as one HTML file that needs neither network nor any other file."""

import base64
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt

from mac.config import RETRIEVAL_KS
from mac.plan import Cell, PlannedRow, PlannedTable
from mac.report import claims, comparisons, provenance, verdicts
from mac.report.probes import HOW_TO_READ, probe_lines
from mac.report.results import Results
from mac.report.summary import data_note, held_out
from mac.report.tables import NONE, how_to_read, row_label, score_text, title
from mac.report.tables import provenance as measured_on

TEMPLATES = Path(__file__).parent / "templates"
HOW_COMPARED = (
    "Both models answered the same test videos. McNemar’s exact test takes the videos as independent; the clustered one"
    " heeds that videos of one source group resemble each other. The larger p counts, corrected by Holm within the"
    " table. It speaks of these two trained models; methods are compared only where each has three seeds or more."
)
CLAIMS = {
    "holds": "claims hold",
    "contradicted": "claims contradicted",
    "undecided": "claims undecided",
    "open": "claims open",
    "not comparable": "claims not comparable",
}
FIGURES = {
    "mask_card": (
        "What the masks mark",
        "Some training clips under the default setting; what is not foreground is dimmed.",
    ),
    "mask_sweep": (
        "Foreground masks of one clip under every m and λ",
        "Algorithm 1; what is not foreground is dimmed.",
    ),
    "mask_foreground": ("How much the masks mark, and how steadily", "Means over training clips."),
}


def render(results: Results, folder: Path, root: str, cost: dict[str, Any], ledger: str) -> str:
    """Write the page.

    Args:
        results: what the runs gave.
        folder: the scale's report so far, whose pictures and data cards are taken in; what is missing is left out.
        root: the results folder, as paths and commands on the page name it.
        cost: ``heads``, ``rows`` and ``note`` of the table of costs.
        ledger: the discrepancy ledger, Markdown.
    """
    plan = results.plan
    tables = [_table(table, results, folder) for table in plan.tables.values()]
    judgements = claims.judge(plan, results)
    outcomes = Counter(cell["outcome"] for table in tables for row in table["rows"] for cell in row["cells"])
    everything = tuple(plan.finetunings)
    note = data_note(plan)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html").render(
        css=_part("page.css"),
        js=_part("page.js"),
        scale=plan.scale,
        data_note=note.replace("**", ""),
        comparable="not comparable" not in note,
        measured_on=measured_on(everything, results),
        done=len(results.finetunes),
        planned=len(everything),
        verdict_counts=sorted((name, count) for name, count in outcomes.items() if name),
        claim_counts=[(CLAIMS[name], count) for name, count in sorted(Counter(j.outcome for j in judgements).items())],
        problems=results.problems.items(),
        how_to_read=how_to_read(),
        how_compared=HOW_COMPARED,
        judgements=judgements,
        tables=tables,
        figures=_figures(folder),
        pretext=held_out(results),
        probes=_probes(results),
        recalls=RETRIEVAL_KS,
        how_to_probe=HOW_TO_READ,
        data=[_card(dataset.name, folder) for dataset in plan.datasets.values()],
        cost=cost,
        origins=_origins(results),
        root=root,
        ledger=MarkdownIt("commonmark", {"html": False}).enable("table").render(ledger.partition("\n")[2]),
    )


def _part(name: str) -> jinja2.utils.markupsafe.Markup:
    return jinja2.utils.markupsafe.Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def embed(path: Path) -> str | None:
    """Give a picture (PNG) as a ``data:`` address; None where there is none."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(table: PlannedTable, results: Results, folder: Path) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": title(table),
        "columns": table.columns,
        "rows": [_row(row, results) for row in table.rows],
        "comparisons": comparisons.compare(table, results),
        "curve": embed(folder / "tables" / f"{table.name}.png") if table.is_curve else None,
        "learning": embed(folder / "figures" / f"learning_{table.name}.png"),
    }


def _row(row: PlannedRow, results: Results) -> dict[str, Any]:
    return {
        "label": row_label(row),
        "cited": row.cited,
        "cells": [_cell(row, cell, results) for cell in row.cells],
        "runs": list(dict.fromkeys(i for cell in row.cells for i in cell.finetunes)),
    }


def _cell(row: PlannedRow, cell: Cell, results: Results) -> dict[str, Any]:
    """Give a cell's number, interval, printed number and verdict, each None (or empty) where there is none."""
    score = None if row.cited else results.score(cell)
    verdict = None if row.cited or cell.printed is None else verdicts.against_printed(cell, results)
    return {
        "text": NONE if row.cited else score_text(score).replace("**", ""),
        "value": score.top1 if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "printed": cell.printed,
        "outcome": verdict.outcome if verdict else None,
        "explanation": verdict.text if verdict and verdict.outcome != "not comparable" else "",
        "run": cell.finetunes[0] if cell.finetunes else None,
    }


def _figures(folder: Path) -> list[dict[str, Any]]:
    """List the figures that are there; GradCAM's come with captions of their own."""
    pictures = folder / "figures"
    found = [
        {"name": name, "title": text, "caption": caption, "image": embed(pictures / f"{name}.png")}
        for name, (text, caption) in FIGURES.items()
    ]
    found += _gradcam(pictures)
    return [figure for figure in found if figure["image"] or figure["name"].startswith("F")]


def _gradcam(pictures: Path) -> list[dict[str, Any]]:
    path = pictures / "gradcam.json"
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        ending = [facts["reading"], facts["overlap"]["note"]]
        return [
            {"name": name, "title": figure["title"], "caption": " ".join([*figure["notes"], *ending])}
            | {"image": embed(pictures / f"{name}.png")}
            for name, figure in facts["figures"].items()
        ]
    except (ValueError, KeyError, TypeError):
        lost = f"{path} is damaged; delete it and run again"
        return [{"name": "F2", "title": "Figures 2–4", "caption": lost, "image": None}]


def _probes(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "labels": line.labels,
            "column": line.column,
            "over": line.over,
            "runs": line.ids,
            "scores": [
                {"text": score_text(found).replace("**", ""), "value": found.top1 if found else ""}
                for found in (line.top1, *line.recalls.values())
            ],
        }
        for line in probe_lines(results)
    ]


def _card(name: str, folder: Path) -> dict[str, Any]:
    path = folder / "data" / f"{name}.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    shown = {}
    if facts:
        low, middle, high = facts["frames_range"]
        shown["videos"] = f"{facts['usable']} of {facts['listed']} listed are used"
        shown["status"] = ", ".join(f"{count} {status}" for status, count in facts["statuses"].items())
        shown["length"] = f"{low} to {high} frames (median {middle}), {facts['hours']:.1f} hours in all"
        shown["classes"] = str(len(facts["classes"]))
        for number, split in facts["splits"].items():
            leaks = (
                f"{split['groups_on_both_sides']} groups and {split['contents_on_both_sides']} contents on both sides"
            )
            shown[f"split {number}"] = f"{split['train']} training, {split['test']} test; {leaks}"
        shown["index digest"] = facts["index_digest"]
    return {"name": name, "facts": shown, "image": embed(folder / "data" / f"{name}.png")}


def _origins(results: Results) -> list[dict[str, Any]]:
    found = []
    for run_id, origin in provenance.origins(results).items():
        score = results.score(Cell("", None, (run_id,)))
        shown = {"score": score_text(score).replace("**", "") if score else "", "address": results.address(run_id)}
        found.append(asdict(origin) | shown)
    return found
