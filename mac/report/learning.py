"""Learning curves: how the trainings behind a table's rows went, epoch by epoch, from their journals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from mac import pictures
from mac.plan import Plan, PlannedTable
from mac.report.figures import REFERENCE

# Okabe and Ito's colours, with a line style each: distinct to colour-blind readers and in gray print.
STYLES = [
    ("#000000", "-"),
    ("#0072B2", "--"),
    ("#D55E00", "-."),
    ("#009E73", ":"),
    ("#CC79A7", (0, (5, 1))),
    ("#E69F00", (0, (1, 1))),
]

Events = Callable[[str, str], list[dict[str, Any]]]


def draw(plan: Plan, table: PlannedTable, events: Events, paths: list[Path]) -> None:
    """Draw pretraining loss and finetuning accuracy of a table's rows over their epochs.

    The loss is the pretext's, or the whole one where there is no pretext. Losses of different objectives have different
    units, so each is shown as a share of its first epoch's. Only the
    first of a cell's runs is drawn, of the first column.

    Args:
        plan: the scale.
        table: a table or curve of it.
        events: gives a run's journal by stage and id; empty where there is none.
        paths: pictures to write.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
    drawn = {}
    for row in (row for row in table.rows if not row.cited):
        finetune_id = row.cells[0].finetunes[0]
        config = plan.finetunings[finetune_id].config
        colour, line = STYLES[len(drawn) % len(STYLES)]
        style = {"color": colour, "linestyle": line, "linewidth": 1.4}
        (drawn[row.label],) = right.plot(*_series(events("finetune", finetune_id), "train_top1"), **style)
        if config.pretrain_id and not (table.is_curve and row.epoch != table.rows[-1].epoch):
            journal = events("pretrain", config.pretrain_id)
            epochs, losses = _series(journal, "pretext_loss")
            if not losses:  # no pretext: labels, or contrast alone
                epochs, losses = _series(journal, "loss")
            left.plot(epochs, [loss / (losses[0] or 1.0) for loss in losses], **style)
    _label(left, "pretraining epoch", "loss ÷ first epoch's")
    _label(right, "finetuning epoch", "training accuracy [percent]")
    right.set_ylim(0, 102)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    pictures.save(figure, paths)


def _series(events: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    found = {event["epoch"]: event[name] for event in events if event["event"] == "metrics" and name in event}
    return list(found), list(found.values())


def _label(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7, color=REFERENCE)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    if not any(len(line.get_xdata()) for line in axis.lines):
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color=REFERENCE)
