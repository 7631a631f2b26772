"""The inventory and the index: which file is which listed video, and what may be used."""

import os
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from test_video import encode

from mac.data import check, index, inventory, splits
from mac.data.layouts import hmdb51

REAL = os.environ.get("MAC_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MAC_REAL_DATA names no folder of real videos")
FOUND = [field.name for field in fields(check.Finding)]


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "kinetics"])
def test_the_index_accounts_for_every_video(synthetic_data, layout):
    table = index.build(synthetic_data / layout, layout, 0.0)
    assert len(table) == 30
    assert (table["status"] == check.SHORT).all()
    assert (table["num_frames"] == 14).all()
    assert table["label"].nunique() == 3
    assert table["label_index"].tolist() == pd.factorize(table["label"], sort=True)[0].tolist()
    assert (table["file"] == table["path"]).all()
    assert (table["copy"] == "").all()


def with_other_endings(root, names):
    return rename(root, {name: str(Path(name).with_suffix(new)) for name, new in zip(names, ENDINGS, strict=False)})


def in_one_folder(root, names):
    return rename(root, {name: f"all of them/{Path(name).name}" for name in names})


def with_underscores(root, names):
    assert any(" " in name for name in names)
    return rename(root, {name: name.replace(" ", "_") for name in names})


def with_copies_elsewhere(root, names):
    """The official place wins, whatever the ending there."""
    first, second = map(Path, names[:2])
    for folder in (f"A/{first.parent.name}", "z"):
        for name in (first, second):
            (root / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, root / folder / name.name)
    return rename(root, {str(second): str(second.with_suffix(".mp4"))})


def hidden(root, names):
    first, second = map(Path, names[:2])
    rename(root, {str(first): f".trash/{first.name}", str(second): str(second.with_name(f".{second.name}"))})
    (root / ".cache" / "deep").mkdir(parents=True)
    (root / ".cache" / "deep" / "stray.avi").touch()
    return dict.fromkeys(names[:2], "")


def behind_a_link(root, names):
    """A linked folder serves listed videos, and what else is in it doesn't count as unlisted."""
    elsewhere = (root / "UCF-101").rename(root.with_name("elsewhere"))
    (elsewhere / "stray.avi").touch()
    (root / "linked").symlink_to(elsewhere)
    return {name: name.replace("UCF-101", "linked") for name in names}


def beside_links(root, names):
    """Neither a link to a folder nor one to a folder above takes anything from the folder itself."""
    (root / "UCF-101" / "stray.avi").touch()
    (root / "A link").symlink_to(root / "UCF-101")
    (root / "UCF-101" / "again").symlink_to(root)
    return {"unlisted": ["UCF-101/stray.avi"]}


ENDINGS = (".mkv", ".mp4", ".MP4", ".webm")
CHANGES = [
    *[(layout, in_one_folder) for layout in ("ucf101", "hmdb51", "kinetics")],
    ("kinetics", with_underscores),
    *[("ucf101", c) for c in (with_other_endings, with_copies_elsewhere, hidden, behind_a_link, beside_links)],
]


def rename(root, moved):
    for old, new in moved.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)
    return moved


@pytest.mark.parametrize(("layout", "change"), CHANGES)
def test_each_video_is_found_wherever_it_is_and_no_other_is_taken_for_it(synthetic_data, copied, layout, change):
    root, names = copied(layout), inventory.read_lists(synthetic_data / layout, layout)["path"].tolist()
    moved = change(root, names)
    unlisted = moved.pop("unlisted", [])
    table = inventory.take(root, layout)
    assert table["path"].tolist() == [*names, *unlisted]
    assert table["file"].tolist() == [moved.get(name, name) for name in [*names, *unlisted]]
    for name, file in zip(names, table["file"], strict=False):
        assert not file or (root / file).read_bytes() == (synthetic_data / layout / name).read_bytes()


def test_a_link_to_a_folder_above_ends(copied):
    root = copied()
    (root / "UCF-101" / "again").symlink_to(root)
    assert len(list(inventory.videos(root))) == 30


@pytest.mark.parametrize("place", ["replacement", "train/replacement", "replacement_for_corrupted_k400"])
def test_a_mended_copy_is_taken_before_the_official_one(copied, place):
    root = copied("kinetics")
    names = inventory.read_lists(root, "kinetics")["path"].tolist()
    mended = f"{place}/{Path(names[0]).stem}.mkv"
    (root / place).mkdir(parents=True)
    shutil.copy(root / names[0], root / mended)
    assert inventory.take(root, "kinetics")["file"].tolist() == [mended, *names[1:]]


