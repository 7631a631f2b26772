"""The inventory and the index: which file is which listed video, and what may be used."""

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_video import encode

from mac.data import check, index, splits
from mac.data.layouts import hmdb51

REAL = os.environ.get("MAC_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MAC_REAL_DATA names no folder of real videos")


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "kinetics"])
def test_the_index_accounts_for_every_video(synthetic_data, layout):
    table = index.build(synthetic_data / layout, layout, 0.0)
    assert len(table) == 30
    assert (table["status"] == check.SHORT).all()
    assert (table["num_frames"] == 14).all()
    assert table["label"].nunique() == 3
    assert table.groupby("label")["label_index"].nunique().eq(1).all()
    assert table["label_index"].tolist() == pd.factorize(table["label"], sort=True)[0].tolist()
    assert (table["file"] == table["path"]).all()
    assert (table["copy"] == "").all()


@pytest.fixture(scope="module")
def plain(synthetic_data):
    """The index of the UCF101-like set as it is."""
    return index.build(synthetic_data / "ucf101", "ucf101", 0.0)


def copied(synthetic_data, tmp_path, layout="ucf101"):
    return shutil.copytree(synthetic_data / layout, tmp_path / layout)


def placed(root, layout="ucf101", subset=None):
    """Where each video was found, by its official path; and the unlisted files."""
    table = index.take(root, layout, subset)
    listed = table[table["label"] != ""]
    return listed.set_index("path")["file"].to_dict(), table.loc[table["label"] == "", "file"].tolist()


def test_unusable_videos_are_named_with_a_reason_and_counted_against_the_budget(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    videos = sorted(root.rglob("*.avi"))
    videos[3].unlink()
    videos[17].write_bytes(b"not a video")
    with pytest.raises(index.UnusableDataError) as caught:
        index.build(root, "ucf101", 0.066)
    message = str(caught.value)
    assert "2 of 30 listed videos can't be used (6.7%, allowed 6.6%)" in message
    assert "1 absent" in message
    assert "1 undecodable" in message
    assert f"{videos[3].relative_to(root)} — listed, but there is no such file" in message
    assert "raise `max_unusable`" in message
    assert "declare it as a `subset`" not in message
    hidden = [video.rename(video.with_name(f".{video.name}")) for video in videos[::2]]
    with pytest.raises(index.UnusableDataError, match=r"16 absent, 1 undecodable; .*declare it as a `subset`"):
        index.build(root, "ucf101", 0.0)
    for video in hidden:
        video.rename(video.with_name(video.name[1:]))
    table = index.build(root, "ucf101", 0.067).set_index("path")
    assert table.loc[str(videos[3].relative_to(root)), "status"] == check.ABSENT
    assert table.loc[str(videos[17].relative_to(root)), "status"] == check.UNDECODABLE
    assert table["status"].value_counts()[check.SHORT] == 28
    assert len(index.usable(table.reset_index())) == 28


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".MP4", ".webm"])
def test_another_ending_is_found(synthetic_data, tmp_path, ending):
    root = copied(synthetic_data, tmp_path)
    first = sorted(root.rglob("*.avi"))[0]
    first.rename(first.with_suffix(ending))
    files, unlisted = placed(root)
    assert files[str(first.relative_to(root))] == str(first.with_suffix(ending).relative_to(root))
    assert not unlisted
    assert index.build(root, "ucf101", 0.0).loc[0, "status"] == check.SHORT


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "kinetics"])
def test_videos_are_found_by_name_in_a_flat_folder(synthetic_data, tmp_path, layout):
    root = copied(synthetic_data, tmp_path, layout)
    official, _ = placed(root, layout)
    (root / "all of them").mkdir()
    for video in official:
        (root / video).rename(root / "all of them" / Path(video).name)
    files, unlisted = placed(root, layout)
    assert files == {video: f"all of them/{Path(video).name}" for video in official}
    assert not unlisted


def test_kinetics_is_found_in_class_folders_with_underscores(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path, "kinetics")
    official, _ = placed(root, "kinetics")
    assert any(" " in video for video in official)
    for part in ("train", "val"):
        for folder in sorted((root / part).iterdir()):
            folder.rename(folder.with_name(folder.name.replace(" ", "_")))
    files, unlisted = placed(root, "kinetics")
    assert files == {video: video.replace(" ", "_") for video in official}
    assert not unlisted
    table = index.build(root, "kinetics", 0.0)
    assert index.digest(table) == index.digest(index.build(synthetic_data / "kinetics", "kinetics", 0.0))


