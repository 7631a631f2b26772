"""The frame store against sequential decoding with OpenCV, on numbered videos of every kind in UCF101's layout."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from packing import contents
from test_video import FRAMES, KINDS, encode, number, opencv

from mac.data import check, index, store, video

WIDTH, HEIGHT = 64, 48
SHORT = 5


def lists(root: Path, names: list[str]) -> None:
    """Write UCF101's six lists; split s tests the videos of group s."""
    folder = root / "ucfTrainTestlist"
    folder.mkdir(parents=True)
    for split in (1, 2, 3):
        tested = [name for name in names if f"_g{split:02d}_" in name]
        (folder / f"testlist0{split}.txt").write_text("".join(f"{name}\n" for name in tested))
        (folder / f"trainlist0{split}.txt").write_text("".join(f"{name} 1\n" for name in names if name not in tested))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A data set's folder, and the number that each video (by its stem) begins with."""
    root = tmp_path_factory.mktemp("numbered")
    kinds = [
        *KINDS.values(),
        (".mp4", {"rotation": 90}),
        (".mkv", {"rotation": 270}),
        (".avi", {"codec": "mpeg4", "numbers": SHORT}),
    ]
    names, first = [], {}
    for place, (ending, given) in enumerate(kinds):
        label, arguments = ("Alpha", "Beta")[place % 2], dict(given)
        stem = f"v_{label}_g{place // 2 + 1:02d}_c01"
        first[stem] = 14 * place
        arguments["numbers"] = range(first[stem], first[stem] + arguments.get("numbers", FRAMES))
        encode(root / "UCF-101" / label / f"{stem}{ending}", **arguments)
        names.append(f"{label}/{stem}.avi")
    shutil.copy(root / "UCF-101/Alpha/v_Alpha_g01_c01.avi", root / "UCF-101/Alpha/v_Alpha_g09_c01.avi")
    names.append("Alpha/v_Alpha_g09_c01.avi")
    first["v_Alpha_g09_c01"] = first["v_Alpha_g01_c01"]
    lists(root, names)
    return root, first


@pytest.fixture(scope="module")
def table(numbered):
    return index.build(numbered[0], "ucf101", 0.0)


@pytest.fixture(scope="module")
def stored(numbered, table, tmp_path_factory):
    """The numbered videos' store."""
    folder = tmp_path_factory.mktemp("stored")
    store.extract(numbered[0], table, folder, WIDTH, HEIGHT)
    return folder


