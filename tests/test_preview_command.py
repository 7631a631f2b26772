"""``python -m mac masks preview``: what a user types, sees and gets."""

import re

import numpy as np
import pytest

from mac.cli import main
from mac.data import video


@pytest.fixture
def film(tmp_path, monkeypatch):
    """A bright square that crosses a dark frame; the working folder is an empty one beside it."""
    frames = np.full((20, 48, 64, 3), 30, np.uint8)
    for t in range(20):
        frames[t, 10:30, 2 * t : 2 * t + 16] = 220
    video.write(tmp_path / "film.avi", frames, 25, "mpeg4")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "film.avi"


def test_without_options_a_picture_is_written_here(film, tmp_path, capsys):
    main(["masks", "preview", str(film)])
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"m = 0\.5, λ = 30: \d+\.\d\d% foreground", told[0])
    assert told[1:] == ["film_masks.png"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["film_masks.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"film.avi", "work"}  # nothing is put beside the video


def test_every_momentum_is_shown_with_every_threshold(film, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    options = ["-m", "0.1", "0.9", "-l", "10", "60.5", "--size", "64", "48", "--stride", "1", "--out", str(out)]
    main(["masks", "preview", str(film), *options])
    told = capsys.readouterr().out.splitlines()
    names = [line.partition(":")[0] for line in told[:-1]]
    assert names == [f"m = {m}, λ = {threshold}" for m in ("0.1", "0.9") for threshold in ("10", "60.5")]
    assert told[-1] == str(out)
    frames = list(video.decode(out))
    assert (len(frames), frames[0].width, frames[0].height) == (20, 5 * 64, 48)


def test_stride_and_start_choose_the_frames(film, tmp_path, capsys):
    out = tmp_path / "out.avi"
    main(["masks", "preview", str(film), "--start", "5", "--stride", "3", "--out", str(out)])
    assert len(list(video.decode(out))) == 5  # frames 5, 8, 11, 14 and 17


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["film.avi", "--out", "out.gif"], "out.gif: allowed endings are .png, .svg, .mp4"),
        (["film.avi", "--start", "20"], "film.avi: 20 frames, none left"),
        (["film.avi", "--stride", "20"], "film.avi: 20 frames, none left"),
        (["film.avi", "--stride", "0"], "stride 0, start 0, size (171, 128): at least 1, 0 and 2 × 2"),
        (["film.avi", "-m", "1.5", "--out", "out.mp4"], "m = 1.5, λ = 30: m lies in [0, 1], λ in [0, 255]"),
        (["none.avi"], "none.avi: "),
    ],
)
def test_mistakes_are_told_in_one_line(options, told, film, tmp_path):
    with pytest.raises(SystemExit) as exited:
        main(["masks", "preview", str(tmp_path / options[0]), *options[1:]])
    assert re.fullmatch(f"mac .*{re.escape(told)}.*", exited.value.code)  # Python prints it and exits with status 1
    assert [path.name for path in (tmp_path / "work").iterdir()] == []


def test_an_unknown_choice_is_refused_with_what_is_allowed(film, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["masks", "preview", str(film), "--preset", "papper"])
    assert "'papper' is not one of 'paper', 'release'" in capsys.readouterr().err
