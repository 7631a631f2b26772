"""Reading videos of many kinds against OpenCV; every drawn frame shows its number, so that tests can tell which it is.

The drawing and writing of numbered videos serves the other tests of this folder, too.
"""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from mac.data import check, video

WIDTH, HEIGHT, FRAMES = 160, 112, 40
NTSC = Fraction(30000, 1001)
IRREGULAR = np.cumsum(np.random.default_rng(0).integers(10, 120, FRAMES)).tolist()  # milliseconds

# How a kind of video is written: its ending and the arguments of ``encode``.
KINDS = {
    "mpeg4 in AVI, 25 fps": (".avi", {"codec": "mpeg4"}),
    "mpeg4 in AVI, 29.97 fps": (".avi", {"codec": "mpeg4", "rate": NTSC}),
    "mpeg4 with B-frames in AVI": (".avi", {"codec": "mpeg4", "b_frames": 2}),
    "mpeg4 with B-frames in MP4": (".mp4", {"codec": "mpeg4", "b_frames": 2, "rate": NTSC}),
    "H.264 with B-frames in MP4": (".mp4", {"codec": "libx264", "b_frames": 3}),
    "H.264 with B-frames in AVI": (".avi", {"codec": "libx264", "b_frames": 2}),
    "variable frame rate in MP4": (".mp4", {"codec": "libx264", "b_frames": 2, "times": IRREGULAR}),
    "variable frame rate in Matroska": (".mkv", {"codec": "libx264", "times": IRREGULAR}),
    "odd size, FFV1": (".mkv", {"codec": "ffv1", "pixels": "yuv444p", "size": (101, 67)}),
    "odd size, mpeg4": (".avi", {"codec": "mpeg4", "size": (101, 67)}),
    "odd size, H.264": (".mp4", {"codec": "libx264", "pixels": "yuv444p", "size": (101, 67)}),
}


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draw colours that move slowly, and across the upper half eight blocks: the number's bits, white for 1."""
    y, x = np.mgrid[:height, :width]
    waves = [x / width + number / 60, 0.25 + y / height - number / 50, (x / width + y / height) / 1.5 + number / 60]
    image = np.stack([128 + 90 * np.sin(2 * np.pi * wave) for wave in waves], -1).astype(np.uint8)
    for bit in range(8):
        image[height // 8 : height // 2, bit * width // 8 : (bit + 1) * width // 8] = 255 * (number >> bit & 1)
    return image


def number(image: np.ndarray) -> int:
    """Read the number that ``picture`` drew, from the middle of each block."""
    height, width = image.shape[:2]
    rows = image[int(0.22 * height) : int(0.40 * height)].mean(-1)
    middles = [rows[:, int((bit + 0.25) * width / 8) : int((bit + 0.75) * width / 8)] for bit in range(8)]
    return sum(int(middle.mean() > 128) << bit for bit, middle in enumerate(middles))


def encode(
    path: Path,
    numbers=range(FRAMES),
    codec: str = "libx264",
    *,
    rate=25,
    pixels: str = "yuv420p",
    size=(WIDTH, HEIGHT),
    b_frames: int = 0,
    gop: int = 0,
    times=None,
    rotation: int = 0,
    options=None,
) -> Path:
    """Write the pictures of ``numbers``, upright after a counter-clockwise ``rotation``, shown at ``times`` (ms)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        for place, shown in enumerate(numbers):
            image = np.ascontiguousarray(np.rot90(picture(shown, *size), -rotation // 90))
            if not place:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pixels
                stream.codec_context.thread_count = 1
                stream.codec_context.max_b_frames = b_frames
                if gop:
                    stream.codec_context.gop_size = gop
                if codec.startswith("mpeg"):
                    stream.codec_context.bit_rate = 2_000_000
                if times:
                    stream.codec_context.time_base = Fraction(1, 1000)
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[place], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def opencv(path: Path) -> list[np.ndarray]:
    """Decode a whole file with OpenCV."""
    capture, images = cv2.VideoCapture(str(path)), []
    while (answer := capture.read())[0]:
        images.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB))
    return images


def has_b_frames(path: Path) -> bool:
    with av.open(str(path)) as container:
        return any(frame.pict_type == av.video.frame.PictureType.B for frame in container.decode(video=0))


def assert_near(images: list[np.ndarray], expected: list[np.ndarray], shape: tuple, difference: float) -> None:
    """Frames are uint8 of one shape, and differ by so many gray levels on average."""
    for image, reference in zip(images, expected, strict=True):
        assert image.dtype == np.uint8
        assert image.shape == reference.shape == shape
        assert np.abs(image.astype(int) - reference).mean() < difference


@pytest.fixture(scope="module", params=list(KINDS))
def file(request, tmp_path_factory):
    ending, arguments = KINDS[request.param]
    path = encode(tmp_path_factory.mktemp("kind") / f"video{ending}", **arguments)
    assert has_b_frames(path) == ("b_frames" in arguments)  # the encoder did what this kind is about
    return path, arguments.get("size", (WIDTH, HEIGHT))


def test_all_frames_come_in_display_order_and_equal_those_of_opencv(file):
    path, size = file
    ours, reference = list(video.read(path, *size)), opencv(path)
    assert [number(image) for image in ours] == list(range(FRAMES))
    assert_near(ours, reference, (size[1], size[0], 3), 0.5)


def test_resized_frames_are_near_those_that_opencv_resizes(file):
    path, (width, height) = file
    small = (width // 2, height // 2)
    for image, whole in zip(video.read(path, *small), opencv(path), strict=True):
        expected = cv2.resize(whole, small, interpolation=cv2.INTER_AREA)
        assert image.shape == expected.shape
        assert number(image) == number(whole)
        smooth = image[round(0.6 * small[1]) : -1, 1:-1].astype(int)  # below the blocks: filters differ at hard edges
        difference = {
            (down, right): np.abs(
                smooth - np.roll(expected, (down, right), (0, 1))[round(0.6 * small[1]) : -1, 1:-1]
            ).mean()
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        }
        assert min(difference, key=difference.get) == (0, 0)  # no pixel aside
        assert difference[0, 0] < 4


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_is_read_and_resized_as_seen_upright(tmp_path, rotation, ending):
    path = encode(tmp_path / f"video{ending}", range(20), rotation=rotation)
    with av.open(str(path)) as container:
        stored = container.streams.video[0]
        assert (stored.width, stored.height) == ((HEIGHT, WIDTH) if rotation % 180 else (WIDTH, HEIGHT))
    ours, reference = list(video.read(path, WIDTH, HEIGHT)), opencv(path)
    assert [number(image) for image in ours] == [number(image) for image in reference] == list(range(20))
    assert_near(ours, reference, (HEIGHT, WIDTH, 3), 0.5)
    assert all(image.flags.c_contiguous for image in ours)
    found = check.examine(path)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    plain = encode(tmp_path / f"plain{ending}", range(20))
    assert_near(list(video.read(path, 48, 20)), list(video.read(plain, 48, 20)), (20, 48, 3), 6)


@pytest.mark.parametrize("claimed", [1, FRAMES - 7, FRAMES + 1, 10 * FRAMES])
def test_a_header_that_lies_about_the_number_of_frames_is_not_believed(tmp_path, claimed):
    path = encode(tmp_path / "video.avi", codec="mpeg4")
    data = bytearray(path.read_bytes())
    for chunk, position in ((b"avih", 16), (b"strh", 32)):  # dwTotalFrames and dwLength
        at = data.index(chunk) + 8 + position
        assert struct.unpack_from("<I", data, at) == (FRAMES,)
        struct.pack_into("<I", data, at, claimed)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == claimed
    assert [number(image) for image in video.read(path, WIDTH, HEIGHT)] == list(range(FRAMES))
    found = check.examine(path)
    assert (found.status, found.num_frames, found.reason) == (check.OK, FRAMES, "")


def test_only_the_first_video_stream_is_read_whatever_stands_beside_it(tmp_path):
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        for shown in range(20):
            for stream, first in zip(streams, (0, 100), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(first + shown), format="rgb24")))
        for stream in (sound, *streams):
            container.mux(stream.encode(None))
    assert [number(image) for image in video.read(path, WIDTH, HEIGHT)] == list(range(20))


def with_cover(path, film, sound, first):
    """Write an MP4 with a cover picture, as its first stream or after the others."""
    with av.open(str(path), "w") as container:
        streams = {}
        if film:
            streams["libx264"] = container.add_stream("libx264", rate=25)
        cover = streams["mjpeg"] = container.add_stream("mjpeg", rate=1, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        for stream in streams.values():
            stream.width, stream.height = WIDTH, HEIGHT
        if sound:
            streams["aac"] = container.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 8000
            container.mux(streams["aac"].encode(silence))
        container.mux(cover.encode(av.VideoFrame.from_ndarray(picture(99), format="rgb24")))
        for shown in range(20 if film else 0):
            container.mux(streams["libx264"].encode(av.VideoFrame.from_ndarray(picture(shown), format="rgb24")))
        for stream in streams.values():
            container.mux(stream.encode(None))
    if first:  # the metadata that hold the picture go before the tracks
        content = path.read_bytes()
        at = content.index(b"moov") + 4
        boxes = []
        while at < len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            boxes.append(content[at : at + size])
            at += size
        start = content.index(b"moov") + 4
        path.write_bytes(content[:start] + b"".join(sorted(boxes, key=lambda box: box[4:8] != b"udta")))
    return path


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_cover_picture_is_no_video(tmp_path, sound, first):
    path = with_cover(tmp_path / "film.mp4", True, sound, first)
    with av.open(str(path)) as container:
        assert bool(container.streams.video[0].disposition & Disposition.attached_pic) == first
    assert [number(image) for image in video.read(path, WIDTH, HEIGHT)] == list(range(20))
    assert (check.examine(path).status, check.examine(path).num_frames) == (check.OK, 20)
    path = with_cover(tmp_path / "song.mp4", False, sound, first)
    found = check.examine(path)
    kinds = "a picture and audio" if sound else "a picture"
    assert (found.status, found.reason) == (check.NO_VIDEO, f"the file holds {kinds} only")
    for read in (video.frame_rate, lambda path: list(video.read(path, WIDTH, HEIGHT))):
        with pytest.raises(video.VideoError, match="song.mp4: no video stream"):
            read(path)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "tiff"])
def test_a_picture_under_a_videos_name_is_no_video(tmp_path, kind):
    path = tmp_path / "video.avi"
    Image.fromarray(picture(3)).save(path, format=kind)
    found = check.examine(path)
    assert (found.status, found.reason) == (check.NO_VIDEO, "the file holds a picture only")
    with pytest.raises(video.VideoError, match="video.avi: no video stream"):
        list(video.read(path, WIDTH, HEIGHT))


def test_an_animation_is_a_video(tmp_path):
    path = tmp_path / "video.mp4"
    first, *others = (Image.fromarray(picture(shown)) for shown in range(20))
    first.save(path, format="gif", save_all=True, append_images=others)
    assert (check.examine(path).status, check.examine(path).num_frames) == (check.OK, 20)


@pytest.mark.parametrize(
    ("name", "content"), [("absent.avi", None), ("empty.avi", b""), ("text.avi", b"not a video\n" * 50)]
)
def test_a_file_that_is_no_video_is_named(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(video.VideoError, match=name):
        list(video.read(path, 16, 16))


def test_a_written_video_reads_back_and_its_bytes_repeat(tmp_path):
    images = [picture(shown) for shown in range(20)]
    for name, codec in (("a.avi", "mpeg4"), ("b.mp4", "libx264")):
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir(exist_ok=True)
            video.write(tmp_path / folder / name, images, 25, codec)
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert [number(image) for image in opencv(tmp_path / "one" / name)] == list(range(20))
        assert [path.name for path in (tmp_path / "one").glob(f"*{name[1:]}")] == [name]  # no draft is left
