"""Every status a file can get, and many damaged files: whatever doesn't give all of its frames is named.

The scan of many files survives those whose examination hangs, kills its process or eats the memory.
"""

import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import fields
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import simplejpeg
import test_video
from test_video import FRAMES, HEIGHT, WIDTH, encode, number, opencv, picture

from mac.data import check
from mac.data.check import OK, UNDECODABLE, USABLE, Finding, examine, scan

REAL = os.environ.get("MAC_REAL_DATA")

MUXED = {
    "AVI": (".avi", {"codec": "mpeg4"}),
    "AVI, B-frames": (".avi", {"codec": "mpeg4", "b_frames": 2}),
    "MP4": (".mp4", {}),
    "MP4, index first": (".mp4", {"options": {"movflags": "faststart"}}),
    "MP4 in fragments": (".mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
    "QuickTime": (".mov", {"codec": "mpeg4"}),
    "Matroska": (".mkv", {"b_frames": 2}),
    "Matroska as it is streamed": (".mkv", {"options": {"live": "1"}}),
    "Matroska, cues first": (".mkv", {"codec": "mpeg4", "options": {"cues_to_front": "1"}}),
    "WebM": (".webm", {"codec": "libvpx"}),
    "MPEG": (".mpg", {"codec": "mpeg2video", "b_frames": 2}),
}
KINDS = test_video.KINDS | MUXED


def muxed(folder: Path, kind: str) -> Path:
    ending, arguments = KINDS[kind]
    return encode(folder / f"video{ending}", **arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_of_any_muxer_and_codec_is_ok(tmp_path, kind):
    path, arguments = muxed(tmp_path, kind), KINDS[kind][1]
    found = examine(path)
    assert (found.status, found.reason, found.num_frames) == (OK, "", FRAMES)
    assert (found.width, found.height) == arguments.get("size", (WIDTH, HEIGHT))
    assert "times" in arguments or found.fps == pytest.approx(float(arguments.get("rate", 25)))
    assert found.content == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


@pytest.mark.parametrize("kind", MUXED)
def test_no_beginning_of_a_file_and_no_file_with_a_hole_passes_for_the_whole(tmp_path, kind):
    path = muxed(tmp_path, kind)
    data = path.read_bytes()
    size = len(data)
    ends = sorted({*range(64, 200, 40), *range(200, size, size // 12), *range(size - 150, size, 9)})
    holes = [int(middle * size) for middle in np.linspace(0.1, 0.8, 5)]
    damaged = {("beginning", end): data[:end] for end in ends if kind != "MPEG"}  # such a stream may end anywhere
    damaged |= {("zeros", begin): data[:begin] + bytes(3000) + data[begin + 3000 :] for begin in holes}
    damaged |= {("hole", begin): data[:begin] + data[begin + 3000 :] for begin in holes}
    for how, content in damaged.items():
        path.write_bytes(content)
        found = examine(path)
        assert found.reason or found.status == OK
        assert found.status not in USABLE or found.num_frames >= FRAMES, how


def half(folder: Path, kind: str) -> Path:
    path = muxed(folder, kind)
    os.truncate(path, path.stat().st_size // 2)
    return path


def with_content(folder: Path, ending: str, content: bytes) -> Path:
    path = folder / f"video{ending}"
    path.write_bytes(content)
    return path


def sound(path: Path, codec: str) -> Path:
    """Write a file of silence."""
    kind, form = (np.int16, "s16") if codec.startswith("pcm") else (np.float32, "fltp")
    with av.open(str(path), "w") as opened:
        stream = opened.add_stream(codec, rate=16000, layout="mono")
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), kind), format=form, layout="mono")
            frame.sample_rate = 16000
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return path


def lacking_one_frame(folder: Path) -> Path:
    """An AVI with a frame that its header promises and a decoder misses."""
    path = muxed(folder, "AVI")
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"movi"), data.rindex(b"idx1")
    places = [begin + match.start() for match in re.finditer(b"00dc", data[begin:end])]
    assert len(places) == FRAMES
    data[places[20] : places[20] + 2] = b"01"  # a frame of another stream, which there isn't
    path.write_bytes(data)
    assert len(opencv(path)) == FRAMES - 1
    return path


def with_a_damaged_picture(folder: Path, ending: str) -> Path:
    path = encode(folder / f"video{ending}", codec="mpeg4")
    with av.open(str(path)) as opened:
        packet = [packet for packet in opened.demux(video=0) if packet.size][20]
        at = packet.pos + packet.size // 2
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(60) + data[at + 60 :])
    return path


def copy_packets(source: Path, target: Path, first: int = 0, shift: int = 0, edit=None) -> Path:
    """Copy a video without encoding it again, from its packet ``first`` on, shown ``shift`` frames earlier.

    ``edit`` gives the packets' contents that stand for a packet's (its place, its content).
    """
    with av.open(str(source)) as opened, av.open(str(target), "w") as written:
        stream = opened.streams.video[0]
        copied = written.add_stream_from_template(stream)
        for place, packet in enumerate(opened.demux(stream)):
            if packet.dts is None or place < first:
                continue
            back = round(shift / stream.average_rate / packet.time_base)
            for late, content in enumerate(edit(place, bytes(packet)) if edit else [bytes(packet)]):
                given = av.Packet(content)
                given.time_base, given.stream, given.is_keyframe = packet.time_base, copied, packet.is_keyframe
                given.pts, given.dts = packet.pts - back + late, packet.dts - back + late
                written.mux(given)
    return target


def from_packet(folder: Path, first: int, gop: int) -> Path:
    """A video that begins between key frames."""
    return copy_packets(encode(folder / "whole.mp4", gop=gop), folder / "rest.mkv", first=first)


def of_two_sizes(folder: Path) -> Path:
    path = folder / "video.avi"
    with av.open(str(path), "w") as opened:
        stream = opened.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for place, size in enumerate([(WIDTH, HEIGHT)] * 12 + [(80, 56)] * 12):
            packet = av.Packet(simplejpeg.encode_jpeg(picture(place, *size), 95, "RGB", "420"))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), place, place
            opened.mux(packet)
    return path