def times(folder: Path) -> dict[str, tuple[int, int]]:
    """The stored videos' inodes and times of writing: neither stays when a file is written again."""
    files = [path for path in (folder / "videos").rglob("*.avi") if not path.name.startswith(".")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def gray(images: np.ndarray) -> np.ndarray:
    return images.astype(float) @ np.array([0.299, 0.587, 0.114])


def test_the_store_returns_the_frame_asked_for_in_any_order(numbered, stored):
    _, first = numbered
    frames = store.FrameStore(stored)
    rows = frames.videos
    assert len(rows) == len(KINDS) + 4
    rng = np.random.default_rng(1)
    videos = np.concatenate([rng.permutation(len(rows)) for _ in range(3)])
    chosen = np.stack([rng.integers(0, frames.lengths[place], 12) for place in videos])
    chosen[:, 5] = chosen[:, 4]  # in place and …
    chosen[:, 11] = chosen[:, 0]  # … far apart, a frame may be asked for again
    clips = frames.clips(videos, chosen)
    assert clips.shape == (len(videos), 12, HEIGHT, WIDTH, 3)
    assert clips.dtype == np.uint8
    for clip, place, wanted in zip(clips, videos, chosen, strict=True):
        begin = first[Path(rows.loc[place, "path"]).stem]
        assert [number(image) for image in clip] == [begin + frame for frame in wanted]


def test_every_stored_frame_is_the_decoded_one_and_any_player_shows_it(numbered, stored, table):
    """OpenCV reads the source and the stored file; what a JPEG costs is measured against our own decoding."""
    root, first = numbered
    frames = store.FrameStore(stored)
    sources = table.set_index("path")
    smooth = slice(round(0.6 * HEIGHT), None)  # below the blocks: filters differ at hard edges
    for place, row in enumerate(frames.videos.itertuples()):
        source, path = root / sources.at[row.path, "file"], stored / row.stored
        reference = [cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for image in opencv(source)]
        exact, shown = np.stack(list(video.read(source, WIDTH, HEIGHT))), opencv(path)
        assert len(reference) == len(exact) == len(shown) == row.num_frames
        clip = frames.clips(np.array([place]), np.arange(row.num_frames)[None])[0]
        assert np.abs(gray(clip)[:, smooth] - gray(np.stack(reference))[:, smooth]).mean() < 3, row.path
        assert np.abs(gray(clip) - gray(exact)).mean() < 2, row.path
        error = ((clip[:, smooth].astype(float) - exact[:, smooth]) ** 2).mean()
        assert 10 * np.log10(255**2 / error) > 35, row.path
        begin = first[Path(row.path).stem]
        assert [number(image) for image in shown] == list(range(begin, begin + row.num_frames))
        assert shown[0].shape == (HEIGHT, WIDTH, 3)
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(sources.at[row.path, "fps"], rel=1e-3)


def test_a_store_says_what_it_holds_duplicates_and_short_videos_too(stored, table):
    frames = store.FrameStore(stored)
    assert (frames.digest, frames.labels) == (index.digest(table), ["Alpha", "Beta"])
    assert frames.lengths.tolist() == table["num_frames"].tolist()
    assert frames.videos["path"].tolist() == table["path"].tolist()
    rows = frames.videos.set_index("path")
    twins = rows.loc[["UCF-101/Alpha/v_Alpha_g01_c01.avi", "UCF-101/Alpha/v_Alpha_g09_c01.avi"]]
    assert twins["status"].tolist() == [index.OK, index.DUPLICATE]
    one, other = ((stored / name).read_bytes() for name in twins["stored"])
    assert one == other
    assert rows.loc[rows["status"] == index.SHORT, "num_frames"].tolist() == [SHORT]


def test_unusable_videos_are_left_out(numbered, table, tmp_path):
    root = shutil.copytree(numbered[0], tmp_path / "root")
    (root / table.loc[2, "file"]).write_bytes(b"not a video")
    damaged = table.copy()
    damaged.loc[2, "status"] = check.UNDECODABLE
    store.extract(root, damaged, tmp_path / "store", WIDTH, HEIGHT)
    frames = store.FrameStore(tmp_path / "store")
    assert frames.videos["path"].tolist() == table["path"].drop(2).tolist()
    clips = frames.clips(np.array([1, 2]), np.array([[3], [3]]))
    whole = {Path(path).stem: begin + 3 for path, begin in numbered[1].items()}
    assert [number(clip[0]) for clip in clips] == [whole[Path(path).stem] for path in frames.videos["path"][1:3]]


@pytest.mark.parametrize(("shards", "workers"), [(1, 2), (5, 1)])
def test_extraction_in_shards_or_by_workers_gives_the_same_store(numbered, table, stored, tmp_path, shards, workers):
    usable, parts = index.usable(table), {}
    for part in reversed(range(shards)):  # on any machine, in any order
        videos = index.shard(usable, part, shards)
        rows = store.extract_shard(numbered[0], videos, tmp_path, WIDTH, HEIGHT, workers)
        rows.to_parquet(tmp_path.with_name(f"{part}.parquet"))
        parts[part] = pd.read_parquet(tmp_path.with_name(f"{part}.parquet"))
    store.assemble(table, [parts[part] for part in range(shards)], tmp_path, WIDTH, HEIGHT)
    assert contents(tmp_path) == contents(stored)


SLOW = """
import sys, time
from pathlib import Path
import pandas as pd, simplejpeg
from mac.data import store

def slowly(*arguments, encode=simplejpeg.encode_jpeg):
    time.sleep(0.01)
    return encode(*arguments)

simplejpeg.encode_jpeg = slowly
root, table, folder, *numbers = sys.argv[1:]
store.extract(Path(root), pd.read_parquet(table), Path(folder), *map(int, numbers))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_extraction_goes_on_where_it_was(numbered, table, stored, tmp_path, workers):
    table.to_parquet(tmp_path / "table.parquet")
    folder = tmp_path / "store"
    arguments = [numbered[0], tmp_path / "table.parquet", folder, WIDTH, HEIGHT, workers]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *map(str, arguments)], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(times(folder)) < 3 or not list(folder.rglob(".*.avi.*")):  # a draft: in the middle of a video
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = times(folder)
    assert 3 <= len(done) < len(table)
    assert not (folder / "store.json").exists()
    store.extract(numbered[0], table, folder, WIDTH, HEIGHT)
    assert contents(folder) == contents(stored)  # the drafts are gone, too
    assert {name: when for name, when in times(folder).items() if name in done} == done


def test_a_second_extraction_writes_no_video_again(numbered, table, stored, tmp_path):
    folder = shutil.copytree(stored, tmp_path / "store")
    before = times(folder)
    store.extract(numbered[0], table, folder, WIDTH, HEIGHT)
    assert times(folder) == before
    assert contents(folder) == contents(stored)


def test_a_changed_video_gets_a_new_file_and_the_stale_one_goes(numbered, table, stored, tmp_path):
    root = shutil.copytree(numbered[0], tmp_path / "root")
    folder = shutil.copytree(stored, tmp_path / "store")
    changed, facts = table.copy(), ["num_frames", "content", "fps"]
    found = check.examine(encode(root / table.loc[0, "file"], range(200, 230), "mpeg4"))
    changed.loc[0, facts] = [getattr(found, fact) for fact in facts]
    before = times(folder)
    part = store.extract_shard(root, index.usable(changed), folder, WIDTH, HEIGHT)
    assert times(folder).items() > before.items()  # the old store serves until the new one is whole
    store.assemble(changed, [part], folder, WIDTH, HEIGHT)
    after = times(folder)
    old, new = set(before) - set(after), set(after) - set(before)
    assert [name.split(".")[0] for name in (*old, *new)] == ["v_Alpha_g01_c01"] * 2
    assert {name: after[name] for name in after if name not in new} == {
        name: before[name] for name in before if name not in old
    }
    frames = store.FrameStore(folder)
    assert frames.digest != store.FrameStore(stored).digest
    assert [number(image) for image in frames.clips(np.array([0]), np.array([[0, 17, 29]]))[0]] == [200, 217, 229]
    assert (
        number(frames.clips(np.array([1]), np.array([[3]]))[0, 0])
        == numbered[1][Path(frames.videos.loc[1, "path"]).stem] + 3
    )


@pytest.mark.parametrize(
    "wrong",
    [lambda a, b, c: [a], lambda a, b, c: [b, a], lambda a, b, c: [a, c], lambda a, b, c: [a, b, b]],
    ids=["a part is lacking", "another order", "another video", "a part twice"],
)
def test_shards_of_another_index_are_refused(numbered, table, tmp_path, wrong):
    whole, few = index.usable(table), table[:4]
    parts = [store.extract_shard(numbered[0], whole[first : first + 2], tmp_path, WIDTH, HEIGHT) for first in (0, 2, 3)]
    store.assemble(few, parts[:2], tmp_path, WIDTH, HEIGHT)  # as they should be
    with pytest.raises(video.VideoError, match="the shards hold other videos than the index"):
        store.assemble(few, wrong(*parts), tmp_path, WIDTH, HEIGHT)


def test_an_index_of_other_videos_is_refused(numbered, table, tmp_path):
    wrong = table[:6].copy()
    wrong.loc[4, "num_frames"] += 1
    with pytest.raises(video.VideoError, match=rf"{FRAMES} frames, the index says {FRAMES + 1}; rebuild the index"):
        store.extract(numbered[0], wrong, tmp_path, WIDTH, HEIGHT)
    assert not (tmp_path / "store.json").exists()


def test_a_stored_file_that_lost_frames_stops_the_next_extraction(numbered, table, stored, tmp_path):
    folder = shutil.copytree(stored, tmp_path / "store")
    path = folder / store.FrameStore(folder).videos.loc[3, "stored"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(video.VideoError, match=rf"{path.name}: \d+ frames stored of {FRAMES}; delete the file"):
        store.extract(numbered[0], table, folder, WIDTH, HEIGHT)
    path.unlink()
    store.extract(numbered[0], table, folder, WIDTH, HEIGHT)
    assert contents(folder) == contents(stored)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 3], lambda data: data[:1000].ljust(len(data), b"\0"), None]
)
def test_a_damaged_stored_file_is_named_with_the_way_out(stored, tmp_path, damage):
    folder = shutil.copytree(stored, tmp_path / "store")
    frames = store.FrameStore(folder)
    path = folder / frames.videos.loc[3, "stored"]
    path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
    with pytest.raises(store.StoreError, match=rf"{path.name}.*delete the store's folder.* to extract it anew"):
        frames.clips(np.array([2, 3]), np.array([[0], [FRAMES - 1]]))
    frames.clips(np.array([2, 4]), np.array([[0], [FRAMES - 1]]))  # the others serve


def test_boxes_stand_beside_their_frames(synthetic_data, frame_store):
    table = pd.read_parquet(synthetic_data / "ucf101" / "person_boxes.parquet")
    path = frame_store.videos.loc[7, "path"]
    expected = table[(table["path"] == path) & (table["frame"] == 9)][["x0", "y0", "x1", "y1"]].to_numpy(np.float32)
    np.testing.assert_array_equal(frame_store.boxes(np.array([7]), np.array([[9]]))[0, 0], expected)


def test_frames_without_with_one_and_with_several_boxes_and_a_store_without_any(stored, tmp_path):
    paths = store.FrameStore(stored).videos["path"]
    corners = np.random.default_rng(2).random((5, 4), np.float32)
    where = [(2, 39), (3, 0), (3, 7), (3, 7), (3, 7)]  # the last frame of one video and the first of the next, too
    rows = [(paths[place], frame, *box) for (place, frame), box in zip(where, corners, strict=True)]
    elsewhere = ("UCF-101/Gamma/v_Gamma_g01_c01.avi", 3, 0.1, 0.1, 0.2, 0.2)  # a video that this store doesn't hold
    table = pd.DataFrame([rows[2], elsewhere, *rows[3:], *rows[:2]], columns=["path", "frame", "x0", "y0", "x1", "y1"])
    table.to_parquet(tmp_path / "boxes.parquet")
    frames = store.FrameStore(stored, tmp_path / "boxes.parquet")
    boxes = frames.boxes(np.array([3, 2]), np.array([[0, 7, 8, 7], [39, 38, 0, 7]]))
    assert boxes.shape == (2, 4, 3, 4)
    assert boxes.dtype == np.float32
    expected = np.full_like(boxes, np.nan)
    expected[0, 0, 0] = corners[1]
    expected[0, 1] = expected[0, 3] = corners[2:]
    expected[1, 0, 0] = corners[0]
    np.testing.assert_array_equal(boxes, expected)
    none = frames.boxes(np.array([5]), np.array([[0, 1]]))
    assert none.shape == (1, 2, 1, 4)
    assert np.isnan(none).all()
    with pytest.raises(store.StoreError, match="opened without person boxes"):
        store.FrameStore(stored).boxes(np.array([0]), np.array([[0]]))


def test_videos_with_boxes_in_too_few_frames_are_left_out(stored, tmp_path):
    videos = store.FrameStore(stored).videos
    with_boxes = {2: 3, 3: 1, 5: 0, 6: 4}  # quarters of the frames of some videos; two boxes in each; all of the others
    rows = [
        (row.path, frame, 0.1, 0.1, 0.9, 0.9)
        for place, row in enumerate(videos.itertuples())
        for frame in range(row.num_frames * with_boxes.get(place, 4) // 4)
        for _ in range(2)
    ]
    pd.DataFrame(rows, columns=["path", "frame", "x0", "y0", "x1", "y1"]).to_parquet(tmp_path / "boxes.parquet")
    frames = pickle.loads(pickle.dumps(store.FrameStore(stored, tmp_path / "boxes.parquet")))
    sides = [frames.select(1, side) for side in ("train", "test")]
    assert set(with_boxes) <= set(np.concatenate(sides))
    for share, gone in ((0.0, set()), (0.25, {5}), (0.26, {3, 5}), (0.75, {3, 5}), (0.76, {2, 3, 5}), (1.0, {2, 3, 5})):
        for side, every in zip(("train", "test"), sides, strict=True):
            assert frames.select(1, side, share).tolist() == [place for place in every if place not in gone]


def test_no_video_with_enough_boxes_is_an_error(stored, tmp_path):
    table = pd.DataFrame({"path": ["none"], "frame": [0], "x0": [0.0], "y0": [0.0], "x1": [1.0], "y1": [1.0]})
    table.to_parquet(tmp_path / "boxes.parquet")
    with pytest.raises(store.StoreError, match=r"no train video has boxes in 70% .* largest share is 0.0% .*lower"):
        store.FrameStore(stored, tmp_path / "boxes.parquet").select(1, "train", 0.7)


def test_sides_of_a_split(frame_store):
    train, test = frame_store.select(1, "train"), frame_store.select(1, "test")
    assert len(train) + len(test) == 30
    assert not set(train) & set(test)
    groups = frame_store.videos["group"].to_numpy()
    assert not set(groups[train]) & set(groups[test])


def test_a_long_video_is_stored_frame_by_frame(tmp_path, monkeypatch):
    made, most = [], []

    class Frame(np.ndarray):
        """An array that can be watched."""

    def frames(path, width, height):
        for shown in range(300):
            frame = np.full((height, width, 3), shown % 256, np.uint8).view(Frame)
            made.append(weakref.ref(frame))
            most.append(sum(one() is not None for one in made))
            yield frame

    monkeypatch.setattr(store, "read", frames)
    rows = pd.DataFrame([["UCF-101/A/v.avi", "v.avi", "0123456789abcdef", 300, 25.0]],
                        columns=["path", "file", "content", "num_frames", "fps"])  # fmt: skip
    found = store.extract_shard(tmp_path, rows, tmp_path / "store", 32, 24)
    assert len(found["sizes"][0]) == 300
    assert max(most) <= 3


def test_a_video_of_another_length_leaves_no_half_written_file(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "read", lambda path, width, height: iter([np.zeros((24, 32, 3), np.uint8)] * 20))
    rows = pd.DataFrame([["UCF-101/A/v.avi", "v.avi", "0123456789abcdef", 21, 25.0]],
                        columns=["path", "file", "content", "num_frames", "fps"])  # fmt: skip
    with pytest.raises(video.VideoError, match="v.avi: 20 frames, the index says 21; rebuild the index"):
        store.extract_shard(tmp_path, rows, tmp_path / "store", 32, 24)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
