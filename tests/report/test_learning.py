"""Learning curves: what is drawn is what the journals say."""

import pytest

from mac import pictures
from mac.report.figures import draw_learning


def events(stage, run_id):
    """Twelve epochs of pretraining, thirty of finetuning."""
    if stage == "pretrain":
        return [{"event": "metrics", "epoch": e, "pretext_loss": 4.0 / e, "loss": 9.0} for e in range(1, 13)]
    return [
        {"event": "start", "epoch": 0},
        *({"event": "metrics", "epoch": e, "train_top1": 2.0 * e} for e in range(1, 31)),
    ]


@pytest.fixture
def drawn(monkeypatch):
    kept = []
    monkeypatch.setattr(pictures, "save", lambda figure, paths: kept.append(figure))
    return kept


def test_every_row_has_a_line_of_its_own_style(demo, drawn):
    draw_learning(demo, demo.tables["T6"], events, [])
    left, right = drawn[0].axes
    assert len(left.lines) == len(right.lines) == 5
    assert len({(line.get_color(), str(line.get_linestyle())) for line in right.lines}) == 5
    assert list(left.lines[0].get_ydata()) == pytest.approx([1 / e for e in range(1, 13)])
    assert list(right.lines[0].get_ydata()) == [2.0 * e for e in range(1, 31)]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [f"k = {k}" for k in (2, 3, 4, 5, 6)]


def test_a_curve_shows_its_one_pretraining_once(demo, drawn):
    draw_learning(demo, demo.tables["F1"], events, [])
    left, right = drawn[0].axes
    assert (len(left.lines), len(right.lines)) == (1, 5)


def test_missing_journals_leave_an_empty_panel(demo, tmp_path):
    path = tmp_path / "l.png"
    draw_learning(demo, demo.tables["T6"], lambda *_: [], [path])
    assert path.stat().st_size > 1000
