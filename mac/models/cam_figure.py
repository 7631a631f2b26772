"""Which videos a comparison of class activation maps shows, and how."""

import textwrap
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from mac.randomness import shuffle, uniform

COLOURS = "viridis"  # rises evenly in lightness: it reads in gray print and with every kind of colour vision
SMALL = 96  # pixels; smaller frames are enlarged smoothly: as squares of pixels they would be hard to recognise
CELL, LABELS = 1.45, 2.05  # inches: a picture, the words beside a row


@dataclass(frozen=True)
class Row:
    """A video as a figure shows it: a frame, its change mask, and each model's map laid over the frame.

    ``frame`` (H, W, 3) uint8, ``mask`` (H, W) in [0, 1], ``maps`` one (H, W) in [0, 1] per model; ``video`` and
    ``label`` are names, ``predicted`` one class name per model.
    """

    video: str
    label: str
    predicted: tuple[str, ...]
    frame: np.ndarray
    mask: np.ndarray
    maps: tuple[np.ndarray, ...]


def group(names: tuple[str, str], right: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Sort videos by which of two models is right, bool (N,) each; those that both get right are in no group."""
    a, b = right
    return {
        f"right by {names[0]} only": np.flatnonzero(a & ~b),
        f"right by {names[1]} only": np.flatnonzero(b & ~a),
        "wrong by both": np.flatnonzero(~a & ~b),
    }


def choose_rows(members: np.ndarray, labels: np.ndarray, rows: int, keys: tuple[int | str, ...]) -> np.ndarray:
    """Choose up to ``rows`` of the members (N,), one class after the other; the keys shuffle classes and members."""
    if not len(members):
        return members
    members = shuffle(members, (*keys, "videos"))
    own = labels[members]
    turn = pd.Series(own).groupby(own).cumcount()  # a member's index within its class
    drawn = uniform((*keys, "classes", own), 1)[:, 0]
    return members[np.lexsort((drawn, turn))][:rows]


def explain(cells: list[int], momentum: float, threshold: float, preset: str) -> str:
    """Say how to read a figure, for maps of so many cells (time, height, width) and this mask setting."""
    return (
        "A map explains the class its own model predicts (✓ right, ✗ wrong), on the middle of the video's test clips;"
        f" it has {' × '.join(map(str, cells))} cells (time, height, width), drawn smoothly. Shown is the frame with"
        f" the largest foreground. Change mask: m = {momentum:g}, λ = {threshold:g} ({preset})."
    )


def overlay(frame: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lay a map (H, W) in [0, 1] over a frame (H, W, 3) uint8, kept in gray beneath; float (H, W, 3) in [0, 1]."""
    gray = (frame.astype(float) @ [0.299, 0.587, 0.114])[..., None] / 255
    colour = plt.get_cmap(COLOURS)(values)[..., :3]
    return 0.4 * gray + 0.6 * colour


def draw(rows: list[Row], models: tuple[str, ...], title: str, notes: list[str]) -> Figure:
    """Draw rows under a title; ``notes`` stand below, and alone where there is no row."""
    columns, width = 2 + len(models), LABELS + (2 + len(models)) * CELL + 0.1
    heading = textwrap.wrap(title, round(width * 10.5))
    below = [line for note in notes for line in textwrap.wrap(note, round(width * 16.5))]
    heads = [
        textwrap.fill(name, 20, break_on_hyphens=False)
        for name in ("Frame", "Change mask", *(f"GradCAM, {name}" for name in models))
    ]
    top = 0.12 + 0.19 * len(heading) + 0.14 * max(head.count("\n") + 1 for head in heads) + 0.05
    bar, bottom = (0.42, 0.62) if rows else (0.0, 0.1)
    height = top + CELL * len(rows) + bottom + 0.135 * len(below)
    figure = plt.figure(figsize=(width, height))
    for i, line in enumerate(heading):
        figure.text(0.1 / width, 1 - (0.22 + 0.19 * i) / height, line, fontsize=10, weight="bold")
    for i, line in enumerate(below):
        y = (0.1 + 0.135 * (len(below) - 1 - i)) / height
        figure.text(0.1 / width, y, line, fontsize=7, color="#333333")
    for number, row in enumerate(rows):
        floor = height - top - CELL * (number + 1)
        pictures = [row.frame, row.mask, *(overlay(row.frame, values) for values in row.maps)]
        for column, picture in enumerate(pictures):
            place = (LABELS + CELL * column) / width, floor / height, (CELL - 0.06) / width, (CELL - 0.06) / height
            axis = figure.add_axes(place)
            smooth = column != 1 and len(picture) < SMALL
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="bicubic" if smooth else "nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(linewidth=0.4, color="#888888")
            if number == 0:
                axis.set_title(heads[column], fontsize=8, pad=3)
        _describe(
            figure, row, models, (0.1 / width, (floor + CELL - 0.08) / height), 0.145 / height, (CELL - 0.1) / height
        )
    if rows:
        _scale(figure, (LABELS + 2 * CELL) / width, (columns - 2) * CELL / width, bar, bottom, below, height)
    return figure


def _describe(
    figure: Figure, row: Row, models: tuple[str, ...], at: tuple[float, float], step: float, room: float
) -> None:
    """Write a video's name, its true class and what each model predicts beside its row, in its ``room``."""
    lines = [(line, "#777777", 6) for line in textwrap.wrap(row.video, 36)]
    lines += [(line, "black", 8) for line in textwrap.wrap(f"true class: {row.label}", 28)]
    for name, predicted in zip(models, row.predicted, strict=True):
        right = predicted == row.label
        lines += [(part, "#333333", 7) for part in textwrap.wrap(f"{name}:", 34)]
        said = textwrap.wrap(f"{predicted} {'✓' if right else '✗'}", 28, initial_indent="   ", subsequent_indent="   ")
        lines += [(part, "#0072B2" if right else "#D55E00", 8) for part in said]
    for i, (text, colour, size) in enumerate(lines):
        figure.text(at[0], at[1] - i * min(step, room / len(lines)), text, fontsize=size, color=colour, va="top")


def _scale(
    figure: Figure, left: float, width: float, bar: float, bottom: float, below: list[str], height: float
) -> None:
    """Draw the maps' colour scale under their columns."""
    axis = figure.add_axes((left, (0.135 * len(below) + bar) / height, width - 0.01, 0.08 / height))
    scale = figure.colorbar(ScalarMappable(cmap=COLOURS), cax=axis, orientation="horizontal", ticks=[0, 1])
    scale.ax.set_xticklabels(["0", "the clip's maximum"], fontsize=7)
    scale.ax.get_xticklabels()[1].set_ha("right")
    scale.outline.set_linewidth(0.4)
