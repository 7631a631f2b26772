"""Lists as people really have them are read right, or refused with file, line, what was found and the way out."""

import codecs
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mac.data import inventory
from mac.data.inventory import AmbiguousFileError, take
from mac.data.splits import LayoutError

LISTS = {"ucf101": "ucfTrainTestlist/*.txt", "hmdb51": "test_train_splits/*.txt", "kinetics": "annotations/*.csv"}


def in_utf16(text):
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")


CHANGES = {
    "a byte-order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": in_utf16,
    "UTF-16, the other way round": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "line ends of Windows": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
    "line ends of old Macs": lambda text: text.replace("\r\n", "\n").replace("\n", "\r").encode(),
    "blanks at line ends": lambda text: text.replace("\r\n", "\n").replace("\n", " \t\n").encode(),
    "blank lines": lambda text: text.replace("\r\n", "\n").replace("\n", "\n\n").encode(),
    "no end of the last line": lambda text: text.rstrip().encode(),
}


@pytest.mark.parametrize("layout", LISTS)
@pytest.mark.parametrize("change", CHANGES)
def test_marks_encodings_line_ends_and_blanks_change_nothing(synthetic_data, copied, layout, change):
    root = copied(layout)
    for path in root.glob(LISTS[layout]):
        path.write_bytes(CHANGES[change](path.read_text(encoding="utf-8")))
    pd.testing.assert_frame_equal(take(root, layout), take(synthetic_data / layout, layout))


