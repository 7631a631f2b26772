"""The confusion matrix of a finetuning's test videos."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mac import pictures

FEW = 12  # classes up to which counts are written into the cells
MANY = 50  # classes from which they are no longer named


def confusion(predictions: pd.DataFrame, classes: int) -> np.ndarray:
    """Count test videos by their class (rows) and the predicted one (columns), int (classes, classes)."""
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (predictions["label"].to_numpy(), predictions["predicted"].to_numpy()), 1)
    return counts


def draw(predictions: pd.DataFrame, classes: list[str], title: str, path: Path) -> None:
    """Draw it, each row as shares of its class [percent]; the same predictions give the same bytes."""
    counts = confusion(predictions, len(classes))
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
