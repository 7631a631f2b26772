"""Published person boxes: a table in every form it comes in, held over frames, and errors to act on."""

import numpy as np
import pandas as pd
import pytest

from mac.data.boxes import COLUMNS, BoxesError, hold, join, read

VIDEOS = pd.DataFrame(
    [
        ("UCF-101/Run/v_Run_g01_c01.avi", 320, 240, 6),
        ("UCF-101/Run/v_Run_g01_c02.avi", 64, 400, 3),
        ("UCF-101/Sit/v_Sit_g01_c01.avi", 100, 100, 9),
    ],
    columns=["path", "width", "height", "num_frames"],
)
RUN, TALL, EMPTY = VIDEOS["path"]
BOXES = [  # path, frame, x0, y0, x1, y1 in fractions, score
    (RUN, 0, 0.25, 0.125, 0.5, 0.75, 0.9),
    (RUN, 0, 0.0, 0.0, 1.0, 1.0, 0.4),
    (RUN, 5, 0.125, 0.25, 0.375, 0.5, 0.6),
    (TALL, 2, 0.5, 0.0625, 0.75, 0.5, 0.5),
]
WANTED = pd.DataFrame(BOXES, columns=COLUMNS)
SIZES = VIDEOS.set_index("path")


def in_pixels(table):
    table = table.copy()
    for corners, side in ((["x0", "x1"], "width"), (["y0", "y1"], "height")):
        table[corners] = table[corners].mul(SIZES.loc[table["path"], side].to_numpy(), axis=0)
    return table


def put(folder, form, table):
    """Write a table of boxes in one form."""
    if form == "parquet":
        table.to_parquet(folder / "person_boxes.parquet")
    else:
        table.to_csv(folder / "person_boxes.csv", index=False)


def assert_boxes(found, wanted=WANTED):
    assert list(found.columns) == COLUMNS
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_every_form_gives_the_same_boxes(form, pixels, tmp_path):
    shuffled = WANTED.iloc[[3, 2, 0, 1]]
    put(tmp_path, form, in_pixels(shuffled) if pixels else shuffled)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_a_table_may_say_video(tmp_path):
    WANTED.rename(columns={"path": "video"}).to_csv(tmp_path / "person_boxes.csv", index=False)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_the_unit_is_the_tables_whichever_videos_are_asked_for(tmp_path):
    """A corner box of 2 x 2 pixels alone could be one of fractions."""
    table = pd.DataFrame([(TALL, 0, 0, 0, 2, 2, 0.5), (RUN, 0, 0, 0, 160, 120, 0.5)], columns=COLUMNS)
    put(tmp_path, "csv", table)
    found = read(tmp_path, VIDEOS[VIDEOS["path"] == TALL], 0.0)
    assert found[["x1", "y1"]].to_numpy().tolist() == [[2 / 64, 2 / 400]]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_weak_detections_are_dropped_and_those_without_a_score_kept(form, tmp_path):
    put(tmp_path, form, WANTED)
    for least in (0.5, 0.65):
        assert_boxes(read(tmp_path, VIDEOS, least), WANTED[WANTED["score"] >= least])
    put(tmp_path, form, WANTED.drop(columns="score"))
    assert_boxes(read(tmp_path, VIDEOS, 0.99), WANTED.assign(score=np.nan))


def test_boxes_end_at_the_frame(tmp_path):
    over = WANTED.assign(x0=-0.01, y1=1.02)
    for table in (over, in_pixels(over)):
        put(tmp_path, "csv", table)
        assert_boxes(read(tmp_path, VIDEOS, 0.0), WANTED.assign(x0=0.0, y1=1.0))


def test_boxes_of_other_videos_are_passed_over(tmp_path):
    stranger = WANTED.assign(path="UCF-101/Run/v_Run_g99_c99.avi", frame=10**6)
    put(tmp_path, "parquet", pd.concat([stranger, WANTED]))
    assert_boxes(read(tmp_path, VIDEOS, 0.0))
    assert_boxes(read(tmp_path, VIDEOS.iloc[1:], 0.0), WANTED[WANTED["path"] == TALL])
    assert read(tmp_path, VIDEOS[VIDEOS["path"] == EMPTY], 0.5).empty  # without a person, and no error


