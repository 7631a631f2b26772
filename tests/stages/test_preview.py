"""The mask preview: what it measures and shows, against OpenCV's decoder and a plain computation of Algorithm 1."""

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from mac.data import video
from mac.stages import preview
from mac.stages.preview import PreviewError

WIDTH, HEIGHT, LENGTH = 96, 64, 30
SETTINGS = [(0.5, 40.0), (0.0, 12.0), (0.9, 20.0)]
KERNEL = np.array([[0, 1], [1, 1]], np.uint8)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A textured square that crosses a textured background that grows brighter."""
    rng = np.random.default_rng(4)
    smooth = cv2.GaussianBlur(rng.uniform(40, 160, (HEIGHT, WIDTH, 3)), (9, 9), 3)
    block = cv2.GaussianBlur(rng.uniform(120, 250, (24, 20, 3)), (5, 5), 1)
    frames = []
    for t in range(LENGTH):
        frame = smooth + t
        frame[20:44, 2 * t : 2 * t + 20] = block
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    folder = tmp_path_factory.mktemp("films")
    video.write(folder / "film.avi", frames, 25, "mpeg4")
    video.write(folder / "film.mp4", frames, 25, "libx264")
    return folder


@pytest.fixture
def film(films):
    return films / "film.avi"


def decoded(path):
    """Frames by OpenCV, (T, H, W, 3) RGB."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def algorithm_1(frames, momentum, threshold):
    """Masks (T, H, W) of 0 and 1: BG(t) = (1 − m)·I(t) + m·BG(t − 1), the first frame's mask is the second's."""
    gray = frames.astype(np.float64) @ [0.299, 0.587, 0.114]
    background, masks = gray[0], []
    for image in gray[1:]:
        masks.append((np.abs(image - background) > threshold).astype(np.uint8))
        background = (1 - momentum) * image + momentum * background
    return np.stack([cv2.dilate(mask, KERNEL, anchor=(1, 1)) for mask in [masks[0], *masks]])


def name(momentum, threshold):
    return f"m = {momentum:g}, λ = {threshold:g}"


def run(film, out, settings=SETTINGS, preset="paper", **options):
    return preview.run(film, out, settings, preset, (WIDTH, HEIGHT), **options)


@pytest.mark.parametrize(("stride", "start"), [(1, 0), (2, 0), (3, 7)])
@pytest.mark.parametrize(("kind", "ending"), [("avi", "mp4"), ("mp4", "avi"), ("avi", "png")])
def test_shares_are_those_of_algorithm_1_on_the_frames_shown(kind, ending, stride, start, films, tmp_path):
    film = films / f"film.{kind}"
    shares = run(film, tmp_path / f"out.{ending}", stride=stride, start=start)
    shown = decoded(film)[start::stride]
    shown = shown[:8] if ending == "png" else shown
    wanted = {name(*setting): algorithm_1(shown, *setting).mean() for setting in SETTINGS}
    assert list(shares) == list(wanted)
    assert len({round(share, 2) for share in wanted.values()}) == len(SETTINGS)  # or else they might be mixed up
    for setting, share in wanted.items():
        assert shares[setting] == pytest.approx(share, abs=0.006)  # two decoders may round a gray level differently


def test_the_preset_decides_what_the_momentum_weighs(film, tmp_path):
    paper, release = (
        run(film, tmp_path / "out.mp4", [(0.1, 20.0), (0.9, 20.0)], preset) for preset in ("paper", "release")
    )
    slow, quick = name(0.9, 20), name(0.1, 20)
    assert paper[slow] > 1.2 * paper[quick]  # an old background differs more
    assert release[quick] > 1.2 * release[slow]


@pytest.mark.parametrize("ending", ["mp4", "avi"])
def test_a_video_shows_the_frames_and_each_setting_side_by_side(ending, film, tmp_path):
    out = tmp_path / "new" / f"out.{ending}"
    run(film, out)
    shown = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(out)]).astype(float)
    assert shown.shape == (LENGTH, HEIGHT, (1 + len(SETTINGS)) * WIDTH, 3)
    tiles = np.split(shown, 1 + len(SETTINGS), axis=2)
    frames = decoded(film).astype(float)
    assert np.abs(tiles[0] - frames).mean() < 4
    for tile, setting in zip(tiles[1:], SETTINGS, strict=True):
        mask = algorithm_1(frames, *setting).astype(bool)
        inside = np.stack([cv2.erode(m.astype(np.uint8), np.ones((5, 5), np.uint8)) for m in mask]).astype(bool)
        outside = np.stack([cv2.erode(1 - m.astype(np.uint8), np.ones((5, 5), np.uint8)) for m in mask]).astype(bool)
        assert inside.any()
        assert outside.any()
        assert np.abs(tile[outside] - frames[outside] / 4).mean() < 6  # the rest is dimmed
        assert np.abs(tile[inside] - frames[inside])[:, 1:].mean() < 12  # the foreground keeps its brightness
        assert (tile[inside] - frames[inside])[:, 0].mean() > 20  # and is tinted red


def test_odd_widths_are_cut_to_what_codecs_take(film, tmp_path):
    preview.run(film, tmp_path / "out.mp4", SETTINGS[:2], "paper", (91, 63))
    with av.open(str(tmp_path / "out.mp4")) as opened:
        assert (opened.streams.video[0].width, opened.streams.video[0].height) == (272, 62)


def test_a_picture_is_drawn_reproducibly(film, tmp_path):
    for ending in ("png", "svg"):
        for out in (tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"):
            run(film, out, SETTINGS[:1], start=24)
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert (tmp_path / "a.svg").read_text().lstrip().startswith("<?xml")
    run(film, tmp_path / "more.png", SETTINGS, start=24)
    with Image.open(tmp_path / "a.png") as few, Image.open(tmp_path / "more.png") as many:
        assert few.width == many.width
        assert few.height < many.height  # a setting a row


@pytest.mark.parametrize("out", ["out.gif", "out", "out.MP3"])
def test_a_bad_ending_is_told_before_anything_is_decoded(out, tmp_path):
    with pytest.raises(PreviewError, match=rf"{out}: allowed endings are \.png, \.svg, \.mp4 and \.avi"):
        run(tmp_path / "none.avi", tmp_path / out)


@pytest.mark.parametrize(("start", "stride"), [(30, 1), (1000, 1), (29, 1), (0, 30), (28, 2)])
def test_too_few_frames_are_told(start, stride, film, tmp_path):
    with pytest.raises(
        PreviewError, match=rf"film\.\w+: 30 frames, none left .* frame {start} on with stride {stride}"
    ):
        run(film, tmp_path / "out.png", start=start, stride=stride)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("start", "stride"), [(28, 1), (0, 29)])
def test_two_frames_are_enough(start, stride, film, tmp_path):
    run(film, tmp_path / "out.png", start=start, stride=stride)
    assert (tmp_path / "out.png").stat().st_size


def test_a_missing_or_damaged_video_is_named(tmp_path):
    (tmp_path / "text.avi").write_text("no video")
    for film in ("none.avi", "text.avi"):
        with pytest.raises(video.VideoError, match=film):
            run(tmp_path / film, tmp_path / "out.png")
