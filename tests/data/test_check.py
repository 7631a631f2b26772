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
from test_video import FRAMES, HEIGHT, KINDS, WIDTH, encode, number, opencv, picture

from mac.data.check import (
    ABSENT,
    NO_VIDEO,
    OK,
    SHORT,
    TRUNCATED,
    UNDECODABLE,
    USABLE,
    WRONG_SIZE,
    Finding,
    examine,
    scan,
)

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


def muxed(folder: Path, kind: str, **more) -> Path:
    ending, arguments = MUXED[kind]
    return encode(folder / f"video{ending}", **arguments, **more)


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


@pytest.mark.parametrize("kind", list(MUXED))
def test_a_good_file_of_any_muxer_is_ok(tmp_path, kind):
    path = muxed(tmp_path, kind)
    found = examine(path)
    assert (found.status, found.reason) == (OK, "")
    assert (found.num_frames, found.width, found.height) == (FRAMES, WIDTH, HEIGHT)
    assert found.fps == pytest.approx(25)
    assert found.content == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_good_file_of_any_codec_is_ok(tmp_path, kind):
    ending, arguments = KINDS[kind]
    found = examine(encode(tmp_path / f"video{ending}", **arguments))
    assert (found.status, found.reason, found.num_frames) == (OK, "", FRAMES)
    assert (found.width, found.height) == arguments.get("size", (WIDTH, HEIGHT))


def test_a_video_shorter_than_a_clip_is_used_and_says_so(tmp_path):
    found = examine(encode(tmp_path / "short.avi", range(15), "mpeg4"))
    assert (found.status, found.num_frames) == (SHORT, 15)
    assert found.reason == "15 frames, fewer than one clip; the last one is repeated"
    assert examine(encode(tmp_path / "long.avi", range(16), "mpeg4")).status == OK
    assert examine(encode(tmp_path / "one.mp4", range(1))).status == SHORT


def passes_for_whole(path: Path) -> bool:
    """Whether a file that lacks frames is found usable."""
    found = examine(path)
    assert found.reason or found.status == OK
    return found.status in USABLE and found.num_frames < FRAMES


@pytest.mark.parametrize("kind", list(MUXED))
def test_no_beginning_of_a_file_passes_for_the_whole(tmp_path, kind):
    data = muxed(tmp_path, kind).read_bytes()
    path = tmp_path / f"beginning{MUXED[kind][0]}"
    lengths = {*range(64, 200, 40), *range(200, len(data), len(data) // 12), *range(len(data) - 150, len(data), 9)}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        assert kind == "MPEG" or not passes_for_whole(path), length  # an MPEG stream may end anywhere


@pytest.mark.parametrize("kind", list(MUXED))
def test_no_file_with_a_hole_passes_for_the_whole(tmp_path, kind):
    path = muxed(tmp_path, kind)
    data = path.read_bytes()
    for middle in np.linspace(0.1, 0.8, 5):
        begin = int(middle * len(data))
        path.write_bytes(data[:begin] + bytes(3000) + data[begin + 3000 :])
        assert not passes_for_whole(path), begin
        path.write_bytes(data[:begin] + data[begin + 3000 :])
        assert not passes_for_whole(path), begin


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("AVI", TRUNCATED, r"40 frames promised, \d+ decoded"),
        ("MP4", UNDECODABLE, "the decoder says: Invalid data found when processing input"),  # its index is at its end
        ("Matroska", TRUNCATED, r"the Matroska element at byte \d+ goes past the file's end"),
    ],
)
def test_a_file_that_breaks_off_is_named_with_a_reason(tmp_path, kind, status, reason):
    path = muxed(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = examine(path)
    assert found.status == status
    assert re.fullmatch(reason, found.reason)


def test_a_frame_that_a_header_promises_and_a_decoder_misses_is_named(tmp_path):
    path = muxed(tmp_path, "AVI")
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"movi"), data.rindex(b"idx1")
    places = [begin + match.start() for match in re.finditer(b"00dc", data[begin:end])]
    assert len(places) == FRAMES
    data[places[20] : places[20] + 2] = b"01"  # a frame of another stream, which there isn't
    path.write_bytes(data)
    assert len(opencv(path)) == FRAMES - 1
    found = examine(path)
    assert (found.status, found.num_frames) == (TRUNCATED, FRAMES - 1)
    assert found.reason == f"{FRAMES} frames promised, {FRAMES - 1} decoded"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "Invalid data found"),
        (bytes(10_000), "Invalid data found"),
        (np.random.default_rng(0).bytes(10_000), "Invalid data found"),
    ],
)
@pytest.mark.parametrize("ending", [".avi", ".mp4", ".mkv"])
def test_what_is_no_video_is_undecodable_and_the_reason_names_no_place(tmp_path, ending, content, reason):
    path = tmp_path / f"video{ending}"
    path.write_bytes(content)
    found = examine(path)
    assert (found.status, found.num_frames) == (UNDECODABLE, 0)
    assert reason in found.reason
    assert str(tmp_path) not in found.reason