def test_unusable_videos_are_named_with_a_reason_and_counted_against_the_budget(copied):
    root = copied()
    videos = sorted(root.rglob("*.avi"))
    videos[3].unlink()
    videos[17].write_bytes(b"not a video")
    with pytest.raises(index.UnusableDataError) as caught:
        index.build(root, "ucf101", 0.066)
    for part in (
        "2 of 30 listed videos can't be used (6.7%, allowed 6.6%)",
        "1 absent",
        "1 undecodable",
        f"{videos[3].relative_to(root)} — listed, but there is no such file",
        "raise `max_unusable`",
    ):
        assert part in str(caught.value)
    assert "declare it as a `subset`" not in str(caught.value)
    table = index.build(root, "ucf101", 0.067)
    assert table.loc[[3, 17], "status"].tolist() == [check.ABSENT, check.UNDECODABLE]
    assert len(index.usable(table)) == (table["status"] == check.SHORT).sum() == 28
    table.loc[::2, "status"] = check.ABSENT
    with pytest.raises(index.UnusableDataError, match=r"16 absent, 1 undecodable; .*declare it as a `subset`"):
        index.check(table, root, 0.0)


def test_unlisted_videos_are_named_and_change_nothing(synthetic_data, plain, copied):
    root = copied()
    encode(root / "UCF-101" / "Extra" / "v_Extra_g01_c01.avi", range(20), "mpeg4")
    encode(root / "loose.mp4", range(20))
    shutil.copy(sorted((synthetic_data / "ucf101").rglob("*.avi"))[0], root / "AAA.avi")  # a listed video's bytes
    (root / "notes.txt").write_text("no video")
    table = index.build(root, "ucf101", 0.0)
    extra = table[table["status"] == check.UNLISTED]
    assert sorted(extra["path"]) == ["AAA.avi", "UCF-101/Extra/v_Extra_g01_c01.avi", "loose.mp4"]
    assert (extra["reason"] == "present, but no official list names it").all()
    assert (extra["label_index"] == -1).all()
    assert (extra[["split_1", "split_2", "split_3"]] == splits.UNUSED).all(axis=None)
    assert index.digest(table) == index.digest(plain)
    pd.testing.assert_frame_equal(index.usable(table), plain, check_dtype=False)


@pytest.fixture
def subset(plain):
    """A manifest of all videos."""
    return plain[["path", "num_frames", "content"]].copy()


def test_a_subset_keeps_its_videos_and_says_how_each_copy_compares(subset, copied):
    root = copied()
    files = [root / path for path in subset["path"]]
    encode(files[4].with_suffix(".mkv"), range(14))
    encode(files[5].with_suffix(".mkv"), range(20))
    for file in (files[4], files[5], files[6], files[25]):
        file.unlink()
    chosen = subset.drop(25).sample(frac=1, random_state=0)  # the absent 26th isn't asked for
    encode(root / "stray.avi", range(20), "mpeg4")
    table = index.build(root, "ucf101", 0.1, subset=chosen)
    assert table["path"].tolist() == [*subset.drop(25)["path"], "stray.avi"]
    assert table.loc[[4, 5, 6, 29], "copy"].tolist() == [index.OTHER_BYTES, index.OTHER_LENGTH, "", ""]
    assert (table.loc[[*range(4), *range(7, 29)], "copy"] == index.IDENTICAL).all()
    with pytest.raises(index.UnusableDataError, match="1 of 29 listed videos"):
        index.check(table, root, 0.0)


def test_listed_videos_beside_a_subset_are_not_unlisted(synthetic_data, subset):
    table = inventory.take(synthetic_data / "ucf101", "ucf101", subset[::2])
    assert table["file"].tolist() == table["path"].tolist() == subset["path"][::2].tolist()


def test_a_subset_of_strange_videos_is_refused_by_name(synthetic_data, subset):
    subset.loc[3, "path"], subset.loc[9, "path"] = "UCF-101/B/v_B_g01_c01.avi", "UCF-101/A/v_A_g01_c01.avi"
    with pytest.raises(inventory.SubsetError, match=r"2 videos that no list names, first UCF-101/A/v_A_g01_c01\.avi"):
        inventory.take(synthetic_data / "ucf101", "ucf101", subset)


def test_duplicates_are_named_and_used(plain):
    paths, found = plain["path"], plain[FOUND].copy()
    found.loc[[3, 22], "content"] = found.loc[1, "content"]
    found.loc[[7, 8], ["status", "reason", "num_frames", "content"]] = check.OK, "", 20, "another"
    found.loc[[10, 11], ["status", "content"]] = check.UNDECODABLE, "bad"  # what can't be used has no duplicates
    table = index.assemble(plain[inventory.COLUMNS], [found])
    assert table.index[table["status"] == check.DUPLICATE].tolist() == [3, 8, 22]
    assert table.loc[8, "reason"] == f"same bytes as {paths[7]}"
    for place in (3, 22):
        assert table.loc[place, "reason"].startswith(f"same bytes as {paths[1]}; 14 frames, fewer than")
    assert table.loc[[1, 7], "status"].tolist() == [check.SHORT, check.OK]
    assert index.usable(table)["path"].tolist() == paths.drop([10, 11]).tolist()


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        ({"label": "Drum", "split_1": "train"}, {"split_1": "unused"}, "1 has no usable train video of class Drum"),
        ({"label": "Drum", "split_1": "test"}, {"split_1": "unused"}, "1 has no usable test video of class Drum"),
        ({"split_2": "test"}, {"split_2": "unused"}, "split 2 has no usable test video"),
        ({"label": "Drum", "split_2": "train"}, {"status": "undecodable"}, r"no usable \w+ video of class Drum"),
    ],
)
def test_a_split_with_an_empty_side_or_class_is_refused(plain, rows, change, message):
    table = plain.copy()
    table.loc[table[list(rows)].eq(pd.Series(rows)).all(axis=1), list(change)] = list(change.values())
    with pytest.raises(index.UnusableDataError, match=message):
        index.check(table, Path("root"), 1.0)


