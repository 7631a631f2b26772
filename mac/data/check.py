"""Decode videos to their ends and give each a status: whole, or what is wrong with it.

Many files are scanned in parallel; no file can crash the scan, hang it or fill the memory.
"""

import hashlib
import multiprocessing
import resource
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import av
import pandas as pd
from pebble import ProcessExpired, ProcessPool

from mac.data import video

OK, SHORT, DUPLICATE = "ok", "short", "duplicate"  # used
TRUNCATED, UNDECODABLE, NO_VIDEO, WRONG_SIZE = "truncated", "undecodable", "no video stream", "wrong size"
ABSENT, UNLISTED = "absent", "unlisted"
USABLE = (OK, SHORT, DUPLICATE)

SHORT_FRAMES = 16  # the paper's clip: a shorter video is used, its last frame repeated
MPEG4_REPEAT = 19  # bytes of the longest packet that FFmpeg takes for "repeat the frame before"
SMALLEST, LARGEST = 16, 8192  # pixels a side
SECONDS = 600.0  # limit for decoding one file
MEMORY = 1_500_000_000  # bytes that a worker may allocate after its start
_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"


@dataclass(frozen=True)
class Finding:
    """What decoding a whole file showed.

    ``num_frames`` frames came out, at ``fps`` frames per second on average, ``width`` × ``height`` pixels upright;
    ``content`` is the BLAKE2 digest of the file's bytes; ``reason`` explains every ``status`` but ok.
    """

    status: str = OK
    reason: str = ""
    num_frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    content: str = ""


def examine(path: Path) -> Finding:
    """Decode a file to its end, count the frames, and compare them with what its container promises.

    A file is ``truncated`` when its container promises frames that don't come or a Matroska file breaks off,
    ``undecodable`` when it can't be opened, breaks while decoding, or gives frames the decoder marks as damaged. A
    header that promises too many frames is forgiven where the container's index has as many as were decoded.

    Raises:
        OSError: the file can't be read at all.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if not path.stat().st_size:
        return Finding(UNDECODABLE, "an empty file", content=content)
    try:
        found = _decode(path)
    except av.FFmpegError as error:
        found = Finding(UNDECODABLE, f"the decoder says: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
        found = Finding(UNDECODABLE, str(error).replace(str(path), path.name))
    if found.status in USABLE and (at := _matroska_breaks_off(path)) is not None:
        found = replace(found, status=TRUNCATED, reason=f"the Matroska element at byte {at} goes past the file's end")
    return replace(found, content=content)


def _is_shown(packet: av.Packet, codec: str) -> bool:
    """Whether a packet gives a frame."""
    if packet.is_discard:  # before the start of an edit list
        return False
    if codec == "mpeg4":  # XviD repeats the frame before by a tiny packet
        return packet.size > MPEG4_REPEAT
    return codec != "vp8" or not packet.size or bool(bytes(packet)[0] & 16)  # bit 4: not a hidden reference frame


def _decode(path: Path) -> Finding:
    num_frames = packets = damaged = skipped = 0
    sizes = {}  # a dictionary keeps the order
    with av.open(str(path)) as opened:
        if (stream := video.stream_of(opened)) is None:
            kinds = sorted({"a picture" if s.type == "video" else s.type for s in opened.streams}) or ["nothing"]
            return Finding(NO_VIDEO, f"the file holds {' and '.join(kinds)} only")
        context = stream.codec_context
        if context is None:
            return Finding(UNDECODABLE, "an unknown codec")
        if max(context.width, context.height) > LARGEST:
            return Finding(WRONG_SIZE, f"{context.width}×{context.height} pixels; at most {LARGEST} a side")
        context.thread_count = 1
        context.options = {"max_pixels": str(video.MAX_PIXELS)}
        fps, promised = float(stream.average_rate or 0), stream.frames or len(stream.index_entries)
        for packet in opened.demux(stream):
            shown = _is_shown(packet, context.name)
            packets += packet.size > 0 and shown
            skipped += packet.size > 0 and not shown
            damaged += packet.is_corrupt
            for frame in packet.decode():
                num_frames += 1
                damaged += frame.is_corrupt
                turned = video.quarter_turns(frame) % 2
                sizes[(frame.height, frame.width) if turned else (frame.width, frame.height)] = True
    if not num_frames:
        return Finding(UNDECODABLE, f"no frame could be decoded of {promised} promised")
    (width, height), status, reason = next(iter(sizes)), OK, ""
    if len(sizes) > 1:
        status, reason = WRONG_SIZE, "frame size changes: " + ", ".join(f"{w}×{h}" for w, h in sizes)
    elif min(width, height) < SMALLEST:
        status, reason = WRONG_SIZE, f"{width}×{height} pixels; at least {SMALLEST} a side"
    elif promised - skipped > num_frames and not 1 < num_frames == _count_indexed(path) - skipped:
        status, reason = TRUNCATED, f"{promised - skipped} frames promised, {num_frames} decoded"
    elif damaged:
        status, reason = UNDECODABLE, f"{damaged} of {packets} packets or frames are damaged"
    elif packets > num_frames:
        status, reason = UNDECODABLE, f"{packets} packets give {num_frames} frames only"
    elif num_frames < SHORT_FRAMES:
        status, reason = SHORT, f"{num_frames} frames, fewer than one clip; the last one is repeated"
    return Finding(status, reason, num_frames, fps, width, height)


def _count_indexed(path: Path) -> int:
    """Count the frames in a container's own index; FFmpeg adds the packets that it probes, with this option one."""
    with av.open(str(path), options={"probesize": "32"}) as opened:
        return len(video.stream_of(opened).index_entries)


