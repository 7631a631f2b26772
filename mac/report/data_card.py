"""The data card: what a data set holds, what was left out and why, and whether its splits leak."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from mac import pictures
from mac.data import check, splits
from mac.data.index import digest, usable
from mac.report.figures import MEASURED, REFERENCE

SHOWN = 40  # videos named one by one


def summarise(table: pd.DataFrame) -> dict:
    """Count an index.

    Returns:
        ``index_digest``, ``listed``, ``usable``, ``frames``, ``hours``; ``statuses`` (name → videos), ``copies`` (how
        files compare with a declared subset's → videos); ``splits`` (number → videos of train, test and unused, groups
        and duplicate contents that stand on both sides); ``classes`` (label → videos by split and side);
        ``frames_range`` and ``rates`` (frames per second → videos), ``sizes`` (WIDTH×HEIGHT → videos).
    """
    used, listed = usable(table), table[table["status"] != check.UNLISTED]
    seconds = (used["num_frames"] / used["fps"].where(used["fps"] > 0)).sum()
    by_split, classes = {}, {label: {} for label in sorted(listed["label"].unique())}
    for split in splits.SPLITS:
        side = used[f"split_{split}"]
        if (side == splits.UNUSED).all():
            continue
        sides = {name: used[side == name] for name in (splits.TRAIN, splits.TEST)}
        leaks = {
            f"{what}_on_both_sides": len(set(sides[splits.TRAIN][column]) & set(sides[splits.TEST][column]))
            for what, column in (("groups", "group"), ("contents", "content"))
        }
        by_split[str(split)] = {name: int((side == name).sum()) for name in (splits.TRAIN, splits.TEST)} | leaks
        for label, counts in classes.items():
            for name, part in sides.items():
                counts[f"{split} {name}"] = int((part["label"] == label).sum())
    sizes = used["width"].astype(str) + "×" + used["height"].astype(str)
    return {
        "index_digest": digest(table),
        "listed": len(listed),
        "usable": len(used),
        "frames": int(used["num_frames"].sum()),
        "hours": round(float(seconds) / 3600, 3),
        "statuses": _counts(table["status"]),
        "copies": _counts(used.loc[used["copy"] != "", "copy"]),
        "splits": by_split,
        "classes": classes,
        "frames_range": [
            int(used["num_frames"].min()),
            int(used["num_frames"].median()),
            int(used["num_frames"].max()),
        ],
        "rates": _counts(used["fps"].round(3).astype(str)),
        "sizes": _counts(sizes),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().items()}


def page(title: str, facts: dict, table: pd.DataFrame, picture: str) -> str:
    """Write the card as Markdown; ``picture`` is the file of its histograms, relative to the page."""
    low, middle, high = facts["frames_range"]
    parts = [
        f"# Data card: {title}",
        f"{facts['usable']} of {facts['listed']} listed videos are used: {facts['frames']} frames, {facts['hours']:.1f}"
        f" hours, {low} to {high} frames a video (median {middle}). Index digest `{facts['index_digest']}`.",
        _rows(["Status", "Videos"], facts["statuses"].items()),
    ]
    if facts["copies"]:
        text = ", ".join(f"{count} {name}" for name, count in facts["copies"].items())
        parts.append(f"A declared subset; its copy of each video compared with the one here: {text}.")
    split_rows = [
        (f"{split}", s["train"], s["test"], s["groups_on_both_sides"], s["contents_on_both_sides"])
        for split, s in facts["splits"].items()
    ]
    head = ["Split", "Training", "Test", "Groups on both sides", "Contents on both sides"]
    parts += ["## Splits", _rows(head, split_rows), f"![Lengths and frame rates]({picture})"]
    columns = list(next(iter(facts["classes"].values()), {}))
    class_rows = [(label, *(counts[name] for name in columns)) for label, counts in facts["classes"].items()]
    named = table[table["status"] != check.OK]
    absent = named["status"] == check.ABSENT
    listed = [
        (f"`{row.path}`", row.status, row.reason)
        for row in pd.concat([named[~absent], named[absent]]).head(SHOWN).itertuples()
    ]
    parts += ["## Left out, or worth a word"]
    parts.append(
        _rows(["Video", "Status", "Reason"], listed, numbers=False)
        if listed
        else "Nothing: every listed video is whole."
    )
    if len(named) > SHOWN:
        parts.append(f"… and {len(named) - SHOWN} more: `left_out.csv` beside the index names them all.")
    parts.append(
        f"Videos that are {' or '.join(check.USABLE[1:])} are used, as the official lists have them; all others are"
        " left out."
    )
    parts += ["## Frame sizes and rates", _rows(["Pixels", "Videos"], facts["sizes"].items())]
    parts.append(_rows(["Frames per second", "Videos"], facts["rates"].items()))
    parts += ["## Classes", _rows(["Class", *(f"split {name}" for name in columns)], class_rows)]
    return "\n\n".join(parts) + "\n"


def _rows(head: list[str], rows: Iterable[tuple], numbers: bool = True) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + (" ---: |" if numbers else " --- |") * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def draw(table: pd.DataFrame, title: str, paths: list[Path]) -> None:
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
