"""A user's own videos: ``videos.csv`` with the columns ``path`` and ``label``, and optionally ``split`` and ``group``.

Paths are relative to the data set's folder. Videos of one ``group`` come from the same source; without the column, or
where it is empty, each video is its own group. ``split`` says train or test; without the column, :func:`divide` does.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mac.data.splits import TEST, TRAIN, UNUSED, LayoutError, SyntheticVideo, read_text, spread

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1,)
NAME = "videos.csv"
SHARE = 0.3  # of a class's videos become test videos if the list has no column `split`
SHOWN = 20  # problems in a list are told; further ones are counted


def read(root: Path) -> "pd.DataFrame":
    """Read ``videos.csv``; every problem in it is told at once, with its line."""
    import pandas as pd

    path = root / NAME
    if not path.is_file():
        raise LayoutError(f"{path}: missing — write it, with the columns path, label and perhaps split and group")
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        found = reader.fieldnames or []
        rows = [{**row, "line": reader.line_num} for row in reader]
    except csv.Error as error:
        raise LayoutError(f"{path}: {error} — comma-separated text in UTF-8 is read") from None
    if lacking := [column for column in ("path", "label") if column not in found]:
        raise LayoutError(
            f"{path}, line 1: found the columns {', '.join(found) or 'none'} — path and label are needed, split and"
            f" group are allowed — name {' and '.join(lacking)} in the first line, commas between the names"
        )
    problems, videos = [], {}
    for row in rows:
        if problem := _problem(row, root, videos, "split" in found):
            problems.append(f"line {row['line']}: {problem}")
        else:
            videos[row["path"]] = row
    if not problems:
        table = pd.DataFrame(list(videos.values()), columns=["line", "path", "label", "group", "split"])
        if "split" not in found:
            table["split"] = divide(table["label"].tolist(), table["group"].tolist())
        for label, own in table.groupby("label"):
            problems += [
                f"line {own['line'].iloc[0]}: class {label!r} has no {side} video, {len(own)} in"
                f" {own['group'].nunique()} groups — each class needs training and test videos of different groups —"
                " add videos, or say their `split`"
                for side in (TRAIN, TEST)
                if side not in set(own["split"])
            ]
    if problems:
        more = f"\n  … and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise LayoutError("\n  • ".join([f"{path}: {len(problems)} problem(s)", *problems[:SHOWN]]) + more)
    table = table.drop(columns="line").rename(columns={"split": "split_1"})
    return table.assign(split_2=UNUSED, split_3=UNUSED, file=table["path"])


def _problem(row: dict, root: Path, videos: dict[str, dict], split_given: bool) -> str:
    """Strip a row's cells and complete its group; return what is wrong with the row, or nothing."""
    if None in row:
        return f"found {len(row[None])} cells too many — one a column — put a cell that holds a comma into quotes"
    for column in ("path", "label", "split", "group"):
        row[column] = (row.get(column) or "").strip()
    if not row["path"] or not row["label"]:
        return "found no path or no label — each line names both — complete or delete the line"
    path = PurePosixPath(row["path"])
    row["path"] = str(path)
    row["group"] = row["group"] or row["path"]
    if path.is_absolute() or ".." in path.parts:
        return f"found {row['path']!r} — a path below {root} is allowed — move the video there, or link its folder"
    if not (root / path).is_file():
        return f"found {row['path']!r} — there is no such file in {root} — correct the path, or delete the line"
    if split_given and row["split"] not in (TRAIN, TEST):
        return f"found split {row['split']!r} — {TRAIN} or {TEST} is allowed — write one of them, or drop the column"
    if first := videos.get(row["path"]):
        return (
            f"found {row['path']!r} as {row['label']!r}, which line {first['line']} lists as {first['label']!r} — one"
            " line a file — delete one of them"
        )
    return ""


def divide(labels: list[str], groups: list[str]) -> list[str]:
    """Divide videos into about 70 % for training and 30 % for testing, so that no group is in both parts.

    Groups are taken one after another, the largest first and those of equal size in the order of their names' SHA-256.
    A group is tested if this brings the tested shares of its classes closer to 30 % (in squares). The result is a
    function of the labels and groups alone, whatever their order.

    Returns:
        The side of each video, train or test. A class in one group only is on one side.
    """
    totals, tested, chosen = Counter(labels), Counter(), set()
    content: dict[str, Counter] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1

    def distance(group: str, counts: Counter) -> float:
        return sum((counts[label] / totals[label] - SHARE) ** 2 for label in sorted(content[group]))

    for group in sorted(content, key=lambda name: (-content[name].total(), hashlib.sha256(name.encode()).digest())):
        if distance(group, tested + content[group]) < distance(group, tested):
            chosen.add(group)
            tested += content[group]
    return [TEST if group in chosen else TRAIN for group in groups]


def synthesise(names: list[str], videos: int) -> tuple[list[SyntheticVideo], dict[str, str]]:
    """Groups 1–7 are tested, as in the first split of UCF101."""
    planned, lines = [], ["path,label,split,group"]
    for motion, name, group, number in spread(names, videos):
        path, side = f"{name}/{group:02d}_{number:02d}.mp4", TEST if group <= 7 else TRAIN
        planned.append(SyntheticVideo(path, motion, group, number, (side,)))
        lines.append(f"{path},{name},{side},{name} {group:02d}")
    return planned, {NAME: "".join(f"{line}\r\n" for line in lines)}
