"""Was each row trained long enough? How well its classifiers fit, and whether they or the pretext were still rising."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from mac.plan import Cell
from mac.report.pretext import Learned, learned
from mac.report.results import Results
from mac.report.texts import NONE, PENDING, number_text, points_text, row_label, short_title

FITTED = 80.0  # percent of the training videos; they are counted while training, with dropout and colour changes
RISE = 2.0  # points in the last tenth of the epochs


class Trained(NamedTuple):
    """A row's finetunings in one column: means over its runs, None where nothing is known.

    ``training_top1`` is the accuracy [percent] on the training videos in the last epoch, ``rise`` what it gained in the
    last tenth of the epochs [points]; ``pretext`` and ``chance`` [percent] are of its pretrainings' held-out pretext,
    ``pretext_rise`` is of their training's; None for a checkpoint before the last epoch. ``finished`` counts the
    finetunings that have ended; ``lacks`` says in words what was not enough.
    """

    name: str
    finished: int
    training_top1: float | None
    rise: float | None
    pretext: float | None
    chance: float | None
    pretext_rise: float | None
    lacks: tuple[str, ...]


def rows_trained(results: Results) -> list[Trained]:
    """Look at every row's finetunings once, in the tables' order.

    Controls are left out where they can't be learned: shuffled labels, and the pretext on frozen frames.
    """
    known = {one.run_id: one for one in learned(results)}
    found: dict[tuple[str, ...], Trained] = {}
    for table in results.plan.tables.values():
        for row in table.rows:
            for cell in (cell for cell in row.cells if cell.runs and cell.stage == "finetune"):
                if cell.runs not in found and not results.plan.finetunings[cell.runs[0]].config.shuffle_labels:
                    column = f", {cell.column}" if len(table.columns) > 1 else ""
                    name = f"“{row_label(row)}” ({short_title(table)}{column})"
                    found[cell.runs] = _look_at(name, cell, known, results)
    return list(found.values())


def trained_rows(results: Results) -> pd.DataFrame | None:
    """Lay :func:`rows_trained` out as text; None where nothing is known."""
    rows = rows_trained(results)
    if all(row.training_top1 is None for row in rows):
        return None

    def text(value: float | None, write: Callable[[float], str]) -> str:
        return NONE if value is None else write(value)

    return pd.DataFrame(
        {
            "row": row.name,
            "training accuracy": text(row.training_top1, number_text),
            "gained at the end": text(row.rise, points_text),
            "pretext, held out": text(row.pretext, number_text),
            "chance": text(row.chance, number_text),
            "gained at its end": text(row.pretext_rise, points_text),
            "enough?": _verdict(row),
        }
        for row in rows
    )


def _verdict(row: Trained) -> str:
    if row.training_top1 is None:
        return "not known: no journal can be read" if row.finished else PENDING
    return "; ".join(row.lacks) or "yes"


def _look_at(name: str, cell: Cell, known: dict[str, Learned], results: Results) -> Trained:
    finished = [i for i in cell.runs if i in results.metrics["finetune"]]
    runs = [results.epochs("finetune", i) for i in finished]
    fits = [_end([epoch["train_top1"] for epoch in run if "train_top1" in epoch]) for run in runs]
    fits = [fit for fit in fits if fit]
    starts = dict.fromkeys((c.pretrain_id, c.epoch) for c in (results.plan.finetunings[i].config for i in cell.runs))
    ends = {i: results.plan.pretrainings[i].config for i, _ in starts if i in known}
    pretexts = [known[i] for i, epoch in starts if i in known and epoch == ends[i].optimiser.epochs]
    are_frozen = any(end.clip.is_frozen for end in ends.values())
    rises = [rise for one in pretexts if (rise := pretext_rise(one.run_id, results)) is not None]
    top1, rise = (fmean(values) for values in zip(*fits, strict=True)) if fits else (None, None)
    pretext, chance = (fmean(getattr(one, of) for one in pretexts) if pretexts else None for of in ("top1", "chance"))
    pretext_rises = fmean(rises) if rises else None
    lacks = []
    if top1 is not None and top1 < FITTED:
        lacks.append("classifiers don't fit their training videos")
    if rise is not None and rise >= RISE:
        lacks.append("classifiers were still rising")
    if not are_frozen and not all(one.is_above for one in pretexts):
        lacks.append("the pretext is at chance")
    if pretext_rises is not None and pretext_rises >= RISE:
        lacks.append("the pretext was still rising")
    return Trained(name, len(finished), top1, rise, pretext, chance, pretext_rises, tuple(lacks))


def pretext_rise(run_id: str, results: Results) -> float | None:
    """What the accuracy of a pretraining's pretext gained in the last tenth of its epochs, in training [points]."""
    epochs = results.epochs("pretrain", run_id)
    found = _end([epoch["pretext_top1"] for epoch in epochs if "pretext_top1" in epoch])
    return found and found[1]


def _end(values: Sequence[float]) -> tuple[float, float] | None:
    """The last value of a series, and how much higher the mean of its last tenth is than that of the tenth before."""
    tenth = max(len(values) // 10, 1)
    if len(values) < 2 * tenth:
        return None
    return values[-1], fmean(values[-tenth:]) - fmean(values[-2 * tenth : -tenth])