def sized(folder: Path, *size: int) -> Path:
    return encode(folder / "video.mkv", range(16), "ffv1", pixels="yuv444p", size=size)


PAGE = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
INVALID = "the decoder says: Invalid data found when processing input"
FAULTS = {  # a file, its status, and the reason
    "half an AVI": (lambda f: half(f, "AVI"), check.TRUNCATED, r"40 frames promised, \d+ decoded"),
    "half an MP4, its index at its end": (lambda f: half(f, "MP4"), UNDECODABLE, INVALID),
    "half a Matroska": (
        lambda f: half(f, "Matroska"), check.TRUNCATED, r"the Matroska element at byte \d+ goes past the file's end",
    ),
    "a frame lost": (lacking_one_frame, check.TRUNCATED, f"{FRAMES} frames promised, {FRAMES - 1} decoded"),
    "no key frame": (lambda f: from_packet(f, 1, 0), UNDECODABLE, r"no frame could be decoded of \d+ promised"),
    "the first key frame lost": (
        lambda f: from_packet(f, 4, 15), UNDECODABLE, f"{FRAMES - 4} packets give {FRAMES - 15} frames only",
    ),
    "frames of two sizes": (of_two_sizes, check.WRONG_SIZE, "frame size changes: 160×112, 80×56"),
    "too narrow": (lambda f: sized(f, 8, 32), check.WRONG_SIZE, "8×32 pixels; at least 16 a side"),
    "too low": (lambda f: sized(f, 32, 14), check.WRONG_SIZE, "32×14 pixels; at least 16 a side"),
    "too wide": (lambda f: sized(f, 8208, 16), check.WRONG_SIZE, "8208×16 pixels; at most 8192 a side"),
    "just large enough": (lambda f: sized(f, 16, 16), OK, ""),
    "shorter than a clip": (
        lambda f: encode(f / "a.avi", range(15), "mpeg4"), check.SHORT,
        "15 frames, fewer than one clip; the last one is repeated",
    ),
    "as long as a clip": (lambda f: encode(f / "a.avi", range(16), "mpeg4"), OK, ""),
    "one frame": (lambda f: encode(f / "a.mp4", range(1)), check.SHORT, "1 frames, fewer than one clip; .*"),
    **{
        f"a damaged picture, {ending}": (
            lambda f, ending=ending: with_a_damaged_picture(f, ending), UNDECODABLE,
            r"\d+ of 40 packets or frames are damaged",
        )
        for ending in (".avi", ".mp4")
    },
    **{
        f"{name}, {ending}": (
            lambda f, ending=ending, content=content: with_content(f, ending, content), UNDECODABLE, reason
        )
        for name, content, reason in (
            ("empty", b"", "an empty file"), ("a web page", PAGE, INVALID), ("zeros", bytes(10_000), INVALID),
            ("noise", np.random.default_rng(0).bytes(10_000), INVALID),
        )
        for ending in (".avi", ".mp4", ".mkv")
    },
    **{
        f"sound alone, {ending}, {codec}": (
            lambda f, ending=ending, codec=codec: sound(f / f"a{ending}", codec), check.NO_VIDEO,
            "the file holds audio only",
        )
        for ending, codec in (
            (".wav", "pcm_s16le"), (".mp3", "mp3"), (".m4a", "aac"), (".avi", "mp3"), (".mp4", "aac"), (".mkv", "aac"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_a_reason_that_names_no_place(tmp_path, fault):
    make, status, reason = FAULTS[fault]
    found = examine(make(tmp_path))
    assert found.status == status
    assert re.fullmatch(reason, found.reason)
    assert str(tmp_path) not in found.reason
    frames = {"a frame lost": FRAMES - 1, "shorter than a clip": 15, "one frame": 1, "empty, .avi": 0, "noise, .mkv": 0}
    assert found.num_frames == frames.get(fault, found.num_frames)


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        examine(tmp_path / "absent.avi")


def with_a_hidden_frame(folder: Path) -> Path:
    """A video with a frame that is to be decoded, but not shown."""

    def edit(place: int, content: bytes) -> list[bytes]:
        return [bytes([content[0] & ~16]) + content[1:], content] if place == 20 else [content]  # VP8's show_frame bit

    return copy_packets(encode(folder / "a.webm", codec="libvpx"), folder / "b.webm", edit=edit)


def with_a_repeated_frame(folder: Path) -> Path:
    """An MPEG-4 video with a frame that says: as the one before."""

    def edit(place: int, content: bytes) -> list[bytes]:
        bits = f"0101{20:05b}10" + "01111"  # a P-frame without a coded picture, at tick 20 of 25, stuffed
        return [b"\0\0\1\xb6" + int(bits, 2).to_bytes(2, "big")] if place == 20 else [content]

    return copy_packets(encode(folder / "a.avi", codec="mpeg4"), folder / "b.avi", edit=edit)


def in_two_parts(folder: Path) -> Path:
    """An AVI in several parts, as large ones are."""
    path = muxed(folder, "AVI")
    data = path.read_bytes()
    begin = data.index(b"movi") + 4
    end = begin + struct.unpack_from("<I", data, begin - 8)[0] - 4
    indexed = end + 8 + 16 * 25  # idx1 after 25 of its 40 entries
    (split,) = struct.unpack_from("<I", data, indexed + 8)  # where the 26th begins, from the name of the list on
    split += begin - 4

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    frames, index = chunk(b"LIST", b"movi" + data[begin:split]), chunk(b"idx1", data[end + 8 : indexed])
    rest = b"AVIX" + chunk(b"LIST", b"movi" + data[split:end])
    path.write_bytes(chunk(b"RIFF", data[8 : begin - 12] + frames + index) + chunk(b"RIFF", rest))
    return path


@pytest.mark.parametrize(
    ("make", "frames"),
    [
        (lambda folder: copy_packets(muxed(folder, "MP4"), folder / "cut.mp4", shift=10), FRAMES - 10),
        (with_a_hidden_frame, FRAMES),
        (with_a_repeated_frame, FRAMES - 1),
        (in_two_parts, FRAMES),
    ],
    ids=["cut without encoding it again", "a hidden frame", "a repeated frame", "an AVI in two parts"],
)
def test_a_file_that_only_looks_as_if_frames_were_lost_is_ok(tmp_path, make, frames):
    path = make(tmp_path)
    shown = [number(image) for image in opencv(path)]
    assert len(shown) == frames
    assert make is with_a_repeated_frame or shown == list(range(FRAMES - frames, FRAMES))
    found = examine(path)
    assert (found.status, found.reason, found.num_frames) == (OK, "", frames)


def count(path: Path) -> tuple[int, bool]:
    """Decode a file from its beginning as any program would: how many frames came, and whether an error ended it."""
    frames = 0
    try:
        with av.open(str(path)) as opened:
            opened.streams.video[0].codec_context.thread_count = 1
            opened.streams.video[0].codec_context.options = {"max_pixels": str(8192 * 8192)}
            for _ in opened.decode(video=0):
                frames += 1
    except Exception:  # whatever it is
        return frames, True
    return frames, False


def damages(data: bytes, other: bytes, rng: np.random.Generator):
    """Damage a file's bytes in a dozen ways."""

    def flipped(times: int, before: int) -> bytes:
        copy = bytearray(data)
        for place in rng.integers(0, min(len(data), before), times):
            copy[place] ^= 1 << int(rng.integers(0, 8))
        return bytes(copy)

    def zeroed(length: int, before: int) -> bytes:
        place = int(rng.integers(0, max(1, min(before, len(data) - length))))
        return data[:place] + bytes(min(length, len(data) - place)) + data[place + length :]

    yield "truncated", data[: int(len(data) * rng.uniform(0.02, 0.999))]
    yield "truncated", data[: len(data) - int(rng.integers(1, 200))]
    yield "flips", flipped(int(rng.integers(1, 20)), len(data))
    yield "flips", flipped(400, len(data))
    yield "flips", flipped(10, 3000)
    for length in (64, 2000, 20_000):
        yield "zeros", zeroed(length, len(data))
    yield "zeros", zeroed(200, 4000)
    edge = int(rng.integers(16, 6000))
    yield "swapped header", other[:edge] + data[edge:]
    place = int(rng.integers(0, len(data) - 3000))
    yield "cut", data[:place] + data[place + int(rng.integers(1, 3000)) :]
    yield "mixed", zeroed(500, len(data))[: int(len(data) * 0.97)]


def missed(copies: list[tuple[str, Path, int]], statuses: list[str]) -> list[tuple]:
    """Return the copies that don't give all frames and yet were found usable."""
    result = []
    for (kind, path, whole), status in zip(copies, statuses, strict=True):
        frames, broken = count(path)
        if (broken or frames < whole) and status in USABLE:
            result.append((kind, path.name, frames, whole, broken))
    return result


def damaged_copies(sources: list[Path], folder: Path, rng: np.random.Generator) -> list[tuple[str, Path, int]]:
    copies = []
    folder.mkdir()
    for place, source in enumerate(sources):
        whole, broken = count(source)
        assert not broken
        data, other = source.read_bytes(), sources[int(rng.integers(len(sources)))].read_bytes()
        for turn, (kind, damaged) in enumerate(damages(data, other, rng)):
            path = folder / f"{place}-{turn}{source.suffix}"
            path.write_bytes(damaged)
            copies.append((kind, path, whole))
    return copies


def test_no_damaged_copy_of_synthetic_data_passes_with_frames_lost(synthetic_data, tmp_path):
    sources = [
        *sorted((synthetic_data / "ucf101").rglob("*.avi"))[::15],
        *sorted((synthetic_data / "kinetics").rglob("*.mp4"))[::15],
        encode(tmp_path / "a.mkv", range(60), b_frames=2),
        encode(tmp_path / "b.avi", range(60), b_frames=2),
    ]
    copies = damaged_copies(sources, tmp_path / "copies", np.random.default_rng(3))
    assert len(copies) >= 60
    findings = [examine(path) for _, path, _ in copies]
    assert missed(copies, [found.status for found in findings]) == []
    assert all(found.reason for found in findings if found.status != OK)
    named = [found.status not in USABLE for found in findings]
    assert 0.5 < np.mean(named) < 1  # flipped pixels alone lose no frame


SCAN = """
import json, resource, sys
from pathlib import Path
from mac.data.check import scan

files = json.loads(Path(sys.argv[1]).read_text())
scan(files, Path("/"), workers=2).to_parquet(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.full
@pytest.mark.skipif(not REAL, reason="MAC_REAL_DATA names no folder of real videos")
def test_no_damaged_copy_of_real_videos_passes_with_frames_lost(tmp_path):
    originals, small, other = (
        sorted((Path(REAL).resolve() / name).rglob("*.avi")) for name in ("ucf101-originals", "ucf101-21", "hmdb51-3")
    )
    sources = [*originals[::3], *small[::150], *other[::30]]
    for source in (small[7], small[800], other[100]):
        for ending in (".mp4", ".mkv"):
            sources.append(copy_packets(source, tmp_path / f"{source.stem}{ending}"))
    copies = damaged_copies(sources, tmp_path / "copies", np.random.default_rng(4))
    assert len(copies) >= 300
    good = [*sources, *originals]
    (tmp_path / "files.json").write_text(json.dumps([str(path) for path in (*good, *(path for _, path, _ in copies))]))
    arguments = [sys.executable, "-c", SCAN, str(tmp_path / "files.json"), str(tmp_path / "findings.parquet")]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 2 * 1024**2  # kilobytes that the largest worker took
    table = pd.read_parquet(tmp_path / "findings.parquet")
    assert set(table["status"][: len(good)]) == {OK}
    assert missed(copies, table["status"][len(good) :].tolist()) == []
    assert table.loc[table["status"] != OK, "reason"].ne("").all()


NAMES = [f"{number}.avi" for number in range(8)]
limited = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")


def harmful(path: Path, how: str) -> Finding:
    """Find what a test can recognise, a digest of the file's name; at two files do harm."""
    if path.name in ("2.avi", "5.avi"):
        if how == "hang":
            time.sleep(600)
        elif how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif how == "exit":
            os._exit(3)
        elif how == "eat" and path.name == "2.avi":
            np.empty(4 << 30, np.uint8)
        elif how == "eat":
            kept = [np.empty(1 << 28, np.uint8) for _ in range(16)]
            return Finding(num_frames=len(kept))
        elif how == "a gigabyte":
            np.empty(1 << 30, np.uint8)
    return Finding(num_frames=20, content=hashlib.sha256(path.name.encode()).hexdigest())


@pytest.mark.parametrize(
    ("how", "workers", "reason"),
    [
        ("hang", 2, "decoding took more than 8 s"),
        ("crash", 2, rf"the decoder crashed \(exit status -{signal.SIGSEGV.value}\)"),
        ("exit", 1, r"the decoder crashed \(exit status 3\)"),
        pytest.param("eat", 2, "decoding needs too much memory", marks=limited),
        ("a gigabyte", 1, None),
    ],
)
def test_a_harmful_file_is_named_and_harms_no_other(tmp_path, how, workers, reason):
    for name in NAMES:
        (tmp_path / name).touch()
    files = ["", *NAMES[:4], "", *NAMES[4:], ""]
    # A new worker's start-up counts as its first file's time: seconds on a busy machine.
    table = scan(files, tmp_path, workers, seconds=8 if how == "hang" else 60, look=partial(harmful, how=how))
    assert list(table.columns) == [field.name for field in fields(Finding)]
    bad = ("2.avi", "5.avi") if reason else ()
    assert table["status"].tolist() == [UNDECODABLE if file in bad else OK if file else check.ABSENT for file in files]
    assert table.loc[table["status"] == UNDECODABLE, "reason"].str.fullmatch(reason or "").all()
    assert table.loc[table["status"] == check.ABSENT, "reason"].str.contains("no such file").all()
    for row, file in zip(table.itertuples(), files, strict=True):
        assert row.content == (harmful(Path(file), "").content if row.status == OK else "")


def test_no_files_at_all_are_no_error(tmp_path):
    assert scan(["", ""], tmp_path)["status"].tolist() == [check.ABSENT] * 2
    assert scan([], tmp_path).empty


def test_real_files_are_examined_in_order_whatever_the_workers(tmp_path):
    files = [encode(tmp_path / f"sub {length}" / f"{length}.mp4", range(length)) for length in range(16, 22)]
    names = [files[place].relative_to(tmp_path).as_posix() for place in (3, 0, 5, 1, 4, 2)]
    table = scan(names, tmp_path, workers=2)
    assert table["num_frames"].tolist() == [19, 16, 21, 17, 20, 18]
    assert table.equals(pd.DataFrame([examine(tmp_path / name) for name in names]))
    (tmp_path / names[1]).unlink()
    (tmp_path / names[1]).symlink_to(tmp_path / "gone.mp4")  # to nothing: named, and no harm to the others
    alone = scan(names, tmp_path, workers=1)
    assert alone["status"].tolist() == [OK, UNDECODABLE, *[OK] * 4]
    assert alone.drop(1).equals(table.drop(1))


@limited
@pytest.mark.full
def test_a_file_larger_than_the_memory_is_examined(tmp_path):
    path = encode(tmp_path / "0.mp4", range(20))
    size = 1_600_000_000
    with path.open("ab") as file:
        end = file.tell()
        file.write(size.to_bytes(4, "big") + b"free")  # a box of padding, sparse on the disk
        file.truncate(end + size)
    assert scan(["0.mp4"], tmp_path)["status"].tolist() == [OK]
