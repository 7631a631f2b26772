"""What a video file's container says of its own completeness, read off its structure alone (AVI, MP4, Matroska)."""

import os
from dataclasses import dataclass
from pathlib import Path

EBML, SEGMENT, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"


@dataclass(frozen=True)
class Structure:
    """The chain of a file's chunks.

    ``fault`` says where the chain breaks, empty if it doesn't; ``frames`` counts the video chunks found in an unbroken
    AVI (None where the format doesn't show them).
    """

    fault: str
    frames: int | None = None


class _Bytes:
    """A file's bytes, read piece by piece: it may be larger than the memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._size = descriptor, os.fstat(descriptor).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        return os.pread(self._descriptor, max(part.stop - part.start, 0), part.start)


def inspect(path: Path) -> Structure | None:
    """Walk a file's chunks from its first to its last byte; None for a format this function doesn't know."""
    if path.stat().st_size < 12:
        return None
    with path.open("rb") as file:
        data = _Bytes(file.fileno())
        start = data[0:12]
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return _avi(data)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
            return _mp4(data)
        if start[:4] == EBML:
            return _matroska(data)
    return None


def _avi(data: _Bytes) -> Structure:
    frames, stack = 0, [(0, len(data))]  # spans still to walk; lists are entered, everything else is stepped over
    while stack:
        at, end = stack.pop()
        while at + 8 <= end:
            head = data[at : at + 8]
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if at + 8 + size > end:
                return Structure(f"chunk {_printable(name)} at byte {at} ends {at + 8 + size - end} bytes too late")
            after = at + 8 + size + size % 2
            if name in (b"RIFF", b"LIST"):
                kind = data[at + 8 : at + 12]
                if kind in (b"AVI ", b"AVIX", b"movi", b"rec "):
                    stack.append((after, end))
                    at, end = at + 12, at + 8 + size
                    continue
            elif name == b"idx1":
                entries = data[at + 8 : at + 8 + size]
                indexed = sum(entries[i + 2 : i + 4] in (b"dc", b"db") for i in range(0, size - 15, 16))
                if indexed < frames:  # of the frames before it: a large file's later parts have indices of their own
                    return Structure(f"the index names {indexed} of {frames} frames")
            elif name[2:] in (b"dc", b"db"):
                if not name[:2].isdigit():
                    return Structure(f"no chunk name at byte {at}: {_printable(name)}")
                frames += size > 0
            elif not all(32 <= letter < 127 for letter in name):
                return Structure(f"no chunk name at byte {at}: {_printable(name)}")
            at = after
        if at < end and any(data[at:end]):
            return Structure(f"{end - at} stray bytes at byte {at}")
    return Structure("", frames)


def _mp4(data: _Bytes) -> Structure:
    at, names = 0, set()
    while at + 8 <= len(data):
        head = data[at : at + 16]
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        elif size == 0:
            size = len(data) - at
        if size < 8:
            return Structure(f"box {_printable(name)} at byte {at} has an impossible size")
        if at + size > len(data):
            return Structure(
                f"box {_printable(name)} at byte {at} ends {at + size - len(data)} bytes past the file's end"
            )
        names.add(name)
        at += size
    if at < len(data):
        return Structure(f"{len(data) - at} stray bytes at the file's end")
    return Structure("" if b"moov" in names else "no index (moov box)")


def _matroska(data: _Bytes) -> Structure:
    at, ends = 0, [len(data)]  # ends of the elements that were entered, the file's first
    while at < len(data):
        while at >= ends[-1]:
            ends.pop()
        name, after = _number(data, at, marked=True)
        size, body = _number(data, after, marked=False)
        if not 1 <= len(name) <= 4 or not size:
            return Structure(f"no element at byte {at}")
        endless = all(byte == 255 for byte in size[1:]) and size[0] == (1 << (8 - len(size))) - 1
        end = ends[-1] if endless else body + int.from_bytes(size, "big")
        if end > ends[-1]:
            return Structure(f"element {name.hex()} at byte {at} ends {end - ends[-1]} bytes too late")
        if name in (SEGMENT, CLUSTER):
            if end > body:
                ends.append(end)
            at = body
        elif len(ends) == 1 and name != EBML and name != b"\xec":  # beside the segment: a header or padding only
            return Structure(f"stray bytes at byte {at}")
        else:
            at = end
    return Structure("")


def _number(data: _Bytes, at: int, marked: bool) -> tuple[bytes, int]:
    """Read a variable-length number (ids keep their length marker) and the position after it; empty at a fault."""
    head = data[at : at + 8]
    length = 9 - head[0].bit_length() if head else 9
    if length > len(head):
        return b"", at
    first = head[0] if marked else head[0] & ((1 << (8 - length)) - 1)
    return bytes([first]) + head[1:length], at + length


def _printable(name: bytes) -> str:
    return repr(name.decode("latin-1"))