@pytest.mark.parametrize("every", [1, 2, 3, 4, 100])
def test_held_detections_stand_on_every_frame_up_to_the_next(every):
    lengths = {RUN: 6, TALL: 3}
    made = {(path, frame): [] for path, n in lengths.items() for frame in range(0, n, every)}
    for place in list(made)[1:]:  # the first frame has no person, all others have two
        made[place] = [(*place, 0.1, 0.2, 0.3 + place[1] / 100, 0.9, score) for score in (0.5, 0.4)]
    table = pd.DataFrame([box for boxes in made.values() for box in boxes], columns=COLUMNS)
    wanted = [
        (path, frame, *box[2:])
        for path, n in lengths.items()
        for frame in range(n)
        for box in made[path, frame // every * every]
    ]
    assert_boxes(hold(table, VIDEOS, every), pd.DataFrame(wanted, columns=COLUMNS))
    assert hold(table[:0], VIDEOS, every).empty


def test_nothing_there_says_what_goes_where(tmp_path):
    with pytest.raises(BoxesError) as error:
        read(tmp_path, VIDEOS, 0.5)
    for told in (
        str(tmp_path),
        "person_boxes.parquet or person_boxes.csv",
        "its folder detections/",
        "`person_boxes.detector`",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_missing_column_is_named(form, tmp_path):
    put(tmp_path, form, WANTED.drop(columns=["y1", "frame"]))
    with pytest.raises(BoxesError, match=rf"person_boxes\.{form}: lacks the column\(s\) frame, y1"):
        read(tmp_path, VIDEOS, 0.5)


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("frame", [-1, 6])
def test_a_frame_outside_its_video_is_named(form, frame, tmp_path):
    table = WANTED.copy()
    table.loc[2, "frame"] = frame
    put(tmp_path, form, table)
    with pytest.raises(BoxesError, match=rf"frame {frame} of {RUN}, which has 6 frames; frames count from 0"):
        read(tmp_path, VIDEOS, 0.5)


def test_paths_of_no_video_are_told(tmp_path):
    put(tmp_path, "csv", WANTED.assign(path=WANTED["path"].str.removeprefix("UCF-101/")))
    found = read(tmp_path, VIDEOS, 0.5)
    assert found.empty
    with pytest.raises(BoxesError, match="no box in any video: published boxes must name videos by their paths"):
        join([found, found])


HEAD = "path,frame,x0,y0,x1,y1\n"
MALFORMED = [
    ("person_boxes.csv", b"", "expected a table, a row a box"),
    ("person_boxes.parquet", b"no parquet", "expected a table, a row a box"),
    ("person_boxes.csv", f"{HEAD}{RUN},first,0,0,1,1\n".encode(), "column frame holds 'first' — expected numbers"),
    ("person_boxes.csv", f"{HEAD}{RUN},0,left,0,1,1\n".encode(), "column x0 holds 'left' — expected numbers"),
    ("person_boxes.csv", f"{HEAD}{RUN},,0,0,1,1\n".encode(), "found .*'frame': nan.* — expected whole frames"),
    ("person_boxes.csv", f"{HEAD}{RUN},0.5,0,0,1,1\n".encode(), "found .*'frame': 0.5.* — expected whole frames"),
    ("person_boxes.csv", f"{HEAD}{RUN},1,0,0,,1\n".encode(), "found .*'x1': nan.* — expected whole frames"),
]


@pytest.mark.parametrize(("name", "content", "told"), MALFORMED)
def test_a_malformed_table_is_named_with_what_is_expected(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BoxesError, match=rf"/{name}: .*{told}"):
        read(tmp_path, VIDEOS, 0.5)
