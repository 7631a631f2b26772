"""The integrity of one video: decode what training will decode, and say in a word what was found."""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import av

from mac.data import container, video

OK, SHORT, DUPLICATE = "ok", "short", "duplicate"  # used
TRUNCATED, UNDECODABLE, NO_VIDEO, WRONG_SIZE = "truncated", "undecodable", "no video stream", "wrong size"
ABSENT, UNLISTED = "absent", "unlisted"
USABLE = (OK, SHORT, DUPLICATE)
STATUSES = (*USABLE, TRUNCATED, UNDECODABLE, NO_VIDEO, WRONG_SIZE, ABSENT, UNLISTED)

SHORT_FRAMES = 16  # the paper's clip: a shorter video is used, its last frame repeated
MPEG4_REPEAT = 19  # bytes: FFmpeg takes no longer packet for a frame that says "unchanged"
SMALLEST, LARGEST = 16, 8192  # pixels a side


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

    def row(self) -> dict:
        """Return the columns of an index row."""
        return asdict(self)


def examine(path: Path) -> Finding:
    """Decode a file to its end, count, and compare with what its container promises; headers alone are not believed.

    A file is ``truncated`` when its container's chain breaks off or promises frames that don't come, ``undecodable``
    when it can't be opened, breaks while decoding, or gives frames the decoder marks as damaged. A header that lies
    about the number of frames is forgiven where the container's own chain is whole and holds what was decoded.

    Raises:
        OSError: the file can't be read at all.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if not path.stat().st_size:
        return Finding(UNDECODABLE, "an empty file", content=content)
    structure = container.inspect(path)
    try:
        found = _decode(path, structure)
    except av.FFmpegError as error:
        found = Finding(UNDECODABLE, f"the decoder says: {error.strerror or error}")
    except (ValueError, MemoryError) as error:
        found = Finding(UNDECODABLE, str(error).replace(str(path), path.name))
    if structure and structure.fault and found.status in (*USABLE, UNDECODABLE):
        found = replace(found, status=TRUNCATED, reason=structure.fault + (f"; {found.reason}" if found.reason else ""))
    return replace(found, content=content)


def _is_shown(packet: av.Packet, codec: str) -> bool:
    """Whether a packet stands for a frame of its own."""
    if packet.is_discard:  # before the start of an edit list
        return False
    if codec == "mpeg4":  # XviD's way to repeat the frame before
        return packet.size > MPEG4_REPEAT
    return codec != "vp8" or not packet.size or bool(bytes(packet)[0] & 16)  # VP8 keeps hidden reference frames


def _decode(path: Path, structure: container.Structure | None) -> Finding:
    num_frames = packets = damaged = skipped = 0
    sizes: list[tuple[int, int]] = []
    with av.open(str(path)) as opened:
        if not opened.streams.video:
            kinds = sorted({stream.type for stream in opened.streams}) or ["nothing"]
            return Finding(NO_VIDEO, f"the file holds {' and '.join(kinds)} only")
        stream = opened.streams.video[0]
        context = stream.codec_context
        if context is None:
            return Finding(UNDECODABLE, "an unknown codec")
        if max(context.width, context.height) > LARGEST:
            return Finding(WRONG_SIZE, f"{context.width}×{context.height} pixels; at most {LARGEST} a side")
        context.thread_count = 1
        context.options = {"max_pixels": str(video.MAX_PIXELS)}
        promised, fps = stream.frames, float(stream.average_rate or 0)
        for packet in opened.demux(stream):
            shown = _is_shown(packet, context.name)
            packets += packet.size > 0 and shown
            skipped += packet.size > 0 and not shown
            damaged += packet.is_corrupt
            for frame in packet.decode():
                num_frames += 1
                damaged += frame.is_corrupt
                turned = video.quarter_turns(frame) % 2
                size = (frame.height, frame.width) if turned else (frame.width, frame.height)
                if not sizes or sizes[-1] != size:
                    sizes.append(size)
    if not num_frames:
        return Finding(UNDECODABLE, f"no frame could be decoded of {promised} promised")
    found = Finding(OK, "", num_frames, fps, *sizes[0])
    if len(sizes) > 1:
        return replace(
            found, status=WRONG_SIZE, reason="frame size changes: " + ", ".join(f"{w}×{h}" for w, h in sizes)
        )
    if min(sizes[0]) < SMALLEST:
        return replace(
            found, status=WRONG_SIZE, reason=f"{sizes[0][0]}×{sizes[0][1]} pixels; at least {SMALLEST} a side"
        )
    if damaged:
        return replace(found, status=UNDECODABLE, reason=f"{damaged} of {packets} packets or frames are damaged")
    if packets > num_frames:
        return replace(found, status=UNDECODABLE, reason=f"{packets} packets give {num_frames} frames only")
    promised -= skipped
    if promised > num_frames and (structure is None or structure.frames != num_frames):
        return replace(found, status=TRUNCATED, reason=f"{promised} frames promised, {num_frames} decoded")
    if num_frames < SHORT_FRAMES:
        return replace(
            found, status=SHORT, reason=f"{num_frames} frames, fewer than one clip; the last one is repeated"
        )
    return found
