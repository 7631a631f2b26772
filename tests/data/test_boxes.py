"""Published person boxes: the same boxes in every form they come in, held over frames, and errors to act on."""

import io
import json

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


def rows_of(table, path):
    return table.loc[table["path"] == path, COLUMNS[1:]].to_numpy().tolist()


def npy(rows):
    raw = io.BytesIO()
    np.save(raw, np.array(rows))
    return raw.getvalue()


def by_frame(rows):
    frames = {}
    for frame, *box in rows:
        frames.setdefault(str(int(frame)), []).append(box)
    return frames


FORMS = {
    "headed.csv": lambda rows: pd.DataFrame(rows, columns=COLUMNS[1:]).to_csv(index=False).encode(),
    "bare.csv": lambda rows: pd.DataFrame(rows).to_csv(index=False, header=False).encode(),
    "list.json": lambda rows: json.dumps(rows).encode(),
    "mapping.json": lambda rows: json.dumps(by_frame(rows)).encode(),
    "npy": npy,
}


def put(folder, form, table, subfolder=""):
    """Write a table of boxes in one form."""
    if form == "parquet":
        table.to_parquet(folder / "person_boxes.parquet")
    elif form == "csv":
        table.to_csv(folder / "person_boxes.csv", index=False)
    else:
        for path in table["path"].unique():
            stem = path.rpartition("/")[2].removesuffix(".avi")
            file = folder / "detections" / subfolder / f"{stem}.{form.rpartition('.')[2]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(FORMS[form](rows_of(table, path)))


def assert_boxes(found, wanted=WANTED):
    assert list(found.columns) == COLUMNS
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("form", ["parquet", "csv", *FORMS])
def test_every_form_gives_the_same_boxes(form, pixels, tmp_path):
    shuffled = WANTED.iloc[[3, 2, 0, 1]]
    put(tmp_path, form, in_pixels(shuffled) if pixels else shuffled)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_files_may_lie_in_class_folders_and_tables_may_say_video(tmp_path):
    put(tmp_path, "npy", WANTED, subfolder="Run")
    assert_boxes(read(tmp_path, VIDEOS, 0.0))
    WANTED.rename(columns={"path": "video"}).to_csv(tmp_path / "person_boxes.csv", index=False)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


def test_a_table_is_preferred_to_a_folder(tmp_path):
    put(tmp_path, "npy", WANTED.assign(frame=0))
    put(tmp_path, "parquet", WANTED)
    assert_boxes(read(tmp_path, VIDEOS, 0.0))


@pytest.mark.parametrize("form", ["csv", "list.json", "npy", "headed.csv"])
def test_weak_detections_are_dropped_and_those_without_a_score_kept(form, tmp_path):
    put(tmp_path, form, WANTED)
    assert_boxes(read(tmp_path, VIDEOS, 0.5), WANTED[WANTED["score"] >= 0.5])
    assert_boxes(read(tmp_path, VIDEOS, 0.65), WANTED[WANTED["score"] >= 0.65])


@pytest.mark.parametrize("form", ["csv", "list.json", "mapping.json", "npy"])
def test_boxes_without_scores_are_all_kept(form, tmp_path):
    if form == "csv":
        WANTED.drop(columns="score").to_csv(tmp_path / "person_boxes.csv", index=False)
    else:
        for path in (RUN, TALL):
            file = tmp_path / "detections" / f"{path.rpartition('/')[2]}".replace(".avi", f".{form.rpartition('.')[2]}")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(FORMS[form]([row[:-1] for row in rows_of(WANTED, path)]))
    assert_boxes(read(tmp_path, VIDEOS, 0.99), WANTED.assign(score=np.nan))


def test_boxes_end_at_the_frame(tmp_path):
    over = WANTED.assign(x0=-0.01, y1=1.02)
    put(tmp_path, "csv", over)
    assert_boxes(read(tmp_path, VIDEOS, 0.0), WANTED.assign(x0=0.0, y1=1.0))
    put(tmp_path, "csv", in_pixels(over))
    assert_boxes(read(tmp_path, VIDEOS, 0.0), WANTED.assign(x0=0.0, y1=1.0))


