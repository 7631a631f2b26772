"""In which videos and classes a gain sits, on made-up results."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made_up import files, read
from scipy.stats import spearmanr

from mac.planned import Gains
from mac.report import gains
from mac.report.differences import between
from mac.report.scores import Sample
from mac.validation import ConfigError

CLASSES = [f"class {n}" for n in range(10)]


@pytest.fixture(scope="module")
def asked(demo):
    ours, theirs = (row.cells[0] for row in demo.tables["T8"].rows[:2])
    return Gains("UCF101", "T8: λ = 10", ours, (("T8: λ = 30", theirs),))


@pytest.fixture(scope="module")
def foreground():
    """Of 400 videos: 40 in each class, the more the higher the class; where most moves, a video's path comes first."""
    return {f"v/{n:05d}.avi": 0.05 * (n // 40) + 0.001 * (n % 40) for n in reversed(range(400))}


def compared(demo, asked, foreground, ours, theirs):
    runs = asked.cell.runs[0], asked.over[0][1].runs[0]
    return gains.compare(
        asked, foreground, CLASSES, read(demo, files(demo, runs[0], ours) | files(demo, runs[1], theirs))
    )


def test_a_gain_where_much_moves_shows_there_and_nowhere_else(demo, asked, foreground):
    """The row is right on the four classes in which most moves, the other on none: of fifths the last two gain."""
    number = np.arange(400)
    (found,) = compared(demo, asked, foreground, number >= 240, number < 0)
    assert [part.gain for part in found.by_foreground] == pytest.approx([0, 0, 0, 100, 100])
    assert [part.videos for part in found.by_foreground] == [80] * 5
    assert [part.gain for part in found.by_class] == pytest.approx([0] * 6 + [100] * 4)
    assert [part.foreground for part in found.by_class] == pytest.approx([5 * n + 1.95 for n in range(10)])
    assert found.correlation == pytest.approx(spearmanr(range(10), [0] * 6 + [100] * 4).statistic)
    assert found.low <= found.correlation <= found.high


def test_the_interval_of_a_part_is_that_of_the_same_videos_alone(demo, asked, foreground):
    rng = np.random.default_rng(1)
    ours, theirs = rng.random((2, 400)) < [[0.6], [0.5]]
    (found,) = compared(demo, asked, foreground, ours, theirs)
    first = slice(0, 40)
    groups = np.array([f"0/g{n // 4:02d}" for n in range(40)])
    alone = between([Sample(groups, ours[None, first])], [Sample(groups, theirs[None, first])])
    part = found.by_class[0]
    assert (part.gain, part.low, part.high) == pytest.approx((alone.estimate, *alone.interval()))
    assert np.mean([part.gain for part in found.by_class]) == pytest.approx(100 * (ours.mean() - theirs.mean()))


def test_a_row_without_results_is_named(demo, asked, foreground):
    results = read(demo, files(demo, asked.cell.runs[0], np.ones(400)))
    with pytest.raises(gains.MissingError, match="“T8: λ = 30” has no results yet"):
        gains.compare(asked, foreground, CLASSES, results)


def test_the_note_and_the_picture_are_of_every_comparison(demo, asked, foreground, tmp_path):
    both = replace(asked, over=(*asked.over, ("T8: λ = 60", demo.tables["T8"].rows[2].cells[0])))
    found = {}
    for number, cell in enumerate((both.cell, *(cell for _, cell in both.over))):
        found |= files(demo, cell.runs[0], np.arange(400) % 3 >= number)
    comparisons = gains.compare(both, foreground, CLASSES, read(demo, found))
    facts = gains.facts(both, comparisons, {})
    assert all(f"Over “{name}” it gains" in facts["note"] for name, _ in both.over)
    gains.draw(both, comparisons, "Scale demo.", [tmp_path / "gains.png"])
    assert (tmp_path / "gains.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_compared_is_found_among_the_tables_or_refused(changed):
    ask = {"row": "T8: λ = 60", "over": ["T8: λ = 30"], "column": "UCF101"}

    def plan_with(**other):
        return changed("demo", figures={"gains": ask | other})

    found = plan_with().gains
    assert found.runs == tuple(row.cells[0].runs[0] for row in plan_with().tables["T8"].rows[:0:-1])
    for other, message in (
        ({"row": "T8: λ = 6"}, "no row 'T8: λ = 6' that trains — did you mean 'T8: λ = 60'?"),
        ({"column": "UCF"}, "T8: λ = 60 has no column 'UCF' of finetunings"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            plan_with(**other)
    assert changed("demo", figures={"gains": ask}, tables={"T8": {"scales": ["paper"]}}).gains is None
