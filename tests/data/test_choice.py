"""The declared choice of MiniKinetics: exact counts, nothing but the seed decides, and the folder made of it."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mac.data import catalog, fetch, inventory
from mac.data.layouts.kinetics import ChoiceError, choose

COUNTS = {"train": 520, "val": 120}  # 13 and 3 of each of 40 classes


def drawn_annotations(classes=80, train=40, val=10):
    """Annotations of a data set: ids of no order, the same in no two places."""
    rng = np.random.default_rng(3)
    total = classes * (train + val)
    names = [f"{number:08x}" for number in rng.permutation(1 << 20)[:total]]
    labels = np.repeat([f"class {i:03d}" for i in range(classes)], train + val)
    in_train = np.tile(np.arange(train + val) < train, classes)
    table = pd.DataFrame({"label": labels, "youtube_id": names, "time_start": 1, "time_end": 11})
    return {"train": table[in_train].reset_index(drop=True), "val": table[~in_train].reset_index(drop=True)}


def all_ids(annotations):
    return {part: set(table["youtube_id"]) for part, table in annotations.items()}


def equal(one, other):
    return all(one[part].equals(other[part]) for part in COUNTS)


def choice_of(annotations, ids=None, seed=1):
    return choose(annotations, ids or all_ids(annotations), 40, COUNTS, seed)


@pytest.fixture(scope="module")
def annotations():
    return drawn_annotations()


@pytest.fixture(scope="module")
def chosen(annotations):
    return choice_of(annotations)


def test_counts_are_exact_and_even(annotations, chosen):
    for part, each in (("train", 13), ("val", 3)):
        table = chosen[part]
        assert table["youtube_id"].is_unique
        assert table["label"].value_counts().tolist() == [each] * 40
        own = annotations[part].set_index("youtube_id")
        pd.testing.assert_frame_equal(own.loc[table["youtube_id"]].reset_index()[table.columns], table)
    assert set(chosen["train"]["label"]) == set(chosen["val"]["label"])


def test_another_seed_is_another_choice(annotations, chosen):
    other = choice_of(annotations, seed=2)
    kept = set(other["train"]["label"]) & set(chosen["train"]["label"])
    assert 12 < len(kept) < 28  # half of half, if the seeds have nothing to do with each other
    ours, theirs = (
        set(table.loc[table["label"].isin(kept), "youtube_id"]) for table in (chosen["train"], other["train"])
    )
    expected = len(ours) * 13 / 40
    assert 0.8 * expected < len(ours & theirs) < 1.2 * expected


def test_neither_the_order_of_rows_nor_videos_of_other_classes_change_anything(annotations, chosen):
    labels = set(chosen["train"]["label"])
    gone = sorted(set(annotations["train"]["label"]) - labels)[:20]
    for change in (
        lambda table: table.sample(frac=1, random_state=7),
        lambda table: table[table["label"].isin(labels) | (np.arange(len(table)) % 3 == 0)],
        lambda table: table[~table["label"].isin(gone)],
    ):
        changed = {part: change(table) for part, table in annotations.items()}
        assert equal(choice_of(changed), chosen)


def test_a_video_that_is_lost_costs_no_other_its_place(annotations, chosen):
    lost, ids = chosen["train"]["youtube_id"].iloc[500], all_ids(annotations)
    ids["train"] -= {lost}
    anew = choice_of(annotations, ids)
    assert anew["val"].equals(chosen["val"])
    before, after = (set(choice["train"]["youtube_id"]) for choice in (chosen, anew))
    assert before - after == {lost}
    assert len(after - before) == 1


def test_only_listed_videos_are_drawn_each_in_its_own_part():
    annotations = drawn_annotations(classes=4, train=20, val=10)
    counts, halves = {"train": 30, "val": 15}, {p: set(t["youtube_id"].iloc[::2]) for p, t in annotations.items()}
    lists = {"train": halves["train"], "val": halves["val"] | (all_ids(annotations)["train"] - halves["train"])}
    for part, table in choose(annotations, lists, 3, counts, 5).items():
        assert set(table["youtube_id"]) <= halves[part]
    everything = set.union(*all_ids(annotations).values())  # lists that name each other's videos mix nothing up
    found = choose(annotations, dict.fromkeys(counts, everything), 3, counts, 5)
    for part, table in found.items():
        assert len(table) == counts[part]
        assert set(table["youtube_id"]) <= set(annotations[part]["youtube_id"])


def test_what_does_not_divide_evenly_differs_by_one_at_most():
    annotations = drawn_annotations(classes=6, train=20, val=10)
    found = choose(annotations, all_ids(annotations), 4, {"train": 30, "val": 9}, 5)
    assert sorted(found["train"]["label"].value_counts()) == [7, 7, 8, 8]
    assert sorted(found["val"]["label"].value_counts()) == [2, 2, 2, 3]


def test_a_choice_that_cant_be_made_says_what_there_is():
    annotations = drawn_annotations(classes=3, train=20, val=10)
    ids = all_ids(annotations)
    with pytest.raises(ChoiceError, match="4 classes are asked for, 3 have videos in every part"):
        choose(annotations, ids, 4, {"train": 4, "val": 4}, 1)
    barren = annotations["val"]["label"] == "class 001"
    with pytest.raises(ChoiceError, match="3 classes are asked for, 2 have"):
        choose({**annotations, "val": annotations["val"][~barren]}, ids, 3, {"train": 3, "val": 3}, 1)
    with pytest.raises(ChoiceError, match=r"val: 11 videos of 'class 00\d' are asked for, there are 10"):
        choose(annotations, ids, 2, {"train": 4, "val": 22}, 1)


@pytest.fixture
def mini(root, copied, tmp_path):
    """A function that fetches a small minikinetics100 beside a kinetics400, all of whose videos its lists name."""
    copied("kinetics", "kinetics400")
    source = catalog.load(root / "config" / "catalog.yaml")["minikinetics100"]
    folder = tmp_path / "minikinetics100"
    for part in ("train", "val"):
        ids = pd.read_csv(tmp_path / "kinetics400" / "annotations" / f"{part}.csv")["youtube_id"]
        path = folder / "minikinetics200" / f"{part}_ytid_list.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{i}\n" for i in ids))
    choice = source.choice.model_copy(update={"classes": 2, "train": 8, "val": 2})
    source = source.model_copy(update={"choice": choice})
    return partial(fetch.complete, "minikinetics100", source, offline=True, say=lambda _: None), folder


def test_the_drawn_set_finds_its_videos_in_the_larger_one(mini):
    complete, folder = mini
    done = complete(folder)
    assert done["MiniKinetics-200 lists"] == "found"
    assert done["choice"] == {"of": "kinetics400", "classes": 2, "train": 8, "val": 2, "seed": 1}
    assert (folder / "kinetics400").is_symlink()
    assert (folder / "kinetics400").resolve() == (folder.parent / "kinetics400").resolve()
    table = inventory.take(folder, "kinetics")
    assert (table["split_1"].value_counts()["train"], table["split_1"].value_counts()["test"]) == (8, 2)
    assert set(table["label"].value_counts()) == {5}  # no row of a video that was not drawn, listed or unlisted
    whole = inventory.take(folder.parent / "kinetics400", "kinetics").set_index("path")
    assert set(table["path"]) < set(whole.index)
    assert list(table["file"]) == [f"kinetics400/{whole.at[path, 'file']}" for path in table["path"]]
    assert all((folder / file).is_file() for file in table["file"])
    note = json.loads((folder / "choice.json").read_text())
    assert note == done["choice"] | {"labels": sorted(set(table["label"]))}
    assert [len(pd.read_csv(folder / "annotations" / f"{part}.csv")) for part in ("train", "val")] == [8, 2]


def test_drawing_again_gives_the_same_bytes_wherever_the_folders_are(mini, tmp_path):
    complete, folder = mini

    def written():
        complete(folder)
        return {path.name: path.read_bytes() for path in [*folder.glob("annotations/*.csv"), folder / "choice.json"]}

    first = written()
    assert set(first) == {"train.csv", "val.csv", "choice.json"}
    assert written() == first
    (tmp_path / "elsewhere").mkdir()
    for name in ("kinetics400", "minikinetics100"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    folder = tmp_path / "elsewhere" / "minikinetics100"
    table = inventory.take(folder, "kinetics")
    assert len(table) == 10
    assert all((folder / file).is_file() for file in table["file"])
    assert written() == first


@pytest.mark.parametrize("written", [1, 2])
def test_a_choice_that_was_interrupted_is_made_again(mini, monkeypatch, written):
    """Stopped after so many files, it is not taken for the user's own."""
    complete, folder = mini
    made, write = [], fetch.write_text

    def stop(path, text):
        if len(made) == written:
            raise KeyboardInterrupt
        made.append(path)
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "write_text", stop)
        patch.setattr(fetch, "write_json", lambda path, content: stop(path, json.dumps(content)))
        with pytest.raises(KeyboardInterrupt):
            complete(folder)
    assert complete(folder)["choice"]["of"] == "kinetics400"
    assert len(inventory.take(folder, "kinetics")) == 10


def test_without_the_larger_set_it_is_said_what_brings_it(mini):
    complete, folder = mini
    (folder.parent / "kinetics400" / "annotations" / "val.csv").unlink()
    with pytest.raises(fetch.MissingDataError, match=r"val\.csv: missing — .* `python -m mac fetch kinetics400`"):
        complete(folder)
    assert not (folder / "choice.json").exists()


def test_a_users_own_small_set_is_used_as_it_is(mini, synthetic_data):
    complete, folder = mini
    shutil.copytree(synthetic_data / "kinetics", folder, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in folder.glob("annotations/*.csv")}
    complete(folder)
    assert {path: path.read_bytes() for path in folder.glob("annotations/*.csv")} == before


def test_a_second_copy_of_the_lists_does_no_harm(mini):
    complete, folder = mini
    shutil.copytree(folder / "minikinetics200", folder / "copy")
    complete(folder)