def _matroska_breaks_off(path: Path) -> int | None:
    """Return the place of the element that goes past the end of a Matroska file; None if the file is whole or another.

    FFmpeg reports no error where such a file is cut off, and Matroska promises no number of frames.
    """
    at, size = 0, path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != _EBML:
            return None
        while at < size:
            file.seek(at)
            head = file.read(12)
            name = 9 - head[0].bit_length()  # bytes of the element's name: as many as its leading zeros, and one
            if name > 4 or len(head) <= name:
                return at
            end = name + 9 - head[name].bit_length()
            length = int.from_bytes(head[name:end], "big") & ((1 << 7 * (end - name)) - 1)
            entered = head[:name] in (_SEGMENT, _CLUSTER)
            endless = entered and length + 1 == 1 << 7 * (end - name)  # streamed: the length was not known
            if len(head) < end or (not endless and at + end + length > size):
                return at
            at += end if entered else end + length
    return None


def scan(
    files: list[str],
    root: Path,
    workers: int = 1,
    seconds: float = SECONDS,
    look: Callable[[Path], Finding] = examine,
) -> pd.DataFrame:
    """Examine files in processes of their own: one that hangs or crashes costs no other file its examination.

    Args:
        files: relative to ``root``; an empty name is a video without a file.
        root: the data set's folder.
        workers: processes.
        seconds: a file that takes longer is undecodable.
        look: examines one file.

    Returns:
        One row per file, in order: the fields of :class:`Finding`.
    """
    findings = {"": Finding(ABSENT, "listed, but there is no such file")}
    present = [file for file in files if file]
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that this process's threads hold
    with ProcessPool(max_workers=workers, context=context, initializer=_limit_memory) as pool:
        results = pool.map(look, [root / file for file in present], timeout=seconds).result()
        for file in present:
            try:
                findings[file] = next(results)
            except TimeoutError:
                findings[file] = Finding(UNDECODABLE, f"decoding took more than {seconds:g} s")
            except ProcessExpired as error:
                findings[file] = Finding(UNDECODABLE, f"the decoder crashed (exit status {error.exitcode})")
            except OSError as error:  # a link to nothing, no permission, a failing disk
                findings[file] = Finding(UNDECODABLE, f"can't be read: {error.strerror}")
            except MemoryError:
                findings[file] = Finding(UNDECODABLE, "decoding needs too much memory")
    return pd.DataFrame([findings[file] for file in files], columns=[field.name for field in fields(Finding)])


def _limit_memory() -> None:
    size = Path("/proc/self/statm")
    if size.exists():  # elsewhere than on Linux, the size of a process can't be limited
        used = int(size.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
