"""Every file that is read is named if it is bad, with the way out."""

import shutil

import pandas as pd
import pytest
import torch

from mac.data.store import FrameStore
from mac.runtime.reading import DamagedFileError, naming, read_json, read_table
from mac.training import checkpoint

DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "another": lambda content: b"<html>not found</html>",
}


def spoil(path, damage):
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    return path


def weights(path):
    checkpoint.save_weights(path, torch.nn.Linear(300, 20), {"pretrain_id": "x"})
    return lambda: checkpoint.load_weights(path, torch.nn.Linear(300, 20))


def state(path):
    checkpoint.save_state(path, "x", {"tensor": torch.zeros(5000)})
    return lambda: checkpoint.load_state(path, "x")


def table(path):
    pd.DataFrame({"path": [f"{i}.avi" for i in range(500)]}).to_parquet(path)
    return lambda: read_table(path)


def facts(path):
    path.write_text('{"top1": 71.5, "videos": 400}')
    return lambda: read_json(path)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("write", [weights, state, table, facts])
def test_a_damaged_file_is_named_with_its_size_and_the_way_out(tmp_path, write, damage):
    read = write(path := tmp_path / "file")
    read()
    size = spoil(path, damage).stat().st_size
    with pytest.raises(DamagedFileError, match=f"^{path}: damaged, {size:,} bytes — .+ — delete it and run the same"):
        read()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["store.json", "videos.parquet", "offsets.npy", "sizes.npy", "boxes.parquet"])
def test_a_stores_damaged_file_is_named(frame_store, tmp_path, name, damage):
    folder = shutil.copytree(frame_store.folder, tmp_path / "store")
    boxes = shutil.copy(frame_store._boxes_path, folder / "boxes.parquet")
    FrameStore(folder, boxes)
    spoil(folder / name, damage)
    way_out = "delete it and run" if name == "boxes.parquet" else f"delete the store's folder, {folder}, to extract it"
    with pytest.raises(DamagedFileError, match=rf"^{folder / name}: damaged, [\d,]+ bytes — .+ — {way_out}"):
        FrameStore(folder, boxes)


def test_an_array_of_another_store_is_named(frame_store, tmp_path):
    folder = shutil.copytree(frame_store.folder, tmp_path / "store")
    shutil.copy(folder / "videos.parquet", tmp_path)
    videos = pd.read_parquet(folder / "videos.parquet")
    videos.iloc[:-1].to_parquet(folder / "videos.parquet")
    with pytest.raises(DamagedFileError, match=r"offsets.npy: damaged, .* — 420 numbers for 406 frames"):
        FrameStore(folder)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    for read in (read_json, read_table, lambda path: checkpoint.load_state(path, "x")):
        with pytest.raises(FileNotFoundError, match="nothing"):
            read(tmp_path / "nothing")


def test_an_error_of_ours_stays_what_it_is(tmp_path):
    with pytest.raises(checkpoint.CheckpointError), naming(tmp_path):
        raise checkpoint.CheckpointError
