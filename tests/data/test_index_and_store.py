import shutil

import numpy as np
import pandas as pd
import pytest

from mac.data import index, splits, store, video


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "kinetics"])
def test_the_index_accounts_for_every_video(embedded, layout):
    table = index.build(embedded / layout, layout, 0.0)
    assert len(table) == 30
    assert (table["status"] == index.OK).all()
    assert (table["num_frames"] == 14).all()
    assert table["label"].nunique() == 3
    assert table.groupby("label")["label_index"].nunique().eq(1).all()
    assert table["label_index"].tolist() == pd.factorize(table["label"], sort=True)[0].tolist()


def copied(embedded, tmp_path):
    return shutil.copytree(embedded / "ucf101", tmp_path / "ucf101")


def test_unusable_videos_are_named_with_a_reason_and_counted_against_the_budget(embedded, tmp_path):
    root = copied(embedded, tmp_path)
    videos = sorted(root.rglob("*.avi"))
    videos[3].unlink()
    videos[17].write_bytes(b"not a video")
    with pytest.raises(index.UnusableDataError, match=r"2 of 30 listed videos can't be used \(6\.7%, allowed 0\.0%\)"):
        index.build(root, "ucf101", 0.0)
    table = index.build(root, "ucf101", 0.1).set_index("path")
    assert table.loc[str(videos[3].relative_to(root)), ["status", "reason"]].tolist() == [
        index.ABSENT,
        "listed, but no such file",
    ]
    assert table.loc[str(videos[17].relative_to(root)), "status"] == index.UNDECODABLE
    assert (table["status"] == index.OK).sum() == 28


def test_another_ending_is_found(embedded, tmp_path):
    root = copied(embedded, tmp_path)
    first = sorted(root.rglob("*.avi"))[0]
    first.rename(first.with_suffix(".mkv"))
    table = index.build(root, "ucf101", 0.0)
    assert str(first.with_suffix(".mkv").relative_to(root)) in set(table["path"])


def test_a_class_without_training_videos_is_refused(embedded, tmp_path):
    root = copied(embedded, tmp_path)
    train = root / "ucfTrainTestlist" / "trainlist01.txt"
    train.write_text("".join(line + "\n" for line in train.read_text().splitlines() if "Drum" not in line))
    with pytest.raises(index.UnusableDataError, match="split 1 has no usable training video of class Drum"):
        index.build(root, "ucf101", 0.0)


def test_an_empty_split_is_refused(embedded, tmp_path):
    root = copied(embedded, tmp_path)
    (root / "ucfTrainTestlist" / "testlist02.txt").write_text("")
    with pytest.raises(index.UnusableDataError, match="split 2 has no usable test video"):
        index.build(root, "ucf101", 0.0)


def test_a_missing_list_says_which_and_what_to_do(tmp_path):
    with pytest.raises(splits.LayoutError, match=r"trainlist01\.txt: missing — put the official split lists there"):
        splits.listing(tmp_path, "ucf101")


def test_the_digest_follows_content_alone(embedded, tmp_path):
    root = copied(embedded, tmp_path)
    table = index.build(embedded / "ucf101", "ucf101", 0.0)
    assert index.digest(index.build(root, "ucf101", 0.0)) == index.digest(table)
    assert index.digest(table.sample(frac=1, random_state=0)) == index.digest(table)
    videos = sorted(root.rglob("*.avi"))
    shutil.copy(videos[0], videos[1])
    assert index.digest(index.build(root, "ucf101", 0.0)) != index.digest(table)


def test_the_store_returns_the_frame_asked_for(embedded, frame_store):
    rows = frame_store.videos
    for position in (0, 13, 29):
        decoded = np.stack(list(video.read(embedded / "ucf101" / rows.loc[position, "path"], 32, 24)))
        frames = np.array([[0, 5, 13, 13, 2]])
        np.testing.assert_array_equal(frame_store.clips(np.array([position]), frames)[0], decoded[frames[0]])


def test_workers_change_nothing(embedded, frame_store, tmp_path):
    table = index.build(embedded / "ucf101", "ucf101", 0.0, workers=2)
    store.extract(embedded / "ucf101", table, tmp_path, 32, 24, workers=2)
    other = store.FrameStore(tmp_path)
    assert other.digest == frame_store.digest
    everything = np.arange(30), np.tile(np.arange(14), (30, 1))
    np.testing.assert_array_equal(other.clips(*everything), frame_store.clips(*everything))


def test_boxes_stand_beside_their_frames(embedded, frame_store):
    table = pd.read_parquet(embedded / "ucf101" / "person_boxes.parquet")
    path = frame_store.videos.loc[7, "path"]
    expected = table[(table["path"] == path) & (table["frame"] == 9)][["x0", "y0", "x1", "y1"]].to_numpy(np.float32)
    np.testing.assert_array_equal(frame_store.boxes(np.array([7]), np.array([[9]]))[0, 0], expected)


def test_a_store_refuses_an_index_of_other_videos(embedded, tmp_path):
    table = index.build(embedded / "ucf101", "ucf101", 0.0)
    table.loc[4, "num_frames"] = 15
    with pytest.raises(video.VideoError, match="14 frames, but the index says 15"):
        store.extract(embedded / "ucf101", table, tmp_path, 32, 24)


def test_sides_of_a_split(frame_store):
    train, test = frame_store.select(1, "train"), frame_store.select(1, "test")
    assert len(train) + len(test) == 30
    assert not set(train) & set(test)
    groups = frame_store.videos["group"].to_numpy()
    assert not set(groups[train]) & set(groups[test])
