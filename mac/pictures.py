"""Pictures whose bytes depend on their content alone."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

plt.rcParams["svg.hashsalt"] = "mac"


def formats(stem: Path, svg: bool) -> list[Path]:
    """Name the files of a picture: a PNG, and an SVG only where a person asks for it."""
    return [stem.with_name(f"{stem.name}.{ending}") for ending in (["png", "svg"] if svg else ["png"])]


def save(figure: Figure, paths: list[Path], dpi: int = 150) -> None:
    """Save a figure as PNG or SVG, by each path's ending, without dates and versions; then close it."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".svg":
            figure.savefig(path, dpi=dpi, metadata={"Date": None})
        else:
            figure.savefig(path, dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)
