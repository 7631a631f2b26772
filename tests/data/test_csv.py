"""The layout of a user's own videos: its list, the division it makes, and what it says of a list it can't use."""

import random
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from mac.cli import main
from mac.data import inventory, store
from mac.data.layouts.csv import divide
from mac.data.splits import TEST, TRAIN, LayoutError


@pytest.fixture
def listed(tmp_path):
    """A function that writes a list and an empty file for each of the given paths, and reads the list."""

    def write(text, *files):
        (tmp_path / "videos.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return inventory.read_lists(tmp_path, "csv")

    return write


def sides(table):
    return table.set_index("path")["split_1"].to_dict()


def test_split_and_group_are_taken_as_they_are_written(listed):
    text = "﻿group,label,path,note,split\r\ng,Run,./a.mp4,x,train\r\n,Run,b/a.mp4,,test\r\n"  # as Excel writes it
    table = listed(text, "a.mp4", "b/a.mp4")
    assert sides(table) == {"a.mp4": TRAIN, "b/a.mp4": TEST}
    assert table["group"].tolist() == ["g", "b/a.mp4"]
    assert table["file"].tolist() == table["path"].tolist()


def test_without_a_split_the_order_of_the_lines_decides_nothing(listed):
    names = [f"{label}/{number}.mp4" for label in ("Run", "Sit") for number in range(20)]
    lines = [f"{name},{name[:3]}" for name in names]
    first = listed("\n".join(["path,label", *lines]), *names)
    random.Random(1).shuffle(lines)
    assert listed("\n".join(["path,label", *lines])).equals(first)
    assert first.groupby("label")["split_1"].value_counts().unstack()[TEST].tolist() == [6, 6]


@pytest.mark.parametrize("seed", range(20))
def test_a_division_keeps_groups_whole_and_is_near_a_share_of_30_percent(seed):
    rng = np.random.default_rng(seed)
    videos = [
        (f"class {label}", f"source {label if seed % 2 else ''} {group}")  # else a source has videos of all classes
        for label in range(4)
        for group in range(rng.integers(8, 25))
        for _ in range(rng.integers(1, 6))
    ]
    divided = divide(*zip(*videos, strict=True))
    table = pd.DataFrame(videos, columns=["label", "group"]).assign(tested=np.array(divided) == TEST)
    assert table.groupby("group")["tested"].nunique().eq(1).all()
    assert (table.groupby("label")["tested"].mean() - 0.3).abs().max() < (0.1 if seed % 2 else 0.2)
    assert abs(table["tested"].mean() - 0.3) < 0.1
    assert divide(*zip(*videos[::-1], strict=True)) == divided[::-1]


@pytest.mark.parametrize("sizes", [(1, 1), (9, 1), (8, 8), (5, 4, 1), (30, 2)])
def test_a_class_of_two_groups_or_more_has_training_and_test_videos(sizes):
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    assert set(divide(["Run"] * len(groups), groups)) == {TRAIN, TEST}


def test_all_problems_of_a_list_are_told_at_once_with_their_lines(listed, tmp_path):
    lines = [
        "path,label,split",
        "a.mp4,Run,train",
        "a.mp4,Sit,train",
        "../a.mp4,Run,test",
        "/etc/passwd,Run,test",
        "gone.mp4,Run,test",
        "b.mp4,Run,val",
        "b.mp4,,test",
        "b,c.mp4,Run,test",
    ]
    with pytest.raises(LayoutError) as error:
        listed("\n".join(lines), "a.mp4", "b.mp4")
    told = str(error.value)
    for part in (
        f"{tmp_path / 'videos.csv'}: 7 problem(s)",
        "line 3: found 'a.mp4' as 'Sit', which line 2 lists as 'Run' — one line a file — delete one",
        f"line 4: found '../a.mp4' — a path below {tmp_path} is allowed — move the video there",
        "line 5: found '/etc/passwd' — a path below",
        f"line 6: found 'gone.mp4' — there is no such file in {tmp_path} — correct the path",
        "line 7: found split 'val' — train or test is allowed — write one of them, or drop the column",
        "line 8: found no path or no label",
        "line 9: found 1 cells too many — one a column — put a cell that holds a comma into quotes",
    ):
        assert part in told


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted(listed):
    with pytest.raises(LayoutError, match=r"999 problem\(s\)(.|\n)*… and 979 more"):
        listed("path,label\n" + "gone.mp4,Run\n" * 999)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"videos\.csv: missing — write it, with the columns path, label"),
        ("path;label\na.mp4;Run\n", "line 1: found the columns path;label — path and label are needed.*name path and"),
        ("path\na.mp4\n", "line 1: found the columns path — .* name label in the first line"),
        ("", "line 1: found the columns none"),
        ("path,label\n", "the lists of layout csv name no video"),
        ("path,label\na.mp4,Run\n", "line 2: class 'Run' has no test video, 1 in 1 groups — each class needs training"),
        ("path,label,split\na.mp4,Run,test\n", "line 2: class 'Run' has no train video"),
        ("path,label,group\na.mp4,Run,g\nb.mp4,Run,g\n", "line 2: class 'Run' has no test video, 2 in 1 groups"),
        (b"path,label\n\xff,Run\n", r"line 2: found b'\\xff,Run\\n' — text in UTF-8 is read"),
    ],
)
def test_a_list_that_cant_be_used_is_named(text, told, listed, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(LayoutError, match=told):
        listed(text) if text is not None else inventory.read_lists(tmp_path, "csv")


def test_files_of_the_same_name_are_told_apart(copied):
    """Nothing is looked for elsewhere, and what isn't listed is unlisted whatever its name."""
    root = copied("csv")
    first, *rest = sorted((root / "Clap").iterdir())
    (root / "replacement").mkdir()
    shutil.copy(rest[0], root / "replacement" / first.name)
    table = inventory.take(root, "csv")
    assert table.loc[table["label"] != "", "file"].tolist() == table.loc[table["label"] != "", "path"].tolist()
    assert table.loc[table["label"] == "", "file"].tolist() == [f"replacement/{first.name}"]


def test_a_scale_with_videos_of_ones_own_plans_indexes_and_extracts(copied, folder, tmp_path, monkeypatch):
    """A list in the data set's folder, and a scale that names the data set."""
    scale = yaml.safe_load((folder / "scales" / "smoke.yaml").read_text())
    scale["datasets"]["mine"] = {"layout": "csv"}
    scale["pretrain"]["dataset"] = scale["finetune"]["dataset"] = "mine"
    (folder / "scales" / "mine.yaml").write_text(yaml.safe_dump(scale))
    data = copied("csv")
    videos = pd.read_csv(data / "videos.csv")
    videos[["path", "label", "group"]].to_csv(data / "videos.csv", index=False)
    monkeypatch.chdir(tmp_path)
    main(["resolve", "--scale", "mine", "--results", "results"])
    dataset, stored = (
        next(path for path in (tmp_path / "results" / stage).glob("*/config.yaml") if "layout: csv" in path.read_text())
        for stage in ("dataset", "store")
    )
    out, packed, where = dataset.parent, stored.parent, ["--root", str(data)]
    shard, config = ["--shard", "0", "1"], ["--config", str(dataset)]
    listing = ["--listing", str(out / "listing.parquet")]
    main(["fetch", "mine", *where, "--out", str(out / "fetched.json")])
    main(["list", *config, *where, "--out", listing[1]])
    main(["scan", *listing, *where, *shard, "--out", str(out / "scan.parquet")])
    main(
        ["index", *config, *listing, "--scans", str(out / "scan.parquet"), *where, "--out", str(out / "index.parquet")]
    )
    common = ["--config", str(stored), "--index", str(out / "index.parquet")]
    main(["extract", *common, *where, *shard, "--out", str(packed / "part.parquet")])
    main(["store", *common, "--parts", str(packed / "part.parquet"), "--out", str(packed / "store.json")])
    frames = store.FrameStore(packed)
    assert frames.labels == sorted(set(videos["label"]))
    train, test = frames.select(1, TRAIN), frames.select(1, TEST)
    assert (len(train), len(test)) == (21, 9)
    assert frames.clips(test[:2], np.array([[0, 3], [1, 2]])).any()
