"""Pages of a scale: the summary, the claims, and the whole report as one HTML file that needs no other file."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from mac.config import RETRIEVAL_KS
from mac.methods import METHODS
from mac.plan import Cell, PlannedTable
from mac.report.claims import OUTCOMES, Judgement, judge
from mac.report.comparisons import compare
from mac.report.probes import probe_lines, probe_rows
from mac.report.provenance import data_note, measured_on, origin
from mac.report.results import Results
from mac.report.tables import NONE, PENDING, cells, claim_rows, rows, score_text, title
from mac.report.texts import render

PRETEXT = {"run": "Pretraining", "used_by": "Used by", "epoch": "Epoch"}
PRETEXT |= {"text": "Held-out pretext accuracy", "chance": "Chance"}


def held_out(results: Results) -> pd.DataFrame:
    """Gather how well pretrainings solve their pretext task on videos they were not trained on, at every kept epoch.

    Returns:
        ``run`` (the pretraining's id), ``used_by``, ``epoch``, ``value`` [percent, None where there is none], and as
        text ``text`` and ``chance``. Supervised pretrainings have no pretext task and are left out.
    """
    lines = []
    for run_id, planned in results.plan.pretrainings.items():
        for epoch in sorted(planned.epochs) if not METHODS[planned.config.task].needs_labels else ():
            found = results.pretrains.get((run_id, epoch), {})
            value, chance = found.get("pretext_top1_held_out"), found.get("pretext_chance")
            text = PENDING if not found else NONE if value is None else f"{value:.1f}"
            by_chance = NONE if chance is None else f"{chance:.1f}"
            lines.append((run_id, "; ".join(planned.used_by), epoch, value, text, by_chance))
    return pd.DataFrame(lines, columns=["run", "used_by", "epoch", "value", "text", "chance"])


def summary(results: Results) -> str:
    """Write everything of a scale on one page (Markdown); open cells are marked pending."""
    plan, pretext = results.plan, held_out(results)
    tables = [
        {
            "name": table.name,
            "title": title(table),
            "is_curve": table.is_curve,
            "is_done": all(i in results.finetunes for i in table.finetunes),
            "rows": rows(cells(table, results), results),
        }
        for table in plan.tables.values()
    ]
    return render(
        "summary.md",
        scale=plan.scale,
        note=data_note(plan),
        measured_on=measured_on(tuple(plan.finetunings), results),
        problems=results.problems,
        tables=tables,
        datasets=[dataset.name for dataset in plan.datasets.values()],
        pretext=pretext.assign(run=pretext["run"].map(results.link))[list(PRETEXT)].rename(columns=PRETEXT),
        probes=probe_rows(probe_lines(results), results),
        **_claims(judge(plan, results)),
    )


def claims_page(results: Results) -> str:
    """Write which claims hold (Markdown), and how to read that."""
    plan = results.plan
    facts = {"scale": plan.scale, "note": data_note(plan), "seed_sd": plan.experiment.verdicts.seed_sd}
    return render("claims.md", **facts, **_claims(judge(plan, results)))


def _claims(judgements: list[Judgement]) -> dict[str, Any]:
    """Tabulate claims, and say how many have which outcome."""
    counts = Counter(found.outcome for found in judgements)
    shown = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    return {"claims": claim_rows(judgements), "count": f"Of {len(judgements)} claims: {shown or 'none'}."}


def page(results: Results, folder: Path, root: str, cost: dict[str, Any], ledger: str) -> str:
    """Write the whole report as one HTML file.

    Args:
        results: what the runs gave.
        folder: the scale's report so far, whose pictures and data cards are taken in; what is missing is left out.
        root: the results folder, as paths and commands on the page name it.
        cost: ``heads``, ``rows`` and ``note`` of the table of costs.
        ledger: the discrepancy ledger, Markdown.
    """
    plan, note = results.plan, data_note(results.plan)
    tables = [_table(table, results) for table in plan.tables.values()]
    judgements = judge(plan, results)
    outcomes = Counter(cell["verdict"] for table in tables for row in table["rows"] for cell in row["cells"])
    return render(
        "page.html",
        scale=plan.scale,
        data_note=note.replace("**", ""),
        comparable="not comparable" not in note,
        measured_on=measured_on(tuple(plan.finetunings), results),
        done=len(results.finetunes),
        planned=len(plan.finetunings),
        verdict_counts=sorted((name, count) for name, count in outcomes.items() if name),
        claim_counts=sorted(Counter(judgement.outcome for judgement in judgements).items()),
        problems=results.problems,
        judgements=judgements,
        tables=tables,
        gradcam=_gradcam(folder / "figures" / "gradcam.json"),
        pretext=_records(held_out(results)),
        probes=probe_lines(results),
        recalls=RETRIEVAL_KS,
        score_text=lambda score: score_text(score).replace("**", ""),
        data=[(dataset.name, _card(folder, dataset.name)) for dataset in plan.datasets.values()],
        cost=cost,
        origins=[_origin(results, run_id) for run_id in plan.finetunings],
        root=root,
        ledger=MarkdownIt("commonmark", {"html": False}).enable("table").render(ledger.partition("\n")[2]),
        embed=lambda name: embed(folder / name),
    )


def embed(path: Path) -> str | None:
    """Give a picture (PNG) as a ``data:`` address; None where there is none."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's lines as mappings, None where a value is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _table(table: PlannedTable, results: Results) -> dict[str, Any]:
    found = cells(table, results).assign(text=lambda cells: cells["text"].str.replace("**", ""))
    return {
        "name": table.name,
        "title": title(table),
        "columns": table.columns,
        "is_curve": table.is_curve,
        "rows": [
            {"label": label, "cells": _records(row), "runs": list(dict.fromkeys(row["ids"].sum()))}
            for label, row in found.groupby("label", sort=False)
        ],
        "comparisons": _records(compare(table, results)),
    }


def _gradcam(path: Path) -> list[dict[str, Any]]:
    """List GradCAM's figures, which come with captions of their own; a damaged list is named in a figure's place."""
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        ending = [facts["reading"], facts["overlap"]["note"]]
        return [
            {"name": name, "title": figure["title"], "caption": " ".join([*figure["notes"], *ending])}
            for name, figure in facts["figures"].items()
        ]
    except (ValueError, KeyError, TypeError):
        return [{"name": "F2", "title": "Figures 2–4", "caption": f"{path} is damaged; delete it and run again"}]


def _card(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / "data" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _origin(results: Results, run_id: str) -> dict[str, Any]:
    facts = {"run_id": run_id, "used_by": results.plan.finetunings[run_id].used_by, "address": results.address(run_id)}
    return origin(results, run_id) | facts | {"score": results.score(Cell("", None, (run_id,)))}
