"""The scan of files whose examination hangs, kills its process or eats the memory."""

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from test_video import encode

from mac.data import integrity
from mac.data.scan import scan

NAMES = [f"{number}.avi" for number in range(8)]
limited = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")


def peaceful(path: Path) -> integrity.Finding:
    """Find what a test can recognise: a digest of the file's name."""
    return integrity.Finding(num_frames=20, content=hashlib.sha256(path.name.encode()).hexdigest())


def hanging(path: Path) -> integrity.Finding:
    if path.name in ("2.avi", "5.avi"):
        time.sleep(600)
    return peaceful(path)


def crashing(path: Path) -> integrity.Finding:
    if path.name in ("2.avi", "5.avi"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return peaceful(path)


def exiting(path: Path) -> integrity.Finding:
    if path.name in ("2.avi", "5.avi"):
        os._exit(3)
    return peaceful(path)


def greedy(path: Path) -> integrity.Finding:
    if path.name == "2.avi":
        np.empty(4 << 30, np.uint8)
    if path.name == "5.avi":
        kept = [np.empty(1 << 28, np.uint8) for _ in range(16)]
        return integrity.Finding(num_frames=len(kept))
    return peaceful(path)


def modest(path: Path) -> integrity.Finding:
    np.empty(1 << 30, np.uint8)
    return peaceful(path)


@pytest.mark.parametrize(
    ("look", "workers", "reason"),
    [
        (hanging, 1, "decoding took more than 8 s"),
        (crashing, 2, rf"the decoder crashed \(exit status -{signal.SIGSEGV.value}\)"),
        (exiting, 1, r"the decoder crashed \(exit status 3\)"),
        pytest.param(greedy, 2, "decoding needs too much memory", marks=limited),
    ],
)
def test_a_harmful_file_is_named_and_harms_no_other(tmp_path, look, workers, reason):
    for name in NAMES:
        (tmp_path / name).touch()
    files = ["", *NAMES[:4], "", *NAMES[4:], ""]
    began = time.monotonic()
    # A new worker's start-up counts as its first file's time: seconds on a busy machine.
    table = scan(files, tmp_path, workers, seconds=8 if look is hanging else 60, look=look)
    assert time.monotonic() - began < 60
    assert list(table.columns) == list(integrity.Finding().row())
    assert table["status"].tolist() == [
        integrity.UNDECODABLE if file in ("2.avi", "5.avi") else integrity.OK if file else integrity.ABSENT
        for file in files
    ]
    assert table.loc[table["status"] == integrity.UNDECODABLE, "reason"].str.fullmatch(reason).all()
    assert table.loc[table["status"] == integrity.ABSENT, "reason"].str.contains("no such file").all()
    for row, file in zip(table.itertuples(), files, strict=True):
        assert row.content == (peaceful(Path(file)).content if row.status == integrity.OK else "")


@limited
def test_an_examination_may_take_a_gigabyte(tmp_path):
    assert scan(NAMES, tmp_path, look=modest)["status"].tolist() == [integrity.OK] * 8


def test_videos_without_files_need_no_process(tmp_path):
    table = scan(["", ""], tmp_path)
    assert table["status"].tolist() == [integrity.ABSENT] * 2
    assert scan([], tmp_path).empty


def test_real_files_are_examined_in_order_whatever_the_workers(tmp_path):
    files = []
    for number in range(6):
        files.append(encode(tmp_path / f"sub {number}" / f"{number}.mp4", range(16 + number)).relative_to(tmp_path))
    names = [files[number].as_posix() for number in (3, 0, 5, 1, 4, 2)]
    table = scan(names, tmp_path, workers=2)
    assert table["num_frames"].tolist() == [19, 16, 21, 17, 20, 18]
    assert table["status"].eq(integrity.OK).all()
    assert table.equals(scan(names, tmp_path, workers=1))
    assert table.equals(type(table)([integrity.examine(tmp_path / name).row() for name in names]))


def test_a_link_to_nothing_is_named_and_harms_no_other(tmp_path):
    encode(tmp_path / "0.mp4", range(20))
    (tmp_path / "1.mp4").symlink_to(tmp_path / "gone.mp4")
    table = scan(["0.mp4", "1.mp4", "0.mp4"], tmp_path)
    assert [status in integrity.USABLE for status in table["status"]] == [True, False, True]


@limited
@pytest.mark.full
def test_a_file_larger_than_the_memory_is_examined(tmp_path):
    path = encode(tmp_path / "0.mp4", range(20))
    size = 1_600_000_000
    with path.open("ab") as file:
        end = file.tell()
        file.write(size.to_bytes(4, "big") + b"free")  # a box of padding, sparse on the disk
        file.truncate(end + size)
    assert scan(["0.mp4"], tmp_path)["status"].tolist() == [integrity.OK]
