"""Pictures whose bytes depend on their content alone."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

plt.rcParams["svg.hashsalt"] = "mac"


def save(figure: Figure, paths: list[Path]) -> None:
    """Save a figure as PNG or SVG, by each path's ending, without dates and versions; then close it."""
    for path in paths:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    plt.close(figure)
