"""Pictures: the efficiency curve, sweeps, learning curves, the mask sweep's foreground, confusions, lengths of videos.

The same numbers give the same bytes, PNG and SVG alike.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mac import pictures
from mac.data import check
from mac.data.index import usable
from mac.plan import PlannedTable
from mac.report.results import Results

MEASURED, PRINTED, REFERENCE = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito: distinct to colour-blind readers
# With a line style each: distinct in gray print, too.
STYLES = [("#000000", "-"), ("#0072B2", "--"), ("#D55E00", "-."), ("#009E73", ":")]
STYLES += [("#CC79A7", (0, (5, 1))), ("#E69F00", (0, (1, 1)))]
LIMITS = ["top1", "low", "high"]
FEW = 12  # classes up to which counts are written into the cells of a confusion matrix
MANY = 50  # classes from which they are no longer named


def draw_curve(table: PlannedTable, results: Results, note: str, paths: list[Path]) -> None:
    """Draw accuracy over pretraining epochs with 95 % intervals, printed points, and reference lines.

    Epoch 0 is random initialisation.
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    epochs, tops, lows, highs = _scored(table, [row.epoch for row in table.rows], results)
    axis.fill_between(epochs, lows, highs, color=MEASURED, alpha=0.2, linewidth=0)
    axis.plot(epochs, tops, color=MEASURED, marker="o", label="measured, 95 % interval")
    printed = [(row.epoch, row.cells[0].printed) for row in table.rows if row.cells[0].printed is not None]
    if printed:
        axis.plot(*zip(*printed, strict=True), color=PRINTED, marker="D", linestyle="none", label="printed")
    for reference in table.references:
        _line(axis, reference.value, f"{reference.label}: {reference.value:g} (cited)", ":")
    if len(epochs) and epochs[0] == 0:
        _line(axis, tops[0], f"random initialisation: {tops[0]:.1f}", "--")
    axis.set_xticks(epochs)
    _finish(axis, "pretraining epochs (0: random initialisation)", table, note)
    pictures.save(figure, paths)


def draw_sweep(table: PlannedTable, results: Results, note: str, paths: list[Path]) -> None:
    """Draw accuracy over a swept setting's values with 95 % intervals; those that are no numbers stand side by side."""
    figure, axis = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    values = [row.value for row in table.rows]
    are_numbers = not any(isinstance(value, str) for value in values)
    places = values if are_numbers else range(len(values))
    found = _scored(table, places, results)
    x, tops, lows, highs = found[:, found[0].argsort()]
    style = {"color": MEASURED, "marker": "o", "capsize": 3, "linestyle": "-" if are_numbers else "none"}
    axis.errorbar(x, tops, [tops - lows, highs - tops], label="measured, 95 % interval", **style)
    if are_numbers and min(values) > 0 and max(values) >= 100 * min(values):
        axis.set_xscale("log")
    axis.set_xticks(places, [f"{value:g}" if are_numbers else str(value) for value in values])
    _finish(axis, table.swept, table, note)
    pictures.save(figure, paths)


def _scored(table: PlannedTable, places: Iterable[float], results: Results) -> np.ndarray:
    """Place on the horizontal axis, top-1 and its interval of each row that has results, as an array (4, rows)."""
    scores = [(x, results.score(row.cells[0])) for x, row in zip(places, table.rows, strict=True)]
    found = [(x, *(getattr(score, name) for name in LIMITS)) for x, score in scores if score]
    return np.array(found, dtype=float).reshape(-1, 1 + len(LIMITS)).T


def _finish(axis: Axes, label: str, table: PlannedTable, note: str) -> None:
    """Label a picture of a table's numbers."""
    axis.set(xlabel=label, ylabel=f"{table.columns[0]} top-1 [percent]")
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    axis.set_title(note, fontsize=7, loc="left", color=REFERENCE)


def _line(axis: Axes, value: float, text: str, style: str) -> None:
    axis.axhline(value, color=REFERENCE, linestyle=style, linewidth=1, zorder=0)
    place = {"xycoords": ("axes fraction", "data"), "xytext": (-3, -9), "textcoords": "offset points"}
    axis.annotate(text, (1, value), ha="right", fontsize=7, color=REFERENCE, **place)