def test_boxes_of_other_videos_are_passed_over(tmp_path):
    stranger = WANTED.assign(path="UCF-101/Run/v_Run_g99_c99.avi", frame=10**6)
    put(tmp_path, "parquet", pd.concat([stranger, WANTED]))
    assert_boxes(read(tmp_path, VIDEOS, 0.0))
    part = VIDEOS.iloc[1:]
    assert_boxes(read(tmp_path, part, 0.0), WANTED[WANTED["path"] == TALL])


@pytest.mark.parametrize("every", [1, 2, 3, 4, 100])
def test_held_detections_stand_on_every_frame_up_to_the_next(every):
    lengths = {RUN: 6, TALL: 3}
    made = [(path, frame) for path, n in lengths.items() for frame in range(0, n, every)]
    made.remove((RUN, 0))
    corners = {place: [0.1, 0.2, 0.3 + place[1] / 100, 0.9] for place in made}
    table = pd.DataFrame([(*place, *box, 0.5) for place, box in corners.items()], columns=COLUMNS)
    held = hold(table, VIDEOS, every)
    wanted = []
    for path, n in lengths.items():
        for frame in range(n):
            place = (path, frame // every * every)
            wanted += [(path, frame, *corners[place], 0.5)] if place in corners else []
    assert_boxes(held, pd.DataFrame(wanted, columns=COLUMNS))


def test_several_boxes_of_a_frame_are_held_together():
    table = pd.DataFrame([(TALL, 0, 0, 0, 1, 1, 0.9), (TALL, 0, 0, 0, 0.5, 0.5, 0.8)], columns=COLUMNS)
    held = hold(table, VIDEOS, 2)
    assert held["frame"].tolist() == [0, 0, 1, 1]
    assert held["score"].tolist() == [0.9, 0.8, 0.9, 0.8]


def test_no_boxes_at_all_are_held_as_none():
    assert len(hold(pd.DataFrame(columns=COLUMNS), VIDEOS, 3)) == 0


def test_nothing_there_says_what_goes_where(tmp_path):
    with pytest.raises(BoxesError) as error:
        read(tmp_path, VIDEOS, 0.5)
    for told in (str(tmp_path), "person_boxes.parquet or person_boxes.csv", "detections/", "`person_boxes.detector`"):
        assert told in str(error.value)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_missing_column_is_named(form, tmp_path):
    put(tmp_path, form, WANTED.drop(columns=["y1", "frame"]))
    with pytest.raises(BoxesError, match=rf"person_boxes\.{form}: lacks the column\(s\) frame, y1"):
        read(tmp_path, VIDEOS, 0.5)


@pytest.mark.parametrize("form", ["csv", "list.json"])
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


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".json", b"{"),
        (".json", b'{"0": 5}'),
        (".json", b'{"first": [[0, 0, 1, 1]]}'),
        (".json", b"[[0, 1, 2]]"),
        (".json", b"[[0, 0, 0, 1, 1], [0, 0, 0]]"),
        (".json", b'"text"'),
        (".json", b"\xff\xfe\x00"),
        (".csv", b""),
        (".csv", b"0,0,0,1\n"),
        (".csv", b"0,a,b,c,d\n"),
        (".npy", b"no array"),
        (".npy", npy([0.0, 0.0, 0.0, 1.0, 1.0])),
        (".npy", b""),
    ],
)
def test_a_malformed_file_is_named_with_what_is_expected(ending, content, tmp_path):
    file = tmp_path / "detections" / f"v_Run_g01_c01{ending}"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(BoxesError, match=rf"/v_Run_g01_c01\{ending}: .*expected .*frame, x0, y0, x1, y1"):
        read(tmp_path, VIDEOS, 0.5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("person_boxes.csv", b""),
        ("person_boxes.parquet", b"no parquet"),
        ("person_boxes.csv", f"path,frame,x0,y0,x1,y1\n{RUN},first,0,0,1,1\n".encode()),
        ("person_boxes.csv", f"path,frame,x0,y0,x1,y1\n{RUN},0,left,0,1,1\n".encode()),
    ],
)
def test_a_malformed_table_is_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BoxesError, match=name):
        read(tmp_path, VIDEOS, 0.5)


def test_videos_without_a_person_are_no_error_where_others_have_some(tmp_path):
    put(tmp_path, "csv", WANTED)
    assert len(read(tmp_path, VIDEOS[VIDEOS["path"] == EMPTY], 0.5)) == 0
