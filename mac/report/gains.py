"""Where a row's gain over others sits: in which videos, by how much moves in them, and in which classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from mac import pictures
from mac.planned import Cell, Gains
from mac.report.differences import between
from mac.report.figures import REFERENCE, STYLES
from mac.report.results import Results
from mac.report.scores import Sample

BINS = 5  # groups of equally many videos, from the least foreground to the most
RESAMPLES = 1999
KEYS = ("foreground", "gain", "low", "high")  # what is drawn of a part


class MissingError(Exception):
    """The figure can't be drawn yet; the message says what is missing."""


@dataclass(frozen=True)
class Part:
    """The gain in some of the test videos [points], with its 95 % interval over source groups, for these models.

    ``foreground`` is the mean share of pixels that move in them [percent].
    """

    name: str
    videos: int
    foreground: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A row's gain over another one, by foreground and by class.

    ``correlation`` is Spearman's, of a class's foreground and its gain; ``low`` to ``high`` is its 95 % interval over
    classes.
    """

    over: str
    by_foreground: list[Part]
    by_class: list[Part]
    correlation: float
    low: float
    high: float


def compare(gains: Gains, foreground: dict[str, float], classes: Sequence[str], results: Results) -> list[Comparison]:
    """Compare a row with others on the same test videos, of the first split.

    Args:
        gains: the cells that are compared.
        foreground: share of moving pixels of each test video, in [0, 1], by its path.
        classes: names by class index.
        results: of the scale.

    Raises:
        MissingError: a row has no results yet.
    """
    ours, tested = _sample(gains.row, gains.cell, results)
    shares = np.array([100 * foreground[path] for path in tested["path"]])
    labels, order, found = tested["label"].to_numpy(), np.argsort(shares, kind="stable"), []
    for name, cell in gains.over:
        theirs, _ = _sample(name, cell, results)
        bins = [
            _part(f"{shares[own].min():.1f}–{shares[own].max():.1f} %", own, shares, ours, theirs)
            for own in np.array_split(order, BINS)
        ]
        parts = [_part(classes[c], np.flatnonzero(labels == c), shares, ours, theirs) for c in np.unique(labels)]
        found.append(Comparison(name, bins, parts, *_correlate(parts)))
    return found


def facts(gains: Gains, comparisons: Sequence[Comparison], mask: dict[str, Any]) -> dict[str, Any]:
    """Everything that the picture shows, as JSON, with a sentence on it in ``note``."""
    texts = []
    for one in comparisons:
        least, most = one.by_foreground[0], one.by_foreground[-1]
        texts.append(
            f"Over “{one.over}” it gains {least.gain:+.1f} points [{least.low:+.1f}, {least.high:+.1f}] in the fifth of"
            f" the videos in which least moves, and {most.gain:+.1f} [{most.low:+.1f}, {most.high:+.1f}] in the fifth"
            f" in which most moves; a class's foreground and its gain have a rank correlation of {one.correlation:+.2f}"
            f" [{one.low:+.2f}, {one.high:+.2f}] (Spearman; interval over classes)."
        )
    start = f"Where “{gains.row}” gains, {gains.column}; intervals are of 95 %, for these trained models. "
    return {
        "row": gains.row,
        "column": gains.column,
        "mask": mask,
        "comparisons": [asdict(one) for one in comparisons],
        "note": start + " ".join(texts),
    }


def draw(gains: Gains, comparisons: Sequence[Comparison], note: str, paths: list[Path]) -> None:
    """Draw the gains, by foreground to the left and by class to the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5), layout="constrained", width_ratios=[1, 1.2])
    for number, one in enumerate(comparisons):
        colour, line = STYLES[1 + number]
        x, gain, low, high = (np.array([getattr(p, key) for p in one.by_foreground]) for key in KEYS)
        style = {"color": colour, "linestyle": line, "marker": "o", "capsize": 3}
        left.errorbar(x, gain, (gain - low, high - gain), label=f"over {one.over}", **style)
    left.set(xlabel="foreground [% of pixels], by fifths of the videos", ylabel="gain [points]")
    ordered = sorted(range(len(comparisons[0].by_class)), key=lambda n: comparisons[0].by_class[n].gain)
    for number, one in enumerate(comparisons):
        places = np.arange(len(ordered)) + 0.2 * (number - (len(comparisons) - 1) / 2)
        _, gain, low, high = (np.array([getattr(one.by_class[n], key) for n in ordered]) for key in KEYS)
        right.errorbar(gain, places, xerr=(gain - low, high - gain), fmt="o", color=STYLES[1 + number][0], markersize=3)
    names = [f"{part.name} ({part.foreground:.0f} %)" for part in (comparisons[0].by_class[n] for n in ordered)]
    right.set_yticks(range(len(names)), names, fontsize=7)
    right.set(xlabel="gain [points]; beside each class its foreground")
    for axis, draw_line in ((left, left.axhline), (right, right.axvline)):
        draw_line(0, color=REFERENCE, linewidth=0.8)
        axis.grid(alpha=0.3, linewidth=0.5)
    left.legend(fontsize=8)
    figure.suptitle(
        f"Where “{gains.row}” gains, {gains.column}. {note}", fontsize=7, x=0.01, ha="left", color=REFERENCE
    )
    pictures.save(figure, paths)


def _sample(name: str, cell: Cell, results: Results) -> tuple[Sample, pd.DataFrame]:
    """A cell's runs on its first split, and their test videos sorted by path as the sample's are."""
    samples = results.samples(cell)
    if not samples:
        raise MissingError(f"“{name}” has no results yet")
    split = min(samples)
    run = next(
        i for i in cell.runs if results.plan.tested[i].config.split == split and i in results.predictions[cell.stage]
    )
    return samples[split], results.predictions[cell.stage][run].sort_values("path", ignore_index=True)


def _part(name: str, which: np.ndarray, shares: np.ndarray, ours: Sample, theirs: Sample) -> Part:
    sides = ([Sample(side.clusters[which], side.right[:, which])] for side in (ours, theirs))
    difference = between(*sides)
    limits = np.clip(difference.interval(), -100, 100)  # those of a single source group are infinite
    return Part(name, len(which), float(shares[which].mean()), difference.estimate, *limits.tolist())


def _correlate(parts: Sequence[Part]) -> tuple[float, float, float]:
    """Rank correlation of foreground and gain over classes, and its 95 % percentile interval."""
    values = np.array([(part.foreground, part.gain) for part in parts])
    rng = np.random.default_rng(len(parts))
    drawn = [values[rng.integers(0, len(values), len(values))] for _ in range(RESAMPLES)]
    found = [spearmanr(*one.T).statistic for one in drawn if np.ptp(one, axis=0).all()]
    low, high = np.quantile(found, [0.025, 0.975]) if found else (np.nan, np.nan)
    return float(spearmanr(*values.T).statistic), float(low), float(high)