def draw_foreground(settings: list[dict[str, float]], note: str, paths: list[Path]) -> None:
    """Draw the share of foreground and the masks' stability over λ, a line for each m.

    ``settings`` holds ``momentum``, ``threshold`` [gray levels], ``foreground`` and ``stability`` in [0, 1] of each.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), layout="constrained")
    styles = [("#000000", "-", "o"), (MEASURED, "--", "s"), (PRINTED, "-.", "D")]
    table = pd.DataFrame(settings).sort_values("threshold")
    for axis, name in zip(axes, ("foreground", "stability"), strict=True):
        for (momentum, own), (colour, line, marker) in zip(table.groupby("momentum"), styles, strict=False):
            style = {"color": colour, "linestyle": line, "marker": marker, "label": f"m = {momentum:g}"}
            axis.plot(own["threshold"], 100 * own[name], **style)
        axis.set(xlabel="threshold λ [gray levels]", ylim=(0, None))
        axis.set_xticks(table["threshold"].unique())
        axis.grid(alpha=0.3, linewidth=0.5)
    axes[0].set_ylabel("foreground [% of pixels]")
    axes[1].set_ylabel("overlap of neighbours [percent]")
    axes[0].legend(fontsize=8)
    figure.suptitle(note, fontsize=7, x=0.01, ha="left", color=REFERENCE)
    pictures.save(figure, paths)


def draw_learning(table: PlannedTable, results: Results, paths: list[Path]) -> None:
    """Draw pretraining loss and finetuning accuracy of a table's rows over their epochs.

    The loss is the pretext task's, or the whole one where there is none. Losses of different objectives have
    different units, so each is shown as a share of its first epoch's. Drawn: the first run of a row's first cell.

    Args:
        table: a table or curve.
        results: whose journals are read; a run without one is left out.
        paths: pictures to write.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
    drawn = {}
    for row in (row for row in table.rows if not row.cited):
        finetune_id = row.cells[0].runs[0]
        config = results.plan.finetunings[finetune_id].config
        colour, line = STYLES[len(drawn) % len(STYLES)]
        style = {"color": colour, "linestyle": line, "linewidth": 1.4}
        (drawn[row.label],) = right.plot(*_series(results.epochs("finetune", finetune_id), "train_top1"), **style)
        if config.pretrain_id and not (table.is_curve and row.epoch != table.rows[-1].epoch):
            journal = results.epochs("pretrain", config.pretrain_id)
            epochs, losses = _series(journal, "pretext_loss")
            if not losses:  # no pretext: labels, or contrast alone
                epochs, losses = _series(journal, "loss")
            left.plot(epochs, [loss / (losses[0] or 1.0) for loss in losses], **style)
    _label(left, "pretraining epoch", "loss ÷ first epoch's")
    _label(right, "finetuning epoch", "training accuracy [percent]")
    right.set_ylim(0, 102)
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    pictures.save(figure, paths)


def _series(epochs: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    found = {epoch["epoch"]: epoch[name] for epoch in epochs if name in epoch}
    return list(found), list(found.values())


def _label(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7, color=REFERENCE)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    if not any(len(line.get_xdata()) for line in axis.lines):
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color=REFERENCE)


def draw_confusion(predictions: pd.DataFrame, classes: list[str], title: str, path: Path) -> None:
    """Draw the confusion matrix of a finetuning's test videos, each row as shares of its class [percent]."""
    every = pd.RangeIndex(len(classes))
    found = pd.crosstab(predictions["label"], predictions["predicted"])
    counts = found.reindex(index=every, columns=every, fill_value=0).to_numpy()
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(2.2 + 0.32 * len(classes), 4, 14))
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axis.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    axis.set(xlabel="predicted class", ylabel="class", title=title)
    axis.title.set_fontsize(9)
    if len(classes) < MANY:
        axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        axis.set_yticks(range(len(classes)), classes, fontsize=7)
    if len(classes) <= FEW:
        for row, column in np.argwhere(counts):
            colour = "black" if shares[row, column] > 50 else "white"
            axis.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, label="percent of the class's videos", shrink=0.8)
    pictures.save(figure, [path])


def draw_lengths(table: pd.DataFrame, title: str, paths: list[Path]) -> None:
    """Draw histograms of the used videos' lengths and frame rates."""
    used = usable(table)
    figure, (lengths, rates) = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    lengths.hist(used["num_frames"], bins=40, color=MEASURED)
    lengths.axvline(check.SHORT_FRAMES, color=REFERENCE, linestyle=":", linewidth=1)
    lengths.set(xlabel="frames (dotted: one clip)", ylabel="videos")
    rates.hist(used["fps"], bins=40, color=MEASURED)
    rates.set(xlabel="frames per second", ylabel="videos")
    figure.suptitle(title, fontsize=9)
    pictures.save(figure, paths)