def test_a_missing_list_says_which_and_what_to_do(tmp_path):
    with pytest.raises(splits.LayoutError, match=r"trainlist01\.txt: missing — put the official lists there"):
        inventory.read_lists(tmp_path, "ucf101")


def test_the_digest_follows_content_alone(plain, copied, tmp_path):
    root, whole = copied(), index.digest(plain)
    assert index.digest(plain.sample(frac=1, random_state=0)) == whole
    names = plain["path"]
    rename(root, {names[0]: str(Path(names[0]).with_suffix(".mkv")), names[1]: "moved/" + Path(names[1]).name})
    root = root.rename(tmp_path / "elsewhere")
    assert index.digest(index.build(root, "ucf101", 0.0, workers=2)) == whole
    shutil.copy(root / names[3], root / names[2])
    assert index.digest(index.build(root, "ucf101", 0.0)) != whole


@pytest.mark.parametrize("column", ["path", "label", "group", "split_2", "num_frames", "content", "status"])
def test_the_digest_follows_every_fact_that_training_sees(plain, column):
    changed = plain.copy()
    changed.loc[5, column] = 15 if column == "num_frames" else "other"
    assert index.digest(changed) != index.digest(plain)


def test_a_scan_in_shards_gives_the_index_that_one_scan_gives(synthetic_data, plain):
    listed = inventory.take(synthetic_data / "ucf101", "ucf101")
    parts = [index.shard(listed, part, 4) for part in range(4)]
    assert sorted(map(len, parts)) == [7, 7, 8, 8]
    pd.testing.assert_frame_equal(pd.concat(parts), listed)
    halves = [index.shard(listed, part, 2)["file"] for part in range(2)]
    scans = [index.scan(list(files), synthetic_data / "ucf101") for files in halves]
    pd.testing.assert_frame_equal(index.assemble(listed, scans), plain)
    with pytest.raises(index.UnusableDataError, match="15 videos were scanned, but 30 are listed: scan again"):
        index.assemble(listed, scans[1:])


@real
def test_the_index_of_ucf101s_subset_has_the_published_counts(root):
    subset = pd.read_csv(root / "config" / "subsets" / "ucf101-21.csv")
    table = index.build(Path(REAL) / "ucf101-21", "ucf101", 0.0, workers=2, subset=subset)
    counts = [tuple((table[f"split_{split}"] == side).sum() for side in ("train", "test")) for split in (1, 2, 3)]
    assert counts == [(1344, 531), (1354, 521), (1335, 540)]
    assert len(index.usable(table)) == len(table) == 1875
    assert (table["copy"] == index.IDENTICAL).all()
    duplicates = table[table["status"] == check.DUPLICATE]
    pairs = {
        frozenset([Path(row.path).stem, Path(row.reason.removeprefix("same bytes as ")).stem])
        for row in duplicates.itertuples()
    }
    assert pairs == {
        frozenset(["v_BasketballDunk_g08_c03", "v_BasketballDunk_g08_c04"]),
        frozenset(["v_TrampolineJumping_g08_c01", "v_TrampolineJumping_g12_c05"]),
    }
    assert len(duplicates) == 2
    assert table.groupby("content").size().gt(1).sum() == 2
    assert set(table["status"]) == {check.OK, check.DUPLICATE}


@real
def test_the_index_of_hmdb51s_subset_is_whole(root):
    subset = pd.read_csv(root / "config" / "subsets" / "hmdb51-3.csv")
    table = index.build(Path(REAL) / "hmdb51-3", "hmdb51", 0.0, workers=2, subset=subset)
    assert table["status"].tolist() == [check.OK] * 244
    assert (table["copy"] == index.IDENTICAL).all()


def test_clips_of_one_film_are_one_group_whatever_their_names_say_of_the_view(root):
    names = pd.read_csv(root / "config" / "subsets" / "hmdb51-3.csv")["path"]
    films = {}
    for name in names:
        label, stem = Path(name).parent.name, Path(name).stem
        film = re.match(rf"(.*)_{label}_[hulf]_(?:cm|nm)_np\d_\w\w_\w\w\w_\d+$", stem)[1]
        films.setdefault(label, set()).add(film)
        assert hmdb51.film_of(f"{stem}.avi", label) == film
    assert {label: len(found) for label, found in films.items()} == {"smile": 39, "handstand": 64, "situp": 7}