@pytest.mark.parametrize(
    ("gop", "first", "reason"),
    [(0, 1, "no frame could be decoded of"), (15, 4, f"{FRAMES - 4} packets give {FRAMES - 15} frames only")],
)
def test_a_video_that_begins_between_key_frames_lacks_frames(tmp_path, gop, first, reason):
    found = examine(copy_packets(encode(tmp_path / "whole.mp4", gop=gop), tmp_path / "rest.mkv", first=first))
    assert found.status == UNDECODABLE
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("ending", [".avi", ".mp4"])
def test_pictures_that_the_decoder_marks_as_damaged_are_not_trained_on(tmp_path, ending):
    path = encode(tmp_path / f"video{ending}", codec="mpeg4")
    with av.open(str(path)) as opened:
        packet = [packet for packet in opened.demux(video=0) if packet.size][20]
        at = packet.pos + packet.size // 2
    data = bytearray(path.read_bytes())
    data[at : at + 60] = bytes(60)
    path.write_bytes(data)
    found = examine(path)
    assert found.status == UNDECODABLE
    assert re.fullmatch(r"\d+ of 40 packets or frames are damaged", found.reason)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", "pcm_s16le"), ("a.mp3", "mp3"), ("a.m4a", "aac"), ("a.avi", "mp3"), ("a.mp4", "aac"), ("a.mkv", "aac")],
)
def test_sound_alone_is_no_video(tmp_path, name, codec):
    found = examine(sound(tmp_path / name, codec))
    assert (found.status, found.reason) == (NO_VIDEO, "the file holds audio only")


def test_a_video_whose_frames_change_their_size_is_refused_with_the_sizes(tmp_path):
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as opened:
        stream = opened.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for place, size in enumerate([(WIDTH, HEIGHT)] * 12 + [(80, 56)] * 12):
            packet = av.Packet(simplejpeg.encode_jpeg(picture(place, *size), 95, "RGB", "420"))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), place, place
            opened.mux(packet)
    found = examine(path)
    assert (found.status, found.reason) == (WRONG_SIZE, "frame size changes: 160×112, 80×56")


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((8, 32), "8×32 pixels; at least 16 a side"),
        ((32, 14), "32×14 pixels; at least 16 a side"),
        ((8208, 16), "8208×16 pixels; at most 8192 a side"),
        ((16, 16), ""),
    ],
)
def test_frames_too_small_or_too_large_are_refused_with_the_limit(tmp_path, size, reason):
    found = examine(encode(tmp_path / "video.mkv", range(16), "ffv1", pixels="yuv444p", size=size))
    assert (found.status, found.reason) == (WRONG_SIZE if reason else OK, reason)


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        examine(tmp_path / "absent.avi")


def test_a_video_cut_without_encoding_it_again_is_ok(tmp_path):
    path = copy_packets(muxed(tmp_path, "MP4"), tmp_path / "cut.mp4", shift=10)
    assert [number(image) for image in opencv(path)] == list(range(10, FRAMES))
    found = examine(path)
    assert (found.status, found.num_frames) == (OK, FRAMES - 10)


def test_a_frame_that_is_to_be_decoded_but_not_shown_is_no_lost_frame(tmp_path):
    def with_hidden_copy(place: int, content: bytes) -> list[bytes]:
        return [bytes([content[0] & ~16]) + content[1:], content] if place == 20 else [content]  # VP8's show_frame bit

    path = copy_packets(encode(tmp_path / "a.webm", codec="libvpx"), tmp_path / "b.webm", edit=with_hidden_copy)
    assert [number(image) for image in opencv(path)] == list(range(FRAMES))
    found = examine(path)
    assert (found.status, found.num_frames) == (OK, FRAMES)


def test_an_mpeg4_frame_that_repeats_the_one_before_is_no_lost_frame(tmp_path):
    def uncoded(place: int, content: bytes) -> list[bytes]:
        bits = f"0101{20:05b}10" + "01111"  # a P-frame without a coded picture, at tick 20 of 25, stuffed
        return [b"\0\0\1\xb6" + int(bits, 2).to_bytes(2, "big")] if place == 20 else [content]

    path = copy_packets(encode(tmp_path / "a.avi", codec="mpeg4"), tmp_path / "b.avi", edit=uncoded)
    assert len(opencv(path)) == FRAMES - 1
    found = examine(path)
    assert (found.status, found.num_frames) == (OK, FRAMES - 1)