@pytest.mark.parametrize("layout", LISTS)
def test_leftovers_of_other_systems_are_passed_over(synthetic_data, copied, layout):
    root = copied(layout)
    for path in list(root.glob(LISTS[layout])):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
        (path.parent / f".{path.name}.swp").write_bytes(b"b0VIM")
        (beside := root / "__MACOSX" / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(b"\0\5\x16\7")
    video = next(root.rglob("*.avi"), None) or next(root.rglob("*.mp4"))
    (root / "__MACOSX" / video.name).write_bytes(b"\0\5\x16\7")
    (video.parent / f"._{video.name}").write_bytes(b"\0\5\x16\7")
    pd.testing.assert_frame_equal(take(root, layout), take(synthetic_data / layout, layout))


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
@pytest.mark.parametrize("before", ["{}\\", ".\\{}\\", "{}/"])
def test_paths_in_lists_may_have_the_slashes_of_windows_and_folders_before_them(synthetic_data, copied, layout, before):
    root = copied(layout)
    for path in root.glob(LISTS[layout]):
        if path.name != "classInd.txt":
            folder = "UCF-101" if layout == "ucf101" else path.name.rsplit("_test_split", 1)[0]
            lines = path.read_text(encoding="utf-8").splitlines()
            changed = [before.format(folder) + (line.replace("/", before[-1]) if line else line) for line in lines]
            path.write_text("\n".join(changed), encoding="utf-8")
    pd.testing.assert_frame_equal(take(root, layout), take(synthetic_data / layout, layout))


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
def test_a_tab_is_as_good_as_a_blank(synthetic_data, copied, layout):
    root = copied(layout)
    for path in root.glob(LISTS[layout]):
        edit(path, lambda content: content.replace(b".avi ", b".avi\t"))
    pd.testing.assert_frame_equal(take(root, layout), take(synthetic_data / layout, layout))


def edit(path, change):
    path.write_bytes(change(path.read_bytes()))


def first_line(path):
    return path.read_bytes().splitlines()[0]


UCF, HMDB, KINETICS = (
    "ucfTrainTestlist/trainlist01.txt",
    "test_train_splits/*_test_split1.txt",
    "annotations/train.csv",
)
TEST = "ucfTrainTestlist/testlist01.txt"


@pytest.mark.parametrize(
    ("layout", "file", "change", "message"),
    [
        (
            "ucf101",
            UCF,
            lambda b: b + b"Caf\xe9/v_Caf_g01_c01.avi 4\n",
            r"trainlist01.txt, line \d+: found b'\\xe9/v_Caf_'",
        ),
        (
            "ucf101",
            UCF,
            lambda b: b + b"v_A_g01_c01.avi 4\n",
            r"line \d+: found 'v_A_g01_c01.avi 4' — expected Class/name",
        ),
        (
            "ucf101",
            UCF,
            lambda b: b.replace(b"/v_", b"/v_", 1).swapcase(),
            r"found class '\w+', elsewhere '\w+' — one spelling",
        ),
        ("ucf101", UCF, lambda b: b[:-8], r"line \d+: found '[^']*' — expected Class/name.avi"),
        (
            "ucf101",
            UCF,
            lambda b: b.replace(b".avi ", b".avi,"),
            "line 1: found '[^']*avi,1' — expected Class/name.avi",
        ),
        ("ucf101", UCF, lambda b: b.replace(b" 1\r\n", b" 2\r\n", 1), r"line 2: found number 1 for \w+, before 2"),
        ("ucf101", UCF, lambda b: b.replace(b".avi", b".mp4", 1), r"the lists name .*avi and .*mp4 — one ending is"),
        (
            "ucf101",
            UCF,
            lambda b: b.decode().encode("utf-16-le"),
            "trainlist01.txt: found NUL bytes — .* save it as UTF-8",
        ),
        ("hmdb51", HMDB, lambda b: b.replace(b".avi", b"", 1), "line 1: found '[^']*' — expected a file name and 0, 1"),
        ("kinetics", KINETICS, lambda b: b"", "train.csv: No columns .* a comma-separated list with a head is read"),
        (
            "kinetics",
            KINETICS,
            lambda b: b.replace(b"label,", b"class,", 1),
            "line 1: found the columns class, .* label",
        ),
        ("kinetics", KINETICS, lambda b: b.replace(b",", b";"), "line 1: found the columns label;youtube_id;.* lacks"),
        ("kinetics", KINETICS, lambda b: b + b",abc,1,2,train\n", r"train.csv, line \d+: found no label — each row"),
        ("kinetics", KINETICS, lambda b: b + b"run,,1,2,train\n", r"line \d+: found no youtube_id"),
        ("kinetics", KINETICS, lambda b: b + b"run,abc,,2,train\n", r"line \d+: found no time_start"),
        (
            "kinetics",
            KINETICS,
            lambda b: b + b"run,abc,one,2,train\n",
            r"line \d+: found time_start 'one' — a number of",
        ),
        (
            "kinetics",
            KINETICS,
            lambda b: b.replace(b"\r\n", b"\r\n \t\r\n\r\n", 1).replace(b",10,", b",inf,", 1),
            r"line 4: found time_start 'inf' — a number of",
        ),
        ("kinetics", KINETICS, lambda b: b + b'run,"abc,1,2,train\n', "train.csv: .*EOF inside string"),
        ("kinetics", KINETICS, lambda b: b + b"fly" + b"," + b.splitlines()[1].split(b",", 1)[1] + b"\n", "one label"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_with_its_place(copied, layout, file, change, message):
    root = copied(layout)
    edit(next(root.glob(file)), change)
    with pytest.raises(LayoutError, match=message):
        take(root, layout)


def test_the_official_folder_goes_before_others(synthetic_data, copied):
    """A second release, with training and test videos swapped, lies in a folder that sorts before it."""
    root = copied("hmdb51")
    shutil.copytree(root / "test_train_splits", root / "old")
    for path in (root / "old").glob("*.txt"):
        edit(path, lambda b: b.replace(b" 1", b" 3").replace(b" 2", b" 1").replace(b" 3", b" 2"))
    pd.testing.assert_frame_equal(take(root, "hmdb51"), take(synthetic_data / "hmdb51", "hmdb51"))


def test_a_training_video_that_is_also_a_test_video_is_refused(copied):
    root = copied("ucf101")
    video = first_line(root / TEST)
    edit(root / UCF, lambda content: content + video + b" 1\r\n")
    with pytest.raises(
        LayoutError, match=r"testlist01.txt, line 1: found UCF-101/.* which .*trainlist01.txt, line \d+"
    ):
        take(root, "ucf101")


def test_a_clip_in_both_parts_of_kinetics_is_refused(copied):
    root = copied("kinetics")
    row = (root / "annotations" / "train.csv").read_bytes().splitlines()[1]
    edit(root / "annotations" / "val.csv", lambda content: content + row + b"\n")
    with pytest.raises(LayoutError, match=r"annotations of val, line \d+: found clip .* annotations of train, line 2"):
        take(root, "kinetics")


def test_a_line_that_stands_twice_is_one_video(synthetic_data, copied):
    root = copied("ucf101")
    edit(root / UCF, lambda content: content + first_line(root / UCF) + b"\n")
    pd.testing.assert_frame_equal(take(root, "ucf101"), take(synthetic_data / "ucf101", "ucf101"))


# Each listed video gets a file of its own, or none.


def numbered(root, classes=("Aa", "Bb", "Cc"), videos=4):
    """UCF101's layout with the same file names in every class."""
    lists = {"train": [], "test": []}
    for name in classes:
        for number in range(1, videos + 1):
            path = root / "UCF-101" / name / f"{number:03d}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{name} {number}".encode())
            lists["test" if number == 1 else "train"].append(f"{name}/{path.name}\n")
    (root / "ucfTrainTestlist").mkdir()
    for split in (1, 2, 3):
        for side, lines in lists.items():
            (root / "ucfTrainTestlist" / f"{side}list0{split}.txt").write_text("".join(lines))
    return root


def files(root):
    return take(root, "ucf101").set_index("path")["file"].to_dict()


def test_a_missing_video_is_not_replaced_by_another_classs_file(tmp_path):
    root = numbered(tmp_path)
    whole = files(root)
    assert all(path == file for path, file in whole.items())
    (root / "UCF-101" / "Bb" / "002.avi").unlink()
    shutil.rmtree(root / "UCF-101" / "Cc")
    gone = {"UCF-101/Bb/002.avi", *(f"UCF-101/Cc/00{n}.avi" for n in range(1, 5))}
    assert files(root) == {path: "" if path in gone else path for path in whole}


def test_a_file_elsewhere_serves_the_listed_video_whose_class_its_folder_names(tmp_path):
    root = numbered(tmp_path)
    (root / "other" / "Bb").mkdir(parents=True)
    (root / "UCF-101" / "Bb" / "002.avi").rename(root / "other" / "Bb" / "002.mp4")
    (root / "UCF-101" / "Cc" / "002.avi").unlink()
    found = files(root)
    assert found["UCF-101/Bb/002.avi"] == "other/Bb/002.mp4"
    assert found["UCF-101/Cc/002.avi"] == ""


def test_a_file_that_may_be_several_listed_videos_is_refused(tmp_path):
    root = numbered(tmp_path)
    (root / "UCF-101" / "Bb" / "002.avi").unlink()
    (root / "UCF-101" / "Cc" / "002.avi").rename(root / "002.avi")
    with pytest.raises(
        AmbiguousFileError, match=r"002.avi: it may be UCF-101/Bb/002.avi or UCF-101/Cc/002.avi, .* move"
    ):
        files(root)
    subset = pd.DataFrame({"path": ["UCF-101/Aa/001.avi"]})
    assert take(root, "ucf101", subset)["file"].tolist()[0] == "UCF-101/Aa/001.avi"  # others need not be told apart


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_another_classs_video_is_told(tmp_path, link):
    root = numbered(tmp_path)
    folder = root / "UCF-101"
    (folder / "Bb" / "002.avi").unlink()
    link(folder / "Aa" / "003.avi", folder / "Bb" / "002.avi")
    with pytest.raises(AmbiguousFileError, match=r"Bb/002.avi \(Bb\) and by a link UCF-101/Aa/003.avi \(Aa\) — a file"):
        files(root)


def test_no_file_serves_two_listed_videos(tmp_path):
    root = numbered(tmp_path)
    for name in ("Aa", "Bb"):
        shutil.rmtree(root / "UCF-101" / name)
    found = [file for file in files(root).values() if file]
    assert len(found) == len(set(found)) == 4


@pytest.mark.parametrize("form", ["{0}_{1}_{2}.mp4", "{0}_{1:03d}_{2:03d}.webm", "{0}_{1:06d}_{2:06d}.mp4.mkv"])
def test_kinetics_times_and_endings_are_read_in_the_forms_of_several_downloaders(copied, form):
    root = copied("kinetics")
    names = inventory.read_lists(root, "kinetics")["path"].tolist()
    moved = {}
    for name in names[::3]:
        youtube_id, start, end = Path(name).stem.rsplit("_", 2)
        moved[name] = str(Path(name).with_name(form.format(youtube_id, int(start), int(end))))
        (root / name).rename(root / moved[name])
    found = take(root, "kinetics")
    assert found["file"].tolist() == [moved.get(name, name) for name in names]


def test_a_kinetics_file_named_by_its_id_alone_is_not_taken_for_a_clip(copied):
    root = copied("kinetics")
    name = inventory.read_lists(root, "kinetics")["path"].iloc[0]
    (root / name).rename((root / name).with_name(f"{Path(name).stem.rsplit('_', 2)[0]}.mp4"))  # perhaps the whole video
    found = take(root, "kinetics").set_index("path")["file"]
    assert found[name] == ""
    assert len(found) == 31


def test_a_name_that_is_no_text_stops_nothing(synthetic_data, copied):
    root = copied("ucf101")
    (Path(str(root)) / "UCF-101").joinpath(b"caf\xe9.avi".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    found = take(root, "ucf101")
    assert found["file"].iloc[-1] == r"UCF-101/caf\xe9.avi"
    pd.testing.assert_frame_equal(found.iloc[:-1], take(synthetic_data / "ucf101", "ucf101"))
    found.to_parquet(root / "listing.parquet")


def test_an_accent_is_the_same_however_it_is_written(tmp_path):
    root = numbered(tmp_path, classes=("Caf\u00e9", "Bb"))
    folder = root / "UCF-101" / "Caf\u00e9"
    folder.rename(root / "UCF-101" / "Cafe\u0301")
    (root / "UCF-101" / "Bb" / "001.avi").unlink()
    found = files(root)
    assert found["UCF-101/Caf\u00e9/001.avi"] == "UCF-101/Cafe\u0301/001.avi"
    assert found["UCF-101/Bb/001.avi"] == ""
