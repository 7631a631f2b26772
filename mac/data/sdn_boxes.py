"""The person boxes published with SDN (Choi et al. 2019), which the paper uses (§5).

Two files, ``detection_train_merged_rearranged.npy`` and ``detection_val_merged_rearranged.npy``: class → YouTube id →
frame (from 1) → ``{"human_boxes": (K, 5)}``, corners and score, in pixels of frames scaled to a height of 240.
"""

from numbers import Integral
from pathlib import Path, PurePosixPath
from reprlib import repr as short
from typing import Any

import numpy as np

from mac.data import plain_pickle

FILES, HEIGHT = "detection_*_merged_rearranged.npy", 240
EXTRA = 2  # frames past a video's end that a conversion at a constant frame rate may have added
Boxes = dict[tuple[str, str], tuple[Path, Any]]  # class and YouTube id → the file, and what it has of the video


class BoxesError(Exception):
    """Person boxes are missing or malformed; the message names the file and what is expected."""


def read(folder: Path) -> Boxes:
    """Read SDN's files, wherever they lie in a folder.

    Raises:
        BoxesError: a file is cut off or empty, holds what isn't allowed, or something else.
    """
    found: Boxes = {}
    for file in sorted(folder.rglob(FILES)):
        try:
            classes = plain_pickle.load(file)
        except Exception as error:  # of a damaged pickle there can come any
            reason = str(error) or type(error).__name__
            raise BoxesError(f"{file}: {reason} — expected a pickled dictionary; get the file again") from None
        if not isinstance(classes, dict) or not all(isinstance(videos, dict) for videos in classes.values()):
            raise BoxesError(f"{file}: found {short(classes)} — expected class → YouTube id → frame → human_boxes")
        for name, videos in classes.items():
            found |= {(_plain(str(name)), str(video)): (file, frames) for video, frames in videos.items()}
    return found


def rows_of(found: Boxes, path: str, height: int, num_frames: int) -> np.ndarray:
    """Find the boxes of the video with this path; none where SDN doesn't have it.

    SDN names a video by its folder and the first 11 characters of its name, a YouTube id. A whole name is found too.

    Args:
        found: from :func:`read`.
        path: of the video.
        height: of the video, in pixels.
        num_frames: of the video.

    Returns:
        (N, 6): frame (from 0), x0, y0, x1, y1 in pixels of the video, and the score, NaN where there is none.

    Raises:
        BoxesError: a frame's number, a box or the whole is something else, or a frame lies outside the video.
    """
    place = PurePosixPath(path)
    keys = ((_plain(place.parent.name), name) for name in (place.stem, place.stem[:11]))
    file, frames = next((found[key] for key in keys if key in found), (None, {}))
    where, parts = f"{file}: {path}", [np.empty((0, 6))]
    if not isinstance(frames, dict):
        raise BoxesError(f"{where}: found {short(frames)} — expected a dictionary from frame numbers to boxes")
    for key, value in frames.items():
        number = _number(key, where)
        if not 1 <= number <= num_frames + EXTRA:
            raise BoxesError(f"{where}: found frame {number} of a video of {num_frames} frames; frames count from 1")
        if number <= num_frames:
            parts.append(np.insert(_boxes(value, f"{where}, frame {number}", height), 0, number - 1, axis=1))
    return np.concatenate(parts)


def _plain(name: str) -> str:
    return name.replace(" ", "_")  # some copies of Kinetics have underscores in the names of classes


def _number(key: Any, where: str) -> int:
    if isinstance(key, str) and key.strip().isdecimal():
        return int(key)
    if isinstance(key, Integral) and not isinstance(key, bool):
        return int(key)
    raise BoxesError(f"{where}: found {short(key)} where a frame's number is expected")


def _boxes(value: Any, where: str, height: int) -> np.ndarray:
    """Boxes (K, 5) of a frame, in pixels of the video."""
    if not isinstance(value, dict) or "human_boxes" not in value:
        raise BoxesError(f"{where}: found {short(value)} — expected human_boxes")
    value = value["human_boxes"]
    try:
        boxes = np.asarray([] if value is None else value, float)
    except (TypeError, ValueError):
        boxes = None
    if boxes is not None and not boxes.size:
        return np.empty((0, 5))
    if boxes is None or boxes.ndim != 2 or boxes.shape[1] not in (4, 5) or not np.isfinite(boxes[:, :4]).all():
        raise BoxesError(f"{where}: found {short(value)} — expected boxes x0, y0, x1, y1[, score]")
    if boxes.shape[1] == 4:
        boxes = np.insert(boxes, 4, np.nan, axis=1)
    if (lowest := boxes[:, 3].max()) > HEIGHT + 1:
        raise BoxesError(f"{where}: found a box down to y = {lowest:g} — expected pixels of frames {HEIGHT} high")
    return boxes * [*[height / HEIGHT] * 4, 1]
