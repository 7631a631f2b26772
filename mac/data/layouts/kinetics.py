"""Kinetics: ``train|val/class/ID_START_END.mp4``, and a csv of annotations for each of the two parts; one split."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from mac.data.splits import TEST, TRAIN, UNUSED, LayoutError, SyntheticVideo, find_list, spread

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1,)
SIDES = {"train": TRAIN, "val": TEST}
COLUMNS = ["label", "youtube_id", "time_start", "time_end"]
_NAMES = {"train": ["train.csv"], "val": ["val.csv", "validate.csv", "validation.csv"]}


def annotations(root: Path, part: str) -> "pd.DataFrame":
    """Read the annotations of a part (``train`` or ``val``): ``label``, ``youtube_id``, times in seconds.

    Raises:
        LayoutError: the csv is missing or lacks a column.
    """
    import pandas as pd

    path = find_list(root, "annotations", *_NAMES[part])
    table = pd.read_csv(path, dtype={"youtube_id": str})
    if lacking := set(COLUMNS) - set(table.columns):
        raise LayoutError(f"{path}: lacks the column(s) {', '.join(sorted(lacking))}")
    return table


def read(root: Path) -> "pd.DataFrame":
    """Read the annotations of both parts; each YouTube video is its own group."""
    import pandas as pd

    parts = []
    for part, side in SIDES.items():
        table = annotations(root, part)
        path = [_path(part, row.label, row.youtube_id, row.time_start, row.time_end) for row in table.itertuples()]
        columns = {"path": path, "label": table["label"], "group": table["youtube_id"]}
        parts.append(pd.DataFrame(columns | {"split_1": side, "split_2": UNUSED, "split_3": UNUSED}))
    return pd.concat(parts, ignore_index=True)


def _path(part: str, label: str, youtube_id: str, start: float, end: float) -> str:
    return f"{part}/{label}/{youtube_id}_{int(start):06d}_{int(end):06d}.mp4"


def synthesise(names: list[str], videos: int) -> tuple[list[SyntheticVideo], dict[str, str]]:
    """Groups 1–4 are the validation part."""
    planned, texts = [], {part: io.StringIO() for part in SIDES}
    writers = {part: csv.writer(text) for part, text in texts.items()}
    for writer in writers.values():
        writer.writerow([*COLUMNS, "split"])
    for motion, name in enumerate(names):
        label = f"doing {name.lower()}"
        for group, number in spread(videos):
            part = "val" if group <= 4 else "train"
            youtube_id, start = f"{name[:4].lower()}_g{group:02d}c{number:03d}", 10 * number
            path = _path(part, label, youtube_id, start, start + 10)
            planned.append(SyntheticVideo(path, motion, group, number, (SIDES[part],)))
            writers[part].writerow([label, youtube_id, start, start + 10, part])
    return planned, {f"annotations/{part}.csv": text.getvalue() for part, text in texts.items()}
