"""The efficiency curve (figure 1) as a picture."""

from pathlib import Path

import matplotlib.pyplot as plt

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
        axis.axhline(reference.value, color=REFERENCE, linestyle=":", linewidth=1)
        axis.annotate(
            f"{reference.label}: {reference.value:g} (cited)",
            (1, reference.value),
            xycoords=("axes fraction", "data"),
            xytext=(-3, -9),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=REFERENCE,
        )
    axis.set(xlabel="pretraining epochs (0: random initialisation)", ylabel=f"{table.columns[0]} top-1 [percent]")
    axis.set_xticks(epochs)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.legend(fontsize=8, loc="lower right")
    axis.set_title(note, fontsize=7, loc="left", color=REFERENCE)
    pictures.save(figure, paths)
