"""Kinetics: ``train|val/class/ID_START_END.mp4``, and a csv of annotations for each of the two parts; one split."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mac.data.splits import TEST, TRAIN, LayoutError, Listing, SyntheticVideo, find_list, read_table, spread

if TYPE_CHECKING:
    import pandas as pd

SPLITS = (1,)
SIDES = {"train": TRAIN, "val": TEST}
COLUMNS = ["label", "youtube_id", "time_start", "time_end"]
_NAMES = {"train": ["train.csv"], "val": ["val.csv", "validate.csv", "validation.csv"]}


class ChoiceError(Exception):
    """A choice can't be made as declared; the message says what is asked for and what there is."""


def annotations(root: Path, part: str) -> "pd.DataFrame":
    """Read the annotations of a part (``train`` or ``val``): ``label``, ``youtube_id``, times in whole seconds.

    Raises:
        LayoutError: the csv is missing, can't be read, lacks a column, or a row lacks a value or has a time that is no
            number.
    """
    import pandas as pd

    path = find_list(root, "annotations", *_NAMES[part])
    table = read_table(path, COLUMNS)
    for column in COLUMNS[2:]:
        seconds = pd.to_numeric(table[column], errors="coerce")
        if (bad := ~seconds.abs().lt(float("inf"))).any():
            row = table[bad].iloc[0]
            found = f"found {column} {row[column]!r}"
            raise LayoutError(
                f"{path}, line {row['line']}: {found} — a number of seconds is expected — correct the row"
            )
        table[column] = seconds.astype(int)
    return table


def read(root: Path) -> "pd.DataFrame":
    """Read the annotations of both parts; each YouTube video is its own group."""
    import pandas as pd

    listing, clips = Listing(), {}
    for part, side in SIDES.items():
        for row in annotations(root, part).itertuples():
            place, clip = f"annotations of {part}, line {row.line}", (row.youtube_id, row.time_start, row.time_end)
            if (first := clips.setdefault(clip, (place, part, row.label)))[1:] != (part, row.label):
                raise LayoutError(
                    f"{root}: {place}: found clip {clip} as {row.label!r} of {part}, which {first[0]} lists as"
                    f" {first[2]!r} — one label and one part are allowed — delete one of the rows"
                )
            listing.add(place, 1, side, _path(part, row.label, *clip), row.label, row.youtube_id)
    return pd.DataFrame(listing.rows.values())


def identify(path: str) -> str:
    """Name the clip that a file holds: its YouTube id and times, written with or without leading zeros."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    stem = re.sub(r"\.(mp4|mkv|webm|avi)$", "", stem)  # some downloaders add the ending of the container: ID.mp4.mkv
    return re.sub(r"_0*(\d+)_0*(\d+)$", r"_\1_\2", stem)


def _path(part: str, label: str, youtube_id: str, start: int, end: int) -> str:
    return f"{part}/{label}/{youtube_id}_{start:06d}_{end:06d}.mp4"


def choose(
    tables: dict[str, "pd.DataFrame"], ids: dict[str, set[str]], classes: int, counts: dict[str, int], seed: int
) -> dict[str, "pd.DataFrame"]:
    """Choose classes, and from each an equal number of videos per part (MiniKinetics, supplementary §5).

    Args:
        tables: annotations of the larger data set, by part (``train``, ``val``).
        ids: the videos that may be chosen, by part.
        classes: how many classes to choose, of those that have videos in both parts.
        counts: videos to choose, by part; what doesn't divide evenly goes to the first classes chosen.
        seed: all chosen follows from it.

    Returns:
        The chosen rows of ``tables``, by part, sorted by label and id.

    Raises:
        ChoiceError: there are fewer classes, or fewer videos of a chosen class, than asked for.
    """
    import pandas as pd

    from mac.randomness import uniform

    def order(kind: str, name: str) -> float:
        return uniform((seed, "choice", kind, name), 1)[0]

    allowed = {part: table[table["youtube_id"].isin(ids[part])] for part, table in tables.items()}
    names = sorted(set.intersection(*(set(table["label"]) for table in allowed.values())))
    if len(names) < classes:
        raise ChoiceError(f"{classes} classes are asked for, {len(names)} have videos in every part")
    chosen_classes = sorted(names, key=lambda name: order("class", name))[:classes]
    result = {}
    for part, table in allowed.items():
        base, more = divmod(counts[part], classes)
        chosen = []
        for place, name in enumerate(chosen_classes):
            own = table[table["label"] == name].sort_values("youtube_id")
            wanted = base + (place < more)
            if len(own) < wanted:
                raise ChoiceError(f"{part}: {wanted} videos of {name!r} are asked for, there are {len(own)}")
            own = own.assign(order=[order(part, i) for i in own["youtube_id"]]).sort_values("order", kind="stable")
            chosen.append(own.drop(columns="order").head(wanted))
        result[part] = pd.concat(chosen).sort_values(["label", "youtube_id"], ignore_index=True)
    return result


def synthesise(names: list[str], videos: int) -> tuple[list[SyntheticVideo], dict[str, str]]:
    """Groups 1–4 are the validation part."""
    import pandas as pd

    planned, rows = [], []
    for motion, name, group, number in spread(names, videos):
        part, label = "val" if group <= 4 else "train", f"doing {name.lower()}"
        youtube_id, start = f"{name[:4].lower()}_g{group:02d}c{number:03d}", 10 * number
        path = _path(part, label, youtube_id, start, start + 10)
        planned.append(SyntheticVideo(path, motion, group, number, (SIDES[part],)))
        rows.append((label, youtube_id, start, start + 10, part))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "split"])
    lists = {part: table[table["split"] == part].to_csv(index=False, lineterminator="\r\n") for part in SIDES}
    return planned, {f"annotations/{part}.csv": text for part, text in lists.items()}
