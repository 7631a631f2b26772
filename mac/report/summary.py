"""The summary: everything of a scale on one page, open cells marked pending."""

from dataclasses import dataclass

from mac.plan import Plan
from mac.report.claims import judge
from mac.report.claims_page import claim_rows, count_claims
from mac.report.probes import probe_rows
from mac.report.results import Results
from mac.report.tables import NONE, PENDING, how_to_read, markdown_rows, provenance, title


def data_note(plan: Plan) -> str:
    """Say what kind of data a scale's numbers come from."""
    drawn = sorted({dataset.name for dataset in plan.datasets.values() if dataset.embedded})
    partial = sorted(f"{d.subset} for {d.name}" for d in plan.datasets.values() if d.subset)
    if partial:
        return (
            f"**The data are real, but parts of the data sets ({', '.join(partial)}): these numbers are not comparable"
            " with the printed ones.**"
        )
    if not drawn:
        return "All data sets are the real ones."
    return (
        f"**The data are generated figures standing in for {', '.join(drawn)}: these numbers show that the pipeline"
        " works and learns. They are not comparable with the printed ones.**"
    )


@dataclass(frozen=True)
class HeldOut:
    """How well a pretraining solves its pretext at an epoch, on videos it was not trained on [percent]; as text too."""

    run: str
    used_by: str
    epoch: int
    value: float | None
    text: str
    chance: str


def held_out(results: Results) -> list[HeldOut]:
    """List all pretrainings but supervised ones, at every epoch that is kept."""
    rows = []
    for pretrain_id, planned in results.plan.pretrainings.items():
        for epoch in sorted(planned.epochs) if planned.config.task == "mac" else ():
            found = results.pretrains.get((pretrain_id, epoch), {})
            value, chance = found.get("pretext_top1_held_out"), found.get("pretext_chance")
            text = PENDING if not found else NONE if value is None else f"{value:.1f}"
            by_chance = NONE if chance is None else f"{chance:.1f}"
            rows.append(HeldOut(pretrain_id, "; ".join(planned.used_by), epoch, value, text, by_chance))
    return rows


def pretext_rows(results: Results) -> str:
    """Tabulate :func:`held_out`."""
    lines = [
        "| Pretraining | Used by | Epoch | Held-out pretext accuracy | Chance |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in held_out(results):
        lines.append(f"| {results.link(row.run)} | {row.used_by} | {row.epoch} | {row.text} | {row.chance} |")
    return "\n".join(lines)


def problem_lines(results: Results) -> list[str]:
    """Name the results that can't be used, under a heading; nothing if all can."""
    if not results.problems:
        return []
    lines = [f"* `{key}`: {reason}" for key, reason in results.problems.items()]
    return ["## Results left out", "\n".join(lines)]


def summary(plan: Plan, results: Results) -> str:
    """Write the page."""
    everything = tuple(plan.finetunings)
    parts = [f"# Results at scale `{plan.scale}`", data_note(plan), how_to_read(), provenance(everything, results)]
    parts += problem_lines(results)
    for table in plan.tables.values():
        name = table.name
        parts += [f"## {title(table)}", markdown_rows(table, results)]
        done = all(i in results.finetunes for i in table.finetunes)
        if table.is_curve and done:
            parts.append(f"![{title(table)}](tables/{name}.png)")
        links = f"[page](tables/{name}.md), [CSV](tables/{name}.csv)" if done else "Open cells fill as runs finish."
        parts.append(links)
    judgements = judge(plan, results)
    parts += ["## Which claims survive here", count_claims(judgements), claim_rows(judgements, True)]
    parts.append("[The claims alone, and how to read them](claims.md)")
    parts += ["## Masks", "![What the masks mark in some training clips](figures/mask_card.png)"]
    parts += ["![One clip's foreground under every m and λ](figures/mask_sweep.png)"]
    cards = [f"[{dataset.name}](data/{dataset.name}.md)" for dataset in plan.datasets.values()]
    parts += ["## Data", f"What each data set holds, and what was left out and why: {', '.join(cards)}."]
    parts += [
        "## Is the pretext learned?",
        "Accuracy [percent] on test videos, which no pretraining saw.",
        pretext_rows(results),
        *probe_rows(results),
    ]
    return "\n\n".join(parts) + "\n"
