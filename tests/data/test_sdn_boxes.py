"""SDN's person boxes, whatever pickled them; and nothing but plain values."""

import io
import os
import pickle
import struct
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest

from mac.data.boxes import COLUMNS, BoxesError, read

BIKE = "train/riding a bike/a_b-defghi0_000012_000022.mp4"
SWIM = "train/swim/xyzxyzxyz01_000001_000011.mp4"
REST = "train/swim/nobody_here_000000_000010.mp4"
BOX = [[1, 2, 3, 4]]
BOXED = {"human_boxes": BOX}
VIDEOS = pd.DataFrame(
    [(BIKE, 640, 480, 6), (SWIM, 120, 160, 3), (REST, 100, 100, 9)], columns=["path", "width", "height", "num_frames"]
)
BOXES = [  # path, frame, x0, y0, x1, y1 in fractions, score
    (BIKE, 0, 0.25, 0.125, 0.5, 0.75, 0.875),
    (BIKE, 0, 0.0, 0.0, 1.0, 1.0, 0.5),
    (BIKE, 5, 0.125, 0.25, 0.375, 0.5, 0.625),
    (SWIM, 2, 0.5, 0.0625, 0.75, 0.5, 0.25),
]
WANTED = pd.DataFrame(BOXES, columns=COLUMNS)


def frames_of(path, height=None):
    """Frame (from 1) → boxes and scores (K, 5), in pixels of the video or of one scaled to a height."""
    width, own = VIDEOS.set_index("path").loc[path, ["width", "height"]]
    scale = np.array([*[width, own] * 2, 1.0])
    scale[:4] *= (height or own) / own
    rows = WANTED[WANTED["path"] == path].groupby("frame")
    return {int(frame) + 1: own_rows[COLUMNS[2:]].to_numpy() * scale for frame, own_rows in rows}


def sdn(*paths, frames=lambda path: {n: {"human_boxes": b} for n, b in frames_of(path, 240).items()}):
    classes = {}
    for path in paths:
        place = PurePosixPath(path)
        classes.setdefault(place.parent.name, {})[place.stem[:11]] = frames(path)
    return classes


def put(folder, content, part="train"):
    """Write a file of SDN's: an array that holds one dictionary, or bytes."""
    file = folder / "detections" / f"detection_{part}_merged_rearranged.npy"
    file.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    return file


