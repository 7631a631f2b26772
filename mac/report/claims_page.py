"""Which claims survive on a scale's results: the page, and the table that other pages show."""

from collections import Counter

from mac.plan import Plan
from mac.report.claims import OUTCOMES, Judgement, judge
from mac.report.results import Results


def page(plan: Plan, results: Results, note: str) -> str:
    """Write the page; ``note`` says what the data are."""
    judgements = judge(plan, results)
    settings = plan.experiment.verdicts
    parts = [f"# Which claims survive at scale `{plan.scale}`", note, count_claims(judgements)]
    parts += [claim_rows(judgements, with_table=True), "## How to read this"]
    parts.append(
        "* **holds**: every comparison the claim is made of comes out as claimed, for the methods, at 5 %.\n"
        "* **contradicted**: at least one of them comes out the other way round.\n"
        "* **undecided**: neither. With fewer than three seeds a side nothing is said of the methods; the evidence says"
        " what the trained models show.\n"
        "* **open**: results are missing or damaged.\n"
        "* **not comparable**: the claim needs numbers of the paper, and these data are others.\n\n"
        "The evidence gives differences in points of top-1 with 95 % intervals of single comparisons, and the claim's"
        " p, corrected for the number of the table's claims (Holm). What would decide a claim is a rough estimate: it"
        " takes the difference found for the true one, and a standard deviation of"
        f" {settings.seed_sd:g} point{'s' if settings.seed_sd != 1 else ''} between training seeds."
    )
    return "\n\n".join(parts) + "\n"


def count_claims(judgements: list[Judgement]) -> str:
    """Say how many claims have which outcome."""
    counts = Counter(found.outcome for found in judgements)
    shown = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    return f"Of {len(judgements)} claims: {shown or 'none'}."


def claim_rows(judgements: list[Judgement], with_table: bool = False) -> str:
    """List claims, their outcomes and the evidence."""
    head = [*([""] if with_table else []), "Claim", "Here", "Evidence"]
    lines = [head, ["---"] * len(head)]
    for found in judgements:
        lines.append([*([found.table] if with_table else []), found.claim, found.outcome, found.evidence])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
