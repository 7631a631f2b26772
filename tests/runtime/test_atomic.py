"""Files that are there whole or not at all."""

import multiprocessing
import os

import pytest

from mac.runtime import atomic


@pytest.mark.parametrize("writer", [atomic.place, atomic.replace])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, writer):
    path = tmp_path / "folder" / "x"
    writer(path, lambda partial: partial.write_text("old"))

    def break_off(partial):
        partial.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        writer(path, break_off)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_may_be_read_by_whom_the_umask_says(tmp_path):
    def private(partial):
        partial.touch(mode=0o600)

    for umask, mode in ((0o022, 0o644), (0o027, 0o640)):
        before = os.umask(umask)
        try:
            atomic.place(tmp_path / "x", private)
            assert (tmp_path / "x").stat().st_mode & 0o777 == mode
            assert os.umask(umask) == umask
        finally:
            os.umask(before)


def write_often(path, text):
    for _ in range(300):
        atomic.write_text(path, text)


def test_readers_never_see_a_file_between_two_writers(tmp_path):
    path, texts = tmp_path / "x", ["a" * 100_000, "b" * 50_000]
    atomic.write_text(path, texts[0])
    writers = [multiprocessing.get_context("fork").Process(target=write_often, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    assert seen <= set(texts)
    assert [writer.exitcode for writer in writers] == [0, 0]
