"""The data card of index tables written by hand: everything on it can be counted on one's fingers."""

import csv
import json
from itertools import takewhile

import pandas as pd
import pytest

from mac.cli import main
from mac.data import check, index
from mac.report import cards, figures

COLUMNS = [
    "path", "label", "group", "split_1", "split_2", "split_3", "status", "reason", "num_frames", "fps", "width",
    "height", "content", "copy",
]  # fmt: skip
ROWS = [
    ("a1", "A", "g1", "train", "train", "unused", "ok", "", 100, 25.0, 320, 240, "c1", "identical"),
    ("a2", "A", "g1", "test", "train", "unused", "ok", "", 50, 25.0, 320, 240, "c2", "other bytes"),
    ("a3", "A", "g2", "train", "test", "unused", "short", "12 frames, fewer", 12, 25.0, 320, 240, "c3", "identical"),
    ("a4", "A", "g3", "test", "train", "unused", "duplicate", "bytes of a1", 100, 25.0, 320, 240, "c1", "identical"),
    ("b1", "B", "g4", "train", "unused", "unused", "ok", "", 300, 30.0, 640, 480, "c5", "other length"),
    ("b2", "B", "g5", "test", "test", "unused", "ok", "", 450, 30.0, 640, 480, "c6", "identical"),
    ("b3", "B", "g5", "train", "train", "unused", "truncated", "3 bytes too late", 7, 30.0, 64, 48, "c7", ""),
    ("b4", "B", "g5", "train", "train", "unused", "absent", "no such file", 0, 0.0, 0, 0, "", ""),
    ("b5", "B", "g6", "train", "train", "unused", "undecodable", "an empty file", 0, 0.0, 0, 0, "c9", ""),
    ("x1", "", "", "unused", "unused", "unused", "unlisted", "no list names it", 99, 25.0, 320, 240, "c2", ""),
]  # fmt: skip


def table_of(rows=ROWS):
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture
def facts():
    return cards.summarise(table_of())


def page(table):
    return cards.data_card("hand", cards.summarise(table), table, "hand.png")


def cells(text, heading):
    """The rows of the first table after a line that begins with ``heading``."""
    lines = text[text.index(f"\n{heading}") + 1 :].splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith(("|:-", "|--"))) + 1 :]
    rows = takewhile(lambda line: line.startswith("|"), body)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_counts_are_those_of_the_table(facts):
    assert (facts["listed"], facts["usable"]) == (9, 6)
    assert facts["frames"] == 100 + 50 + 12 + 100 + 300 + 450
    assert facts["hours"] == pytest.approx((262 / 25 + 750 / 30) / 3600, abs=5e-4)
    assert facts["frames_range"] == [12, 100, 450]
    assert facts["statuses"] == {
        "ok": 4, "short": 1, "duplicate": 1, "truncated": 1, "absent": 1, "undecodable": 1, "unlisted": 1,
    }  # fmt: skip
    assert facts["copies"] == {"identical": 4, "other bytes": 1, "other length": 1}
    assert facts["rates"] == {"25.0": 4, "30.0": 2}
    assert facts["sizes"] == {"320×240": 4, "640×480": 2}
    assert facts["index_digest"] == index.digest(table_of())
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize(("rate", "hours"), [(30.0, 3.0), (0.0, 1.0)])
def test_hours_are_hours_and_videos_without_a_rate_take_none(rate, hours):
    rows = [(*ROWS[0][:8], 90_000, 25.0, *ROWS[0][10:]), (*ROWS[1][:8], 216_000, rate, *ROWS[1][10:])]
    assert cards.summarise(table_of(rows))["hours"] == hours


def test_sides_and_what_stands_on_both_of_them(facts):
    assert set(facts["splits"]) == {"1", "2"}  # split 3 is unused: as of Kinetics
    first, second = facts["splits"]["1"], facts["splits"]["2"]
    assert (first["train"], first["test"]) == (3, 3)
    assert first["groups_on_both_sides"] == 1  # g1; g5 has its other side among the unusable
    assert first["contents_on_both_sides"] == 1  # c1: a4 has a1's bytes
    assert (second["train"], second["test"]) == (3, 2)
    assert second["groups_on_both_sides"] == second["contents_on_both_sides"] == 0


def test_classes_are_counted_by_split_and_side():
    """A class that lost all its videos is still named."""
    rows = [*ROWS, ("c1", "C", "g9", "train", "train", "unused", "absent", "no such file", 0, 0.0, 0, 0, "", "")]
    assert cards.summarise(table_of(rows))["classes"] == {
        "A": {"1 train": 2, "1 test": 2, "2 train": 3, "2 test": 1},
        "B": {"1 train": 1, "1 test": 1, "2 train": 0, "2 test": 1},
        "C": {"1 train": 0, "1 test": 0, "2 train": 0, "2 test": 0},
    }


