"""Split formats of UCF101, HMDB51 and Kinetics: which video has which label and stands on which side of which split."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

SPLITS = (1, 2, 3)
TRAIN, TEST, UNUSED = "train", "test", "unused"


class LayoutError(Exception):
    """A data set's folder is not laid out as its format says; the message names the file and what is expected."""


def listing(root: Path, layout: str) -> pd.DataFrame:
    """Read the official lists of a data set.

    Args:
        root: the data set's folder.
        layout: ``ucf101``, ``hmdb51`` or ``kinetics``.

    Returns:
        One row per listed video, sorted by path: ``path`` (relative to ``root``), ``label`` (class name), ``group``
        (source group within the class, or the video itself), ``split_1`` … ``split_3`` (train, test or unused;
        Kinetics has one split).

    Raises:
        LayoutError: a list is missing or malformed.
    """
    table = _READERS[layout](root)
    if table.empty:
        raise LayoutError(f"{root}: the lists of layout {layout} name no video")
    return table.sort_values("path", ignore_index=True)


def _find(root: Path, folder: str, *names: str) -> Path:
    """Find a list by any of its names in its official folder, or else anywhere in the data set's folder."""
    places = [root / folder / name for name in names]
    elsewhere = (place for name in names for place in sorted(root.rglob(name)))
    found = next((place for place in places if place.is_file()), None) or next(elsewhere, None)
    if found is None:
        raise LayoutError(f"{places[0]}: missing — put the official lists there, or correct `data_root`")
    return found


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _ucf101(root: Path) -> pd.DataFrame:
    sides: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        for side, name in ((TRAIN, f"trainlist0{split}.txt"), (TEST, f"testlist0{split}.txt")):
            for line in _lines(_find(root, "ucfTrainTestlist", name)):
                sides.setdefault(line.split()[0], {})[f"split_{split}"] = side
    rows = []
    for name, assigned in sides.items():
        stem = Path(name).stem
        rows.append(
            {
                "path": f"UCF-101/{name}",
                "label": name.split("/")[0],
                "group": stem.rsplit("_", 1)[0].removeprefix("v_"),
                **{f"split_{split}": assigned.get(f"split_{split}", UNUSED) for split in SPLITS},
            }
        )
    return pd.DataFrame(rows)


def _hmdb51(root: Path) -> pd.DataFrame:
    folder = _find(root, "test_train_splits", "*_test_split1.txt").parent
    names = {"0": UNUSED, "1": TRAIN, "2": TEST}
    rows: dict[str, dict[str, str]] = {}
    for listed in sorted(folder.glob("*_test_split[123].txt")):
        label, split = listed.stem.rsplit("_test_split", 1)
        for line in _lines(listed):
            video, _, use = line.rpartition(" ")
            if use not in names:
                raise LayoutError(f"{listed}: {line!r} — expected a file name and 0, 1 or 2")
            path = f"videos/{label}/{video.strip()}"
            row = rows.setdefault(path, {"path": path, "label": label, "group": _hmdb51_source(video, label)})
            row[f"split_{split}"] = names[use]
    table = pd.DataFrame(rows.values())
    return table.fillna(dict.fromkeys([f"split_{split}" for split in SPLITS], UNUSED)) if rows else table


def _hmdb51_source(video: str, label: str) -> str:
    """Find the film that a clip was cut from: HMDB51 names clips ``FILM_class_body_camera_persons_view_quality_N.avi``.

    Clips of one film may differ in all that follows the class.
    """
    stem = Path(video.strip()).stem
    film = _HMDB51_FACTS.sub("", stem)
    return film.removesuffix(f"_{label}") if film != stem else stem.rsplit("_", 1)[0]


_HMDB51_FACTS = re.compile(r"_(?:h|u|l|f)_(?:nm|cm)_np\d+_(?:fr|ri|le|ba)_(?:goo|med|bad)_\d+$")


def annotations(root: Path, part: str) -> pd.DataFrame:
    """Read the annotations of a part (``train`` or ``val``) of Kinetics: ``label``, ``youtube_id``, times in seconds.

    Raises:
        LayoutError: the csv is missing or lacks a column.
    """
    path = _find(root, "annotations", *_KINETICS_PARTS[part])
    table = pd.read_csv(path, dtype={"youtube_id": str})
    lacking = {"label", "youtube_id", "time_start", "time_end"} - set(table.columns)
    if lacking:
        raise LayoutError(f"{path}: lacks the column(s) {', '.join(sorted(lacking))}")
    return table


def _kinetics(root: Path) -> pd.DataFrame:
    parts = []
    for part, side in (("train", TRAIN), ("val", TEST)):
        table = annotations(root, part)
        name = [
            f"{part}/{row.label}/{row.youtube_id}_{int(row.time_start):06d}_{int(row.time_end):06d}.mp4"
            for row in table.itertuples()
        ]
        columns = {"path": name, "label": table["label"], "group": table["youtube_id"]}
        parts.append(pd.DataFrame(columns | {"split_1": side, "split_2": UNUSED, "split_3": UNUSED}))
    return pd.concat(parts, ignore_index=True)


_KINETICS_PARTS = {"train": ["train.csv"], "val": ["val.csv", "validate.csv", "validation.csv"]}
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {"ucf101": _ucf101, "hmdb51": _hmdb51, "kinetics": _kinetics}
