"""The efficiency curve (figure 1) and the foreground of the mask sweep as pictures."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from mac import pictures
from mac.plan import PlannedTable
from mac.report.results import Results

MEASURED, PRINTED, REFERENCE = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito: distinct to colour-blind readers


def draw_curve(table: PlannedTable, results: Results, note: str, paths: list[Path]) -> None:
    """Draw accuracy over pretraining epochs with 95 % intervals, printed points, and reference lines.

    Epoch 0 is random initialisation. The same numbers give the same bytes, PNG and SVG alike.
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    scored = [(row.epoch, score) for row in table.rows if (score := results.score(row.cells[0]))]
    epochs = [epoch for epoch, _ in scored]
    tops = [score.top1 for _, score in scored]
    lows, highs = [score.low for _, score in scored], [score.high for _, score in scored]
    axis.fill_between(epochs, lows, highs, color=MEASURED, alpha=0.2, linewidth=0)
    axis.plot(epochs, tops, color=MEASURED, marker="o", label="measured, 95 % interval")
    printed = [(row.epoch, row.cells[0].printed) for row in table.rows if row.cells[0].printed is not None]
    if printed:
        axis.plot(*zip(*printed, strict=True), color=PRINTED, marker="D", linestyle="none", label="printed")
    for reference in table.references:
        _line(axis, reference.value, f"{reference.label}: {reference.value:g} (cited)", ":")
    if scored and scored[0][0] == 0:
        _line(axis, tops[0], f"random initialisation: {tops[0]:.1f}", "--")
    axis.set(xlabel="pretraining epochs (0: random initialisation)", ylabel=f"{table.columns[0]} top-1 [percent]")
    axis.set_xticks(epochs)
    axis.grid(alpha=0.3, linewidth=0.5)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    axis.set_title(note, fontsize=7, loc="left", color=REFERENCE)
    pictures.save(figure, paths)


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
    momenta = sorted({setting["momentum"] for setting in settings})
    for axis, name in zip(axes, ("foreground", "stability"), strict=True):
        for momentum, (colour, line, marker) in zip(momenta, styles, strict=False):
            own = sorted((s for s in settings if s["momentum"] == momentum), key=lambda s: s["threshold"])
            thresholds, values = [s["threshold"] for s in own], [100 * s[name] for s in own]
            axis.plot(thresholds, values, color=colour, linestyle=line, marker=marker, label=f"m = {momentum:g}")
        axis.set(xlabel="threshold λ [gray levels]", ylim=(0, None))
        axis.set_xticks(sorted({s["threshold"] for s in settings}))
        axis.grid(alpha=0.3, linewidth=0.5)
    axes[0].set_ylabel("foreground [% of pixels]")
    axes[1].set_ylabel("overlap of neighbours [percent]")
    axes[0].legend(fontsize=8)
    figure.suptitle(note, fontsize=7, x=0.01, ha="left", color=REFERENCE)
    pictures.save(figure, paths)