def test_unlisted_files_count_as_nothing_but_unlisted(facts):
    assert facts["statuses"].pop("unlisted") == 1
    assert facts == cards.summarise(table_of(ROWS[:-1]))


def test_the_page_says_the_same(facts):
    text = page(table_of())
    assert text.startswith("# Data card: hand\n")
    assert "6 of 9 listed videos are used: 1012 frames, 0.0 hours, 12 to 450 frames a video (median 100)." in text
    assert f"`{facts['index_digest']}`" in text
    assert "![Lengths and frame rates](hand.png)" in text
    assert "compared with the one here: 4 identical, 1 other bytes, 1 other length." in text
    assert cells(text, "## Splits") == [["1", "3", "3", "1", "1"], ["2", "3", "2", "0", "0"]]
    assert cells(text, "## Classes") == [["A", "2", "2", "3", "1"], ["B", "1", "1", "0", "1"]]
    assert {tuple(row) for row in cells(text, "| Status")} == {(s, str(n)) for s, n in facts["statuses"].items()}


def test_the_page_names_what_was_left_out_and_why():
    text, table = page(table_of()), table_of()
    rows = cells(text, "## Left out")
    wanted = [[f"`{row.path}`", row.status, row.reason] for row in table[table["status"] != "ok"].itertuples()]
    assert sorted(rows) == sorted(wanted)
    assert rows[-1][1] == "absent"  # the least telling comes last
    assert "Videos that are short or duplicate are used" in text
    text = page(table_of(ROWS + [(f"z{i}", *ROWS[8][1:]) for i in range(100)]))
    assert len(cells(text, "## Left out")) == cards.SHOWN
    assert f"… and {106 - cards.SHOWN} more: `left_out.csv` beside the index names them all." in text
    text = page(table_of([(*row[:-1], "") for row in ROWS if row[6] == "ok"]))
    assert "Nothing: every listed video is whole." in text
    assert "compared with the one here" not in text  # no subset was declared


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = table_of()
    for name in ("a", "b"):
        figures.draw_lengths(table.copy(), "hand", [tmp_path / f"{name}.{ending}" for ending in ("png", "svg")])
    for ending in ("png", "svg"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert page(table) == page(table.copy())
    longer = table.assign(num_frames=table["num_frames"] * 2)
    figures.draw_lengths(longer, "hand", [tmp_path / "c.png"])
    assert (tmp_path / "c.png").read_bytes() != (tmp_path / "a.png").read_bytes()


def test_videos_that_are_all_short_and_tell_no_rate_have_a_card(tmp_path):
    rows = [(*row[:6], check.SHORT, "few frames", 5, 0.0, *row[10:]) for row in ROWS[:6]]
    table = table_of(rows)
    facts = cards.summarise(table)
    assert (facts["usable"], facts["frames"], facts["hours"]) == (6, 30, 0.0)
    assert facts["frames_range"] == [5, 5, 5]
    assert facts["rates"] == {"0.0": 6}
    assert len(cells(page(table), "## Left out")) == 6
    figures.draw_lengths(table, "short", [tmp_path / "short.png"])
    assert (tmp_path / "short.png").stat().st_size


def test_the_command_writes_page_numbers_and_pictures(synthetic_data, tmp_path):
    built = index.build(synthetic_data / "ucf101", "ucf101", max_unusable=0.0)
    built.to_parquet(tmp_path / "index.parquet")
    out, pictures = tmp_path / "cards" / "ucf101.md", [tmp_path / "cards" / f"ucf101.{e}" for e in ("png", "svg")]
    call = ["describe", "--title", "UCF101", "--index", tmp_path / "index.parquet", "--out", out]
    main([str(argument) for argument in [*call, "--pictures", *pictures]])
    facts = json.loads(out.with_suffix(".json").read_text())
    with (synthetic_data / "ucf101" / "ucfTrainTestlist" / "trainlist01.txt").open(newline="") as lists:
        assert facts["splits"]["1"]["train"] == len(list(csv.reader(lists)))
    assert (facts["listed"], facts["usable"], facts["frames"]) == (30, 30, 30 * 14)
    assert facts["splits"]["1"]["groups_on_both_sides"] == 0
    assert facts["statuses"] == {"short": 30}
    assert f"`{facts['index_digest']}`" in out.read_text()
    assert "(ucf101.png)" in out.read_text()
    assert all(picture.stat().st_size for picture in pictures)
