"""What a scale's results say, in plain sentences, and what they can't decide: what comes first in a report."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from mac.config import FinetuneConfig
from mac.methods import METHODS
from mac.plan import Cell
from mac.report.claims import OUTCOMES, Judgement
from mac.report.comparisons import CONTRADICTED, HOLDS, TOO_FEW, UNDECIDED, compare, decide, paired
from mac.report.differences import TRAININGS_WANTED
from mac.report.pretext import learned
from mac.report.printed import NOT_COMPARABLE, OPEN
from mac.report.results import Results
from mac.report.texts import PENDING, digits, interval_text, points_text, short_title
from mac.report.trained import FITTED, RISE, Trained, rows_trained

BY_VIDEOS = "undecided for these trained models: on other test videos the difference could come out the other way"
BY_TRAININGS = "undecided for the method: with other trainings the difference could come out the other way"
ONCE = (
    "judged for these trained models only: to say anything of the method, that is of other trainings of the same rows,"
    f" takes {TRAININGS_WANTED} trainings a side, of different seeds or splits"
)


class Finding(NamedTuple):
    """A question, its answer in a sentence or two, and further lines."""

    question: str
    answer: str
    lines: tuple[str, ...] = ()


def findings(results: Results) -> list[Finding]:
    """Say what was run and learned, whether for long enough, what pretraining was worth, and which rows differ."""
    return [
        _what_was_run(results),
        _what_was_learned(results),
        *_was_it_enough(results),
        _what_it_was_worth(results),
        _which_rows_differ(results),
    ]


def _what_was_run(results: Results) -> Finding:
    plan, metrics = results.plan, results.metrics
    ended = [i for i, planned in plan.pretrainings.items() if (i, max(planned.epochs)) in metrics["pretrain"]]
    devices = sorted({run["device"] for stage in metrics.values() for run in stage.values()})
    seeds = sorted({planned.config.seed for planned in plan.tested.values()})
    answer = (
        "A pretraining teaches a network on videos without labels, unless its row says “supervised”; a finetuning then"
        " teaches it to name the action, and tests it on videos that it has not seen."
        f" {len(ended)} of {len(plan.pretrainings)} pretrainings and {len(metrics['finetune'])} of"
        f" {len(plan.finetunings)} finetunings have finished{', on ' + ', '.join(devices) if devices else ''}."
    )
    if len(seeds) == 1:
        answer += f" Each was trained once (seed {seeds[0]}): another training would give other numbers."
    return Finding("What was run?", answer)


def _what_was_learned(results: Results) -> Finding:
    question, found = "Did the networks learn their pretext task?", list(learned(results))
    if not found:
        has_pretext = any(not METHODS[run.config.task].needs_labels for run in results.plan.pretrainings.values())
        reason = "Not known yet: no pretraining has finished" if has_pretext else "There is none here"
        return Finding(question, f"{reason}.")
    plan = results.plan
    default = plan.finetunings[plan.default].config.pretrain_id if plan.default else None
    first = next((one for one in found if one.run_id == default), found[0])
    who = f"the default row, {first.name}," if first.run_id == default else first.name
    gap = f"{first.top1 - first.chance:.1f} points above guessing" if first.is_above else "no better than guessing"
    answer = (
        f"{'Yes' if first.is_above else 'No'}: {who} is right on {first.text}, on {first.videos} videos that it has not"
        f" seen: {gap}. Better than guessing are {sum(one.is_above for one in found)} of the {len(found)} pretrainings"
        " that can be tested."
    )
    rest = [one.name for one in found if not one.is_above]
    return Finding(question, answer, (f"No better than guessing: {', '.join(rest)}.",) if rest else ())


def _was_it_enough(results: Results) -> list[Finding]:
    """Say which rows were not trained enough to tell what they are worth; nothing while nothing is known of it."""
    known = [row for row in rows_trained(results) if row.training_top1 is not None]
    if not known:
        return []
    short = [row for row in known if row.lacks]
    answer = (
        f"Yes: {len(known)} of {len(known)} rows were."
        if not short
        else f"No: {len(short)} of {len(known)} rows were not."
    )
    answer += (
        f" Enough means: classifiers end right on {FITTED:g} % of their training videos or more; in the last tenth of"
        f" their epochs they, and the pretext, gain less than {RISE:g} points; and the pretext is above chance."
    )
    lines: dict[str, list[Trained]] = {}
    for row in short:
        lines.setdefault("; ".join(row.lacks), []).append(row)
    texts = [f"{_listed([row.name for row in rows])}: {why}." for why, rows in lines.items()]
    return [Finding("Was it trained long enough?", answer, tuple(texts))]


def _what_it_was_worth(results: Results) -> Finding:
    question = "What was pretraining worth, against random weights?"
    default, last = [], []
    for table in results.plan.tables.values():
        for row in table.rows:
            name = f"“{row.label}” ({short_title(table)})"
            for cell in (cell for cell in row.cells if cell.stage == "finetune"):
                if results.plan.default in cell.runs:
                    default.append((cell, f"the default row, {name},"))
                elif table.is_curve and row is table.rows[-1]:
                    last.append((cell, name))
    most = sorted(default, key=lambda found: -len(found[0].runs))[:1]
    texts = [text for cell, name in most + last if (text := _worth(cell, name, results))]
    if not texts:
        return Finding(question, "Not known: the default row, or the same finetuning from random weights, is missing.")
    return Finding(question, texts[0], tuple(texts[1:]))


def _worth(cell: Cell, name: str, results: Results) -> str | None:
    """Compare a cell with the same finetunings from random weights; None where either has no results."""
    known = results.predictions["finetune"]
    controls = {i: _from_random(results.plan.finetunings[i].config) for i in cell.runs}
    pairs = [pair for pair in controls.items() if known.keys() >= set(pair)]
    ours, theirs = (Cell(cell.column, None, runs) for runs in zip(*pairs, strict=True)) if pairs else (None, None)
    difference = pairs and paired(results.samples(ours), results.samples(theirs))
    if not difference:
        return None
    (decision,) = decide([[difference]])
    of_method = difference.speaks_of_methods
    outcome = decision.methods if of_method else decision.models
    word = {HOLDS: "It helped", CONTRADICTED: "It did harm", UNDECIDED: "Not decided"}[outcome]
    first, second = (digits(results.score(one))[0] for one in (ours, theirs))
    whose = f"over {difference.trainings} trainings a side" if of_method else "these trained models"
    interval = f"{points_text(difference.estimate)} points {interval_text(*difference.interval(of_method))}"
    both = f"right on {first} % of the test videos, from random weights on {second} %"
    return f"{word}: {name} is {both}: {interval}, {whose}."


def _from_random(config: FinetuneConfig) -> str:
    """The id of the same finetuning from random weights."""
    return config.model_copy(update={"initial": "random", "pretrain_id": None, "epoch": None}).identify()


def _which_rows_differ(results: Results) -> Finding:
    question = "Which rows differ, for these trained models?"
    tables = [(table, pairs) for table in results.plan.tables.values() if not (pairs := compare(table, results)).empty]
    if not tables:
        return Finding(question, "Not known yet: no two rows of a table have finished.")
    lines, alike = [], []
    for table, pairs in tables:
        better = pairs[pairs["models"] != UNDECIDED]
        if better.empty:
            alike.append(short_title(table))
        for column, part in better.groupby("column", sort=False):
            where = f"{short_title(table)}{f', {column}' if len(table.columns) > 1 else ''}"
            lines.append(f"{where}: {'; '.join(_better(part))}.")
    count = sum(len(pairs) for _, pairs in tables)
    answer = f"{count} pairs of rows were compared, each on the same test videos."
    if alike:
        rest = ", ".join(alike)
        answer += f" No two rows differ by more than the choice of test videos explains in: {rest}."
    return Finding(question, answer, tuple(lines))


def _better(pairs: pd.DataFrame) -> Iterator[str]:
    """Say which row is better than which others in a column, a phrase a row that is better."""
    found: dict[str, list[str]] = {}
    for pair in pairs.itertuples():
        is_first = pair.models == f"{pair.first} is better"
        ours, other = (pair.first, pair.second) if is_first else (pair.second, pair.first)
        limits = (pair.low, pair.high) if is_first else (-pair.high, -pair.low)
        text = f"“{other}” ({points_text(abs(pair.difference))} {interval_text(*limits)}"
        text += ", the method, too)" if pair.method.startswith(f"{ours} is better") else ")"
        found.setdefault(ours, []).append(text)
    for ours, others in found.items():
        yield f"“{ours}” is better than {_listed(others)}"


def reasons(judgements: list[Judgement]) -> list[str]:
    """Say what could not be decided and why, a sentence a reason."""
    groups: dict[str, list[str]] = {}
    for judged in sorted(judgements, key=lambda judged: OUTCOMES.index(judged.models)):
        if judged.models in (NOT_COMPARABLE, OPEN):
            why = "results are pending" if judged.evidence == PENDING else judged.evidence
            groups.setdefault(f"{judged.models}: {why}", []).append(judged.table)
        elif judged.models == UNDECIDED:
            groups.setdefault(BY_VIDEOS, []).append(judged.table)
    for judged in judgements:
        if reason := {TOO_FEW: ONCE, UNDECIDED: BY_TRAININGS}.get(judged.method):
            groups.setdefault(reason, []).append(judged.table)
    return [
        f"{len(tables)} claim{'s are' if len(tables) > 1 else ' is'} {reason} ({', '.join(dict.fromkeys(tables))})."
        for reason, tables in groups.items()
    ]


def _listed(texts: list[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if texts[1:] else texts)