@pytest.mark.parametrize("place", ["replacement", "train/replacement", "replacement_for_corrupted_k400"])
def test_a_mended_copy_is_taken_before_the_official_one(synthetic_data, tmp_path, place):
    root = copied(synthetic_data, tmp_path, "kinetics")
    broken, other = list(placed(root, "kinetics")[0])[:2]
    mended = f"{place}/{Path(broken).stem}.mkv"
    encode(root / mended, range(21))
    (root / broken).write_bytes(b"broken")
    files, unlisted = placed(root, "kinetics")
    assert files[broken] == mended
    assert files[other] == other
    assert not unlisted
    row = index.build(root, "kinetics", 0.0).set_index("path").loc[broken]
    assert (row["status"], row["num_frames"], row["file"]) == (check.OK, 21, mended)


def test_the_official_place_wins_over_a_copy_elsewhere(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    first, second = sorted(root.rglob("*.avi"))[:2]
    for folder in (f"A/{first.parent.name}", "z"):
        (root / folder).mkdir(parents=True)
        shutil.copy(first, root / folder / first.name)
        shutil.copy(second, root / folder / second.name)
    second.rename(second.with_suffix(".mp4"))
    files, unlisted = placed(root)
    assert files[str(first.relative_to(root))] == str(first.relative_to(root))
    assert files[str(second.relative_to(root))] == str(second.with_suffix(".mp4").relative_to(root))
    assert not unlisted


def test_hidden_files_and_folders_are_passed_over(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    first, second = sorted(root.rglob("*.avi"))[:2]
    (root / ".trash").mkdir()
    first.rename(root / ".trash" / first.name)
    second.rename(second.with_name(f".{second.name}"))
    encode(root / ".cache" / "deep" / "stray.avi", range(3), "mpeg4")
    files, unlisted = placed(root)
    assert files[str(first.relative_to(root))] == files[str(second.relative_to(root))] == ""
    assert not unlisted


def test_unlisted_videos_are_named_and_change_nothing(synthetic_data, plain, tmp_path):
    root = copied(synthetic_data, tmp_path)
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


def test_a_linked_folder_serves_listed_videos_and_counts_no_unlisted(synthetic_data, plain, tmp_path):
    root = copied(synthetic_data, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (root / "UCF-101").rename(elsewhere)
    encode(elsewhere / "more" / "stray.avi", range(3), "mpeg4")
    (root / "linked").symlink_to(elsewhere)
    files, unlisted = placed(root)
    assert files == {video: video.replace("UCF-101", "linked") for video in files}
    assert all((root / file).is_file() for file in files.values())
    assert not unlisted
    assert index.digest(index.build(root, "ucf101", 0.0)) == index.digest(plain)


def test_a_link_beside_a_folder_takes_nothing_from_it(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    encode(root / "UCF-101" / "stray.avi", range(3), "mpeg4")
    (root / "A link").symlink_to(root / "UCF-101")
    files, unlisted = placed(root)
    assert all(file == path for path, file in files.items())
    assert unlisted == ["UCF-101/stray.avi"]


def declared(table):
    return table[["path", "num_frames", "content"]].copy()


def test_a_subset_keeps_its_videos_and_says_how_each_copy_compares(synthetic_data, plain, tmp_path):
    subset = declared(plain)
    root = copied(synthetic_data, tmp_path)
    files = [root / path for path in subset["path"]]
    encode(files[4].with_suffix(".mkv"), range(14))
    encode(files[5].with_suffix(".mkv"), range(20))
    for file in (files[4], files[5], files[6], files[25]):
        file.unlink()
    chosen = subset.drop(25).sample(frac=1, random_state=0)  # the absent 26th isn't asked for
    encode(root / "stray.avi", range(20), "mpeg4")
    with pytest.raises(index.UnusableDataError, match="1 of 29 listed videos"):
        index.build(root, "ucf101", 0.0, subset=chosen)
    table = index.build(root, "ucf101", 0.1, subset=chosen)
    assert table["path"].tolist() == [*subset.drop(25)["path"], "stray.avi"]
    assert table.loc[[4, 5, 6, 29], "copy"].tolist() == [index.OTHER_BYTES, index.OTHER_LENGTH, "", ""]
    assert (table.loc[[*range(4), *range(7, 29)], "copy"] == index.IDENTICAL).all()


def test_listed_videos_beside_a_subset_are_not_unlisted(synthetic_data, plain):
    subset = declared(plain)
    files, unlisted = placed(synthetic_data / "ucf101", subset=subset[::2])
    assert list(files) == subset["path"][::2].tolist()
    assert not unlisted


def test_a_subset_of_strange_videos_is_refused_by_name(synthetic_data, plain):
    subset = declared(plain)
    subset.loc[3, "path"], subset.loc[9, "path"] = "UCF-101/B/v_B_g01_c01.avi", "UCF-101/A/v_A_g01_c01.avi"
    with pytest.raises(index.SubsetError, match=r"2 videos that no list names, first UCF-101/A/v_A_g01_c01\.avi"):
        index.build(synthetic_data / "ucf101", "ucf101", 0.0, subset=subset)


def test_duplicates_are_named_and_used(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    videos = [str(video.relative_to(root)) for video in sorted(root.rglob("*.avi"))]
    encode(root / videos[7], range(20), "mpeg4")
    for place in (3, 22):
        shutil.copy(root / videos[1], root / videos[place])
    shutil.copy(root / videos[7], root / videos[8])
    for place in (10, 11):  # what can't be used has no duplicates
        (root / videos[place]).write_bytes(b"not a video")
    table = index.build(root, "ucf101", 0.1).set_index("path")
    assert table.index[table["status"] == check.DUPLICATE].tolist() == [videos[3], videos[8], videos[22]]
    assert table.loc[videos[8], "reason"] == f"same bytes as {videos[7]}"
    for place in (3, 22):
        assert table.loc[videos[place], "reason"].startswith(f"same bytes as {videos[1]}; 14 frames, fewer than")
    assert table.loc[[videos[1], videos[7]], "status"].tolist() == [check.SHORT, check.OK]
    used = index.usable(table.reset_index())
    assert {videos[3], videos[8], videos[22]} < set(used["path"])
    assert len(used) == 28


@pytest.mark.parametrize(
    ("name", "keep", "message"),
    [
        ("trainlist01.txt", lambda line: "Drum" not in line, "split 1 has no usable training video of class Drum"),
        ("testlist02.txt", lambda _: False, "split 2 has no usable test video"),
    ],
)
def test_a_list_that_leaves_a_class_or_a_side_empty_is_refused(synthetic_data, tmp_path, name, keep, message):
    root = copied(synthetic_data, tmp_path)
    path = root / "ucfTrainTestlist" / name
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if keep(line)))
    with pytest.raises(index.UnusableDataError, match=message):
        index.build(root, "ucf101", 0.0)


def test_a_class_all_of_whose_training_videos_are_broken_is_refused(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    for line in (root / "ucfTrainTestlist" / "trainlist02.txt").read_text().splitlines():
        if "Drum" in line:
            (root / "UCF-101" / line.split()[0]).write_bytes(b"broken")
    with pytest.raises(index.UnusableDataError, match=r"split \d has no usable training video of class Drum"):
        index.build(root, "ucf101", 1.0)


def test_a_missing_list_says_which_and_what_to_do(tmp_path):
    with pytest.raises(splits.LayoutError, match=r"trainlist01\.txt: missing — put the official lists there"):
        index.read_lists(tmp_path, "ucf101")


def test_the_digest_follows_content_alone(synthetic_data, plain, tmp_path):
    root = copied(synthetic_data, tmp_path)
    whole = index.digest(plain)
    assert index.digest(index.build(root, "ucf101", 0.0, workers=2)) == whole
    assert index.digest(plain.sample(frac=1, random_state=0)) == whole
    videos = sorted(root.rglob("*.avi"))
    videos[0].rename(videos[0].with_suffix(".mkv"))  # another ending, …
    (root / "moved").mkdir()
    videos[1].rename(root / "moved" / videos[1].name)  # … another folder, …
    shutil.move(root, tmp_path / "elsewhere")  # … and another place
    root = tmp_path / "elsewhere"
    assert index.digest(index.build(root, "ucf101", 0.0)) == whole
    shutil.copy(root / "moved" / videos[1].name, root / videos[2].relative_to(tmp_path / "ucf101"))
    assert index.digest(index.build(root, "ucf101", 0.0)) != whole


@pytest.mark.parametrize("column", ["path", "label", "group", "split_2", "num_frames", "content", "status"])
def test_the_digest_follows_every_fact_that_training_sees(plain, column):
    changed = plain.copy()
    changed.loc[5, column] = 15 if column == "num_frames" else "other"
    assert index.digest(changed) != index.digest(plain)


def test_a_scan_in_shards_gives_the_index_that_one_scan_gives(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    sorted(root.rglob("*.avi"))[9].unlink()
    listed = index.take(root, "ucf101")
    parts = [index.shard(listed, part, 4) for part in range(4)]
    assert sorted(map(len, parts)) == [7, 7, 8, 8]
    pd.testing.assert_frame_equal(pd.concat(parts), listed)
    scans = [index.scan(list(part["file"]), root) for part in parts]
    pd.testing.assert_frame_equal(index.assemble(listed, scans), index.build(root, "ucf101", 0.1))
    with pytest.raises(index.UnusableDataError, match="22 videos were scanned, but 30 are listed: scan again"):
        index.assemble(listed, [scans[0], *scans[2:]])


def test_a_link_to_a_folder_above_ends(synthetic_data, tmp_path):
    root = copied(synthetic_data, tmp_path)
    (root / "UCF-101" / "again").symlink_to(root)
    assert len(list(index.videos(root))) == 30


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