def test_an_avi_in_several_parts_as_large_ones_are_is_ok(tmp_path):
    path = muxed(tmp_path, "AVI")
    data = path.read_bytes()
    begin = data.index(b"movi") + 4
    end = begin + struct.unpack_from("<I", data, begin - 8)[0] - 4
    half = end + 8 + 16 * 25  # idx1 after 25 of its 40 entries
    (split,) = struct.unpack_from("<I", data, half + 8)  # where the 26th begins, from the name of the list on
    split += begin - 4

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    first = data[8 : begin - 12] + chunk(b"LIST", b"movi" + data[begin:split]) + chunk(b"idx1", data[end + 8 : half])
    rest = b"AVIX" + chunk(b"LIST", b"movi" + data[split:end])
    path.write_bytes(chunk(b"RIFF", first) + chunk(b"RIFF", rest))
    assert [number(image) for image in opencv(path)] == list(range(FRAMES))
    found = examine(path)
    assert (found.status, found.reason, found.num_frames) == (OK, "", FRAMES)


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
    for place, source in enumerate(sources):
        whole, broken = count(source)
        assert not broken
        data, other = source.read_bytes(), sources[int(rng.integers(len(sources)))].read_bytes()
        for turn, (kind, damaged) in enumerate(damages(data, other, rng)):
            path = folder / f"{place}-{turn}{source.suffix}"
            path.write_bytes(damaged)
            copies.append((kind, path, whole))
    for name, content in (("empty.avi", b""), ("text.mp4", b"404 Not Found\n" * 99), ("zeros.mkv", bytes(5000))):
        (folder / name).write_bytes(content)
        copies.append(("no video", folder / name, 1))
    copies.append(("no video", sound(folder / "sound.mp4", "aac"), 1))
    return copies


def test_no_damaged_copy_of_synthetic_data_passes_with_frames_lost(synthetic_data, tmp_path):
    rng = np.random.default_rng(3)
    sources = [
        *sorted((synthetic_data / "ucf101").rglob("*.avi"))[::15],
        *sorted((synthetic_data / "kinetics").rglob("*.mp4"))[::15],
        encode(tmp_path / "a.mkv", range(60), b_frames=2),
        encode(tmp_path / "b.avi", range(60), b_frames=2),
    ]
    (tmp_path / "copies").mkdir()
    copies = damaged_copies(sources, tmp_path / "copies", rng)
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
    rng = np.random.default_rng(4)
    originals, small, other = (
        sorted((Path(REAL).resolve() / name).rglob("*.avi")) for name in ("ucf101-originals", "ucf101-21", "hmdb51-3")
    )
    sources = [*originals[::3], *small[::150], *other[::30]]
    for source in (small[7], small[800], other[100]):
        for ending in (".mp4", ".mkv"):
            sources.append(copy_packets(source, tmp_path / f"{source.stem}{ending}"))
    (tmp_path / "copies").mkdir()
    copies = damaged_copies(sources, tmp_path / "copies", rng)
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
        ("hang", 1, "decoding took more than 8 s"),
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
    assert table["status"].tolist() == [UNDECODABLE if file in bad else OK if file else ABSENT for file in files]
    assert table.loc[table["status"] == UNDECODABLE, "reason"].str.fullmatch(reason or "").all()
    assert table.loc[table["status"] == ABSENT, "reason"].str.contains("no such file").all()
    for row, file in zip(table.itertuples(), files, strict=True):
        assert row.content == (harmful(Path(file), "").content if row.status == OK else "")


def test_videos_without_files_need_no_process(tmp_path):
    table = scan(["", ""], tmp_path)
    assert table["status"].tolist() == [ABSENT] * 2
    assert scan([], tmp_path).empty


def test_real_files_are_examined_in_order_whatever_the_workers(tmp_path):
    files = []
    for length in range(6):
        files.append(encode(tmp_path / f"sub {length}" / f"{length}.mp4", range(16 + length)).relative_to(tmp_path))
    names = [files[place].as_posix() for place in (3, 0, 5, 1, 4, 2)]
    table = scan(names, tmp_path, workers=2)
    assert table["num_frames"].tolist() == [19, 16, 21, 17, 20, 18]
    assert table["status"].eq(OK).all()
    assert table.equals(scan(names, tmp_path, workers=1))
    assert table.equals(pd.DataFrame([examine(tmp_path / name) for name in names]))


def test_a_link_to_nothing_is_named_and_harms_no_other(tmp_path):
    encode(tmp_path / "0.mp4", range(20))
    (tmp_path / "1.mp4").symlink_to(tmp_path / "gone.mp4")
    table = scan(["0.mp4", "1.mp4", "0.mp4"], tmp_path)
    assert [status in USABLE for status in table["status"]] == [True, False, True]


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
