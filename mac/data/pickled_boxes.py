"""Person boxes in pickled dictionaries: as published with SDN (Choi et al. 2019), and as the authors' code reads them.

SDN has one file for training and one for validation videos, ``detection_train_merged_rearranged.npy`` and
``detection_val_merged_rearranged.npy``: class → YouTube id → frame → ``{"human_boxes": (K, 5)}``, corners and score, in
pixels of frames scaled to a height of 240. The authors' code has one file a video: frame → boxes, in pixels of the
video. Both count frames from 1.
"""

from numbers import Integral
from pathlib import Path, PurePosixPath
from reprlib import repr as short
from typing import Any

import numpy as np

from mac.data import plain_pickle

ENDINGS = (".npy", ".pkl", ".pickle")
SDN_FILES, SDN_HEIGHT = "detection_*_merged_rearranged.npy", 240
EXTRA = 2  # frames past a video's end that a conversion at a constant frame rate may have added


class BoxesError(Exception):
    """Person boxes are missing or malformed; the message names the file and what is expected."""


def load(file: Path) -> Any:
    """Read a file of boxes: an array of numbers, or what was pickled.

    Raises:
        BoxesError: the file is cut off, empty or of another kind, or holds what isn't allowed.
    """
    try:
        return plain_pickle.load(file)
    except Exception as error:  # of a damaged pickle there can come any
        reason, wanted = str(error) or type(error).__name__, "rows of frame, x0, y0, x1, y1[, score]"
        raise BoxesError(f"{file}: {reason} — expected a pickled dictionary, or {wanted}; get the file again") from None


Published = dict[tuple[str, str], tuple[Path, Any]]  # class and YouTube id → the file, and what it has of the video


def published(folder: Path) -> Published:
    """Read SDN's files, wherever they lie in a folder; empty where there are none.

    Raises:
        BoxesError: a file holds something else; and the errors of :func:`load`.
    """
    found: Published = {}
    for file in sorted(folder.rglob(SDN_FILES)):
        classes = load(file)
        if not isinstance(classes, dict) or not all(isinstance(videos, dict) for videos in classes.values()):
            raise BoxesError(f"{file}: found {short(classes)} — expected class → YouTube id → frame → human_boxes")
        for name, videos in classes.items():
            found |= {(_plain(str(name)), str(video)): (file, frames) for video, frames in videos.items()}
    return found


def published_rows(found: Published, path: str, height: int, num_frames: int) -> np.ndarray:
    """Find the rows of the video with this path, see :func:`rows`; none where SDN doesn't have it.

    SDN names a video by its folder and the first 11 characters of its name, a YouTube id. A whole name is found too.
    """
    place = PurePosixPath(path)
    for name in (place.stem, place.stem[:11]):
        if (key := (_plain(place.parent.name), name)) in found:
            file, frames = found[key]
            return rows(frames, f"{file}: {path}", height, num_frames)
    return np.empty((0, 6))


def rows(frames: Any, where: str, height: int, num_frames: int) -> np.ndarray:
    """Turn one video's dictionary into rows.

    Args:
        frames: from a frame's number (from 1; a text of digits will do) to None or its boxes (K, 4) or (K, 5), x0, y0,
            x1, y1 and perhaps a score, or to a dictionary with these as ``human_boxes``.
        where: the file, for messages.
        height: of the video, in pixels.
        num_frames: of the video.

    Returns:
        (N, 6): frame (from 0), x0, y0, x1, y1 in pixels of the video, and the score, NaN where there is none.

    Raises:
        BoxesError: a number, a box or the whole is something else, or a frame lies outside the video.
    """
    if not isinstance(frames, dict):
        raise BoxesError(f"{where}: found {short(frames)} — expected a dictionary from frame numbers to boxes")
    parts = [np.empty((0, 6))]
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
    is_sdn = isinstance(value, dict)
    if is_sdn:
        if "human_boxes" not in value:
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
    if is_sdn:
        if (lowest := boxes[:, 3].max()) > SDN_HEIGHT + 1:
            way_out = "scale them, or write plain lists in pixels of the video"
            raise BoxesError(
                f"{where}: found a box down to y = {lowest:g} — expected pixels of frames {SDN_HEIGHT} high; {way_out}"
            )
        boxes = boxes * [*[height / SDN_HEIGHT] * 4, 1]
    return boxes
