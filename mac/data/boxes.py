"""Person boxes that are published with a data set.

One table for all videos, ``person_boxes.parquet`` or ``.csv``: a row a box, with the columns ``path`` (or ``video``),
``frame``, ``x0``, ``y0``, ``x1``, ``y1`` and perhaps ``score``. Frames count from 0; coordinates are fractions of the
frame, or pixels of the original video. Or the files published with SDN, see :mod:`mac.data.sdn_boxes`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mac.data import sdn_boxes
from mac.data.sdn_boxes import BoxesError

CORNERS = ["x0", "y0", "x1", "y1"]
COLUMNS = ["path", "frame", *CORNERS, "score"]
TABLES, FOLDER = ("person_boxes.parquet", "person_boxes.csv"), "detections"


def read(root: Path, videos: pd.DataFrame, min_score: float) -> pd.DataFrame:
    """Read a data set's published person boxes.

    Args:
        root: the data set's folder.
        videos: usable rows of its index.
        min_score: detections with a lower score are dropped; those without a score are kept.

    Returns:
        ``path``, ``frame``, ``x0``, ``y0``, ``x1``, ``y1`` (fractions of the frame, clipped to [0, 1]) and ``score``,
        sorted by path and frame. A video without any row has no person in it.

    Raises:
        BoxesError: there are none, a file is malformed, or frames lie outside their video.
    """
    tables = [root / name for name in TABLES if (root / name).is_file()]
    if tables:
        table, source = _table(tables[0]), tables[0]
    elif any((root / FOLDER).rglob(sdn_boxes.FILES)):
        table, source = _published(root / FOLDER, videos), root / FOLDER
    else:
        raise BoxesError(
            f"{root}: no published person boxes — put {' or '.join(TABLES)} there, or SDN's {sdn_boxes.FILES} into its"
            f" folder {FOLDER}/, or set `person_boxes.detector` to a detector of torchvision's"
        )
    is_in_pixels = not tables or table[CORNERS].abs().max(axis=None) > 2  # fractions leave [0, 1] by rounding only
    sizes = videos.set_index("path")[["width", "height", "num_frames"]]
    table = table[table["path"].isin(sizes.index)].reset_index(drop=True)
    of_video = sizes.loc[table["path"]].reset_index(drop=True)
    outside = (table["frame"] < 0) | (table["frame"] >= of_video["num_frames"])
    if outside.any():
        worst = table[outside].iloc[0]
        raise BoxesError(
            f"{source}: frame {worst['frame']} of {worst['path']}, which has {sizes.at[worst['path'], 'num_frames']}"
            " frames; frames count from 0"
        )
    if is_in_pixels:
        table[["x0", "x1"]] = table[["x0", "x1"]].div(of_video["width"], axis=0)
        table[["y0", "y1"]] = table[["y0", "y1"]].div(of_video["height"], axis=0)
    kept = table["score"].isna() | (table["score"] >= min_score)
    table[CORNERS] = table[CORNERS].clip(0, 1)
    return table.loc[kept, COLUMNS].sort_values(["path", "frame"], kind="stable", ignore_index=True)


def join(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put the boxes of all shards of a data set's videos together.

    Raises:
        BoxesError: there is no box at all.
    """
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise BoxesError(
            "no box in any video: published boxes must name videos by their paths in the official lists; a detector's"
            " `min_score` may be too high"
        )
    return table


def hold(table: pd.DataFrame, videos: pd.DataFrame, every: int) -> pd.DataFrame:
    """Repeat detections made on frames 0, ``every``, 2·``every`` … on the frames up to the next one."""
    if every == 1:
        return table
    lengths = videos.set_index("path")["num_frames"]
    parts = [table.assign(frame=table["frame"] + ahead) for ahead in range(every)]
    held = pd.concat(parts, ignore_index=True)
    held = held[held["frame"] < lengths.loc[held["path"]].to_numpy()]
    return held.sort_values(["path", "frame"], kind="stable", ignore_index=True)


def _table(source: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
    except ValueError as error:  # the parsing errors of pandas and pyarrow are ValueErrors
        raise BoxesError(f"{source}: {error} — expected a table, a row a box") from None
    table = table.rename(columns={"video": "path"})
    lacking = {"path", "frame", *CORNERS} - set(table.columns)
    if lacking:
        raise BoxesError(f"{source}: lacks the column(s) {', '.join(sorted(lacking))}")
    for column in table.columns.intersection(["frame", *CORNERS, "score"]):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise BoxesError(f"{source}: column {column} holds {table[column].iloc[0]!r} — expected numbers")
    if not (is_whole := np.isfinite(table[CORNERS]).all(axis=1) & (table["frame"] % 1 == 0)).all():
        raise BoxesError(f"{source}: found {table[~is_whole].iloc[0].to_dict()} — expected whole frames and numbers")
    return table.astype({"frame": int}).assign(score=table.get("score", np.nan))[COLUMNS]


def _published(folder: Path, videos: pd.DataFrame) -> pd.DataFrame:
    found, parts = sdn_boxes.read(folder), [pd.DataFrame(columns=COLUMNS)]
    for video in videos.itertuples():
        rows = sdn_boxes.rows_of(found, video.path, video.height, video.num_frames)
        if len(rows):
            parts.append(pd.DataFrame(rows, columns=COLUMNS[1:]).assign(path=video.path).astype({"frame": int}))
    return pd.concat(parts[1:] or parts, ignore_index=True)
