import av
import numpy as np
import pandas as pd
import pytest
from packing import contents

from mac.data import inventory, splits, synthetic
from mac.data.check import examine
from mac.data.layouts import LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(synthetic_data, tmp_path, layout):
    synthetic.generate(tmp_path, layout, classes=3, videos_per_class=10, num_frames=14, seed=5, workers=2)
    assert contents(tmp_path) == contents(synthetic_data / layout)


def test_another_seed_gives_other_videos(synthetic_data, tmp_path):
    synthetic.generate(tmp_path, "ucf101", classes=3, videos_per_class=10, num_frames=14, seed=6)
    ours, theirs = contents(tmp_path), contents(synthetic_data / "ucf101")
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours if name.endswith(".avi"))


def test_videos_look_like_ucf101s(synthetic_data):
    path = next((synthetic_data / "ucf101").rglob("*.avi"))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.codec_tag) == ("mpeg4", "XVID")
        assert (stream.width, stream.height, stream.average_rate) == (320, 240, 25)
    found = examine(path)
    assert (found.num_frames, found.fps, found.width, found.height) == (14, 25.0, 320, 240)


def test_split_files_have_their_own_formats(synthetic_data):
    lists = synthetic_data / "ucf101" / "ucfTrainTestlist"
    assert (lists / "classInd.txt").read_bytes() == b"1 Bounce\r\n2 Clap\r\n3 Drum\r\n"
    assert b" 1\r\n" in (lists / "trainlist01.txt").read_bytes()
    assert b" " not in (lists / "testlist01.txt").read_bytes()
    uses = (synthetic_data / "hmdb51" / "test_train_splits" / "clap_test_split2.txt").read_text().split()[1::2]
    assert set(uses) == {"0", "1", "2"}
    table = pd.read_csv(synthetic_data / "kinetics" / "annotations" / "train.csv")
    assert list(table.columns) == ["label", "youtube_id", "time_start", "time_end", "split"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("videos", [2, 7, 30, 60])
def test_a_layout_reads_what_it_writes(layout, videos, tmp_path):
    planned, lists = LAYOUTS[layout].synthesise(["Clap", "Drum", "Wave"], videos)
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, newline="")
    for video in planned:
        (tmp_path / video.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / video.path).touch()
    table = inventory.read_lists(tmp_path, layout).set_index("path")
    assert set(table.index) == {video.path for video in planned}
    assert table["label"].nunique() == 3
    for number in splits.SPLITS:
        place = LAYOUTS[layout].SPLITS.index(number) if number in LAYOUTS[layout].SPLITS else None
        sides = {video.path: splits.UNUSED if place is None else video.sides[place] for video in planned}
        assert table[f"split_{number}"].to_dict() == sides
        used = table[table[f"split_{number}"] != splits.UNUSED]
        assert used.groupby(["label", "group"])[f"split_{number}"].nunique().eq(1).all()


def test_a_single_pose_says_nothing_about_the_class():
    """Joints of one random frame have the same distribution whichever motion runs, however far it has run."""
    rng = np.random.default_rng(0)
    look = synthetic.appearance(1, 0, 1)

    def hands(motion, time, count=1500):
        phases = rng.uniform(0, 2 * np.pi, (count, len(synthetic.MOTIONS)))
        phases[:, motion] += time
        return np.array([synthetic.joints(p, look)["right_hand"] for p in phases])

    for motion in range(len(synthetic.MOTIONS)):
        moved, still = hands(motion, 1.7), hands(motion, 0.0)
        error = np.sqrt(moved.var(0) / len(moved) + still.var(0) / len(still))
        assert (np.abs(moved.mean(0) - still.mean(0)) < 4 * error).all()
        assert np.abs(moved.std(0) / still.std(0) - 1).max() < 0.12


@pytest.mark.parametrize("motion", range(len(synthetic.MOTIONS)))
def test_every_motion_moves(motion):
    images, boxes = synthetic.frames(splits.SyntheticVideo("x.avi", motion, 3, 1, ()), 20, seed=1)
    changes = [(np.abs(image.astype(int) - images[0]).max(-1) > 60).mean() for image in images]
    assert max(changes) > 0.004  # at some time: a whole period later the first frame is back
    assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in boxes)


def test_the_box_holds_the_figure():
    clip = splits.SyntheticVideo("x.avi", 2, 4, 1, ())
    images, boxes = synthetic.frames(clip, 3, seed=1)
    background = synthetic.appearance(1, 2, 4).background.astype(int)
    for image, (x0, y0, x1, y1) in zip(images, boxes, strict=True):
        rows, columns = np.nonzero(np.abs(image - background).max(-1) > 12)
        assert columns.min() >= round(x0 * 320) - 1
        assert columns.max() <= round(x1 * 320) + 1
        assert rows.min() >= round(y0 * 240) - 1
        assert rows.max() <= round(y1 * 240) + 1
