"""Files that are there whole or not at all."""

import multiprocessing

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