def header():
    """What stands before the pickle in a file that holds one object."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    return stream.getvalue()


def boxed(change):
    """SDN's dictionary of both videos, with each frame's boxes as ``change`` gives them."""
    return sdn(BIKE, SWIM, frames=lambda path: {n: {"human_boxes": b} for n, b in change(frames_of(path, 240)).items()})


def assert_boxes(found, wanted=WANTED):
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True), check_dtype=False)


def test_the_files_of_sdn_give_the_boxes_of_listed_videos(tmp_path):
    stranger = {"swim": {"another_one": {1: {"human_boxes": np.ones((1, 5))}}}}
    put(tmp_path, sdn(BIKE))
    put(tmp_path, {**sdn(SWIM), "walk": stranger["swim"]}, "val")
    assert_boxes(read(tmp_path, VIDEOS, 0.0))
    assert_boxes(read(tmp_path, VIDEOS, 0.3), WANTED[WANTED["score"] > 0.3])
    assert_boxes(read(tmp_path, VIDEOS.iloc[1:], 0.0), WANTED[WANTED["path"] == SWIM])


def test_a_class_may_be_written_with_underscores_on_either_side(tmp_path):
    content = sdn(BIKE, SWIM)
    content["riding_a_bike"] = content.pop("riding a bike")
    put(tmp_path, content)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))
    put(tmp_path, sdn(BIKE, SWIM))
    renamed = VIDEOS.assign(path=VIDEOS["path"].str.replace(" ", "_"))
    assert_boxes(read(tmp_path, renamed, 0.0), WANTED.assign(path=WANTED["path"].str.replace(" ", "_")))


CHANGES = {
    "as arrays": lambda frames: frames,
    "as lists": lambda frames: {n: boxes.tolist() for n, boxes in frames.items()},
    "as tuples of NumPy's numbers": lambda frames: {n: tuple(map(tuple, boxes)) for n, boxes in frames.items()},
    "in single precision": lambda frames: {n: boxes.astype(">f4") for n, boxes in frames.items()},
    "in columns": lambda frames: {n: np.asfortranarray(boxes) for n, boxes in frames.items()},
    "as objects": lambda frames: {n: boxes.astype(object) for n, boxes in frames.items()},
    "keys are text": lambda frames: {f"{n:06d}": boxes for n, boxes in frames.items()},
    "keys are NumPy's": lambda frames: {np.int64(n): boxes for n, boxes in frames.items()},
    "empty frames": lambda frames: {2: None, 3: [], **frames, "1": np.empty((0, 5))},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_frames_and_boxes_may_be_of_several_types(change, tmp_path):
    put(tmp_path, boxed(change))
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_two_frames_past_the_end_are_left_out(tmp_path):
    put(tmp_path, boxed(lambda frames: {**frames, 7: BOX, 8: BOX} if 6 in frames else frames))
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_boxes_without_a_score_are_kept(tmp_path):
    put(tmp_path, boxed(lambda frames: {n: boxes[:, :4] for n, boxes in frames.items()}))
    assert_boxes(read(tmp_path, VIDEOS, 0.99), WANTED.assign(score=np.nan))


class Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 did, and NumPy's modules under their old names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    def save_global(self, value, name=None):
        self.write(f"c{value.__module__.replace('numpy._core', 'numpy.core')}\n{name or value.__name__}\n".encode())
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_text
    dispatch[type] = dispatch[type(len)] = dispatch[type(put)] = save_global


def dumps_python2(content, folder):
    with (folder / "python2").open("wb") as stream:
        Python2(stream, 2).dump(content)
    return (folder / "python2").read_bytes()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5, "Python 2"])
def test_every_protocol_is_read_and_python_2s(protocol, tmp_path):
    content = np.array(boxed(lambda frames: {str(n): boxes for n, boxes in frames.items()}), object)
    raw = dumps_python2(content, tmp_path) if protocol == "Python 2" else pickle.dumps(content, protocol)
    put(tmp_path, header() + raw)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


class Calls:
    """What runs a function when an ordinary reader reads it."""

    def __init__(self, function, *given):
        self.function, self.given = function, given

    def __reduce__(self):
        return self.function, self.given


def forbidden(folder):
    mark = folder / "ran"
    frombuffer = np.empty(0).__reduce_ex__(5)[0]
    return {
        "a command": (Calls(os.system, f"touch '{mark}'"), rf"{os.name}.system"),
        "an expression": (Calls(eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"),
        "an attribute": (Calls(getattr, "text", "upper"), "builtins.getattr"),
        "another class": (PurePosixPath("a"), r"pathlib\.PurePosixPath"),
        "made-up addresses": (
            Calls(frombuffer, b"addressx", np.dtype(object), (1,), "C"),
            "array of object",
        ),
        "a record": (np.zeros(1, [("a", "O")]), "array of"),
        "an array that isn't one": (Calls(np.ndarray, (1,), np.dtype(object), b"addressx"), "not callable"),
        "a masked array": (np.ma.zeros(3), r"numpy\.ma"),
    }


@pytest.mark.parametrize("what", forbidden(PurePosixPath()))
def test_a_pickle_that_holds_more_is_refused_and_nothing_runs(what, tmp_path):
    content, told = forbidden(tmp_path)[what]
    one = np.empty((), object)
    one[()] = {"swim": {"xyzxyzxyz01": {1: content}}}
    file = put(tmp_path, one)
    with pytest.raises(BoxesError, match=told) as error:
        read(tmp_path, VIDEOS, 0.0)
    assert str(file) in str(error.value)
    assert not (tmp_path / "ran").exists()
    if told != "not callable":
        assert "only dictionaries, lists, numbers, texts and NumPy's arrays of these are allowed" in str(error.value)


def test_a_file_cut_anywhere_is_named(tmp_path):
    file = put(tmp_path, sdn(SWIM))
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(BoxesError, match=f"{file}: .* — expected a pickled dictionary"):
            read(tmp_path, VIDEOS, 0.0)


def test_a_file_with_changed_bytes_is_read_or_named(tmp_path):
    file, rng = put(tmp_path, sdn(SWIM)), np.random.default_rng(0)
    whole = file.read_bytes()
    for _ in range(150):
        spoilt = bytearray(whole)
        spoilt[rng.integers(len(whole))] = rng.integers(256)
        file.write_bytes(spoilt)
        try:
            assert list(read(tmp_path, VIDEOS, 0.0).columns) == COLUMNS
        except BoxesError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017


MALFORMED = {
    "a list": ([1, 2], "found .* — expected a dictionary from frame numbers to boxes"),
    "frame 0": ({0: BOXED}, "found frame 0 of a video of 3 frames; frames count from 1"),
    "a frame long past the end": ({"6": BOXED}, "found frame 6 of a video of 3 frames; frames count from 1"),
    "a frame's name": ({"first": BOXED}, "found 'first' where a frame's number is expected"),
    "a truth value": ({True: BOXED}, "found True where a frame's number is expected"),
    "three corners": ({1: {"human_boxes": [[1, 2, 3]]}}, "frame 1: found .* — expected boxes x0, y0, x1, y1"),
    "a flat box": ({1: {"human_boxes": [1, 2, 3, 4]}}, "frame 1: found .* — expected boxes"),
    "uneven boxes": ({1: {"human_boxes": [[1, 2, 3, 4], [1, 2]]}}, "frame 1: found .* — expected boxes"),
    "text": ({1: {"human_boxes": "none"}}, "frame 1: found 'none' — expected boxes"),
    "no number": ({1: {"human_boxes": [[1, 2, np.nan, 4]]}}, "frame 1: found .* — expected boxes"),
    "other keys": ({1: {"boxes": BOX}}, "frame 1: found .* — expected human_boxes"),
    "no keys": ({1: BOX}, "frame 1: found .* — expected human_boxes"),
    "another height": ({1: {"human_boxes": [[0, 0, 9, 255]]}}, "a box down to y = 255 — expected pixels of frames 240"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_dictionary_of_boxes_is_named(what, tmp_path):
    content, told = MALFORMED[what]
    file = put(tmp_path, sdn(SWIM, frames=lambda _: content))
    with pytest.raises(BoxesError, match=told) as error:
        read(tmp_path, VIDEOS, 0.0)
    assert str(error.value).startswith(f"{file}: {SWIM}")


@pytest.mark.parametrize("content", [{"swim": [1]}, np.zeros((2, 5)), {1: BOX}])
def test_a_file_of_sdns_name_with_other_content_is_named(content, tmp_path):
    put(tmp_path, content)
    with pytest.raises(BoxesError, match=r"merged_rearranged\.npy: found .* — expected class → YouTube id"):
        read(tmp_path, VIDEOS, 0.0)
