"""Write archives of stored (uncompressed) members: zip, tar, tar.gz, and RAR by the published format descriptions."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

KINDS = ("zip", "tar", "tgz", "rar4", "rar5")


def pack(kind: str, path: Path, files: dict, links=None, *, encrypted=False, volume=False) -> Path:
    """``files`` maps names to bytes (None, in a RAR: a folder), ``links`` to targets; the flags mark RAR headers."""
    if kind.startswith("rar"):
        path.write_bytes(_rar(int(kind[3]), files, links or {}, encrypted, volume))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(zipfile.ZipInfo(name), content)
            for name, target in (links or {}).items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                file.writestr(info, target)
    else:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as file:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
            for name, target in (links or {}).items():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, target
                file.addfile(info)
        path.write_bytes(gzip.compress(raw.getvalue(), 0) if kind == "tgz" else raw.getvalue())
    return path


def packed(kind: str, scratch: Path, files: dict) -> bytes:
    """Return an archive's bytes."""
    return pack(kind, scratch, files).read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _rar(version: int, files: dict, links: dict, encrypted: bool, volume: bool) -> bytes:
    block, end = (_block4, b"\xc4\x3d\x7b\x00\x40\x07\x00") if version == 4 else (_block5, _seal5(b"\x05\x00\x00"))
    data = b"Rar!\x1a\x07\x00" if version == 4 else b"Rar!\x1a\x07\x01\x00"
    data += _seal4(0x73, int(volume), bytes(6)) if version == 4 else _seal5(bytes([1, 0, int(volume)]))
    for name, content in files.items():
        data += block(name.encode(), content, None, encrypted)
    for name, target in links.items():
        data += block(name.encode(), b"", target.encode(), encrypted)
    return data + end


def _seal4(kind: int, flags: int, body: bytes) -> bytes:
    header = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header


def _block4(name, content, target, encrypted) -> bytes:
    flags = 0x8000 | (0xE0 if content is None else 0) | (0x04 if encrypted else 0) | (0 if name.isascii() else 0x200)
    mode = 0x10 if content is None else 0o120777 if target else 0o100644
    data = target or content or b""
    name = name.replace(b"/", b"\\")  # as RAR writes them, whatever the system
    date = (2020 - 1980) << 25 | 1 << 21 | 1 << 16
    fields = (len(data), len(data), 2 if content is None else 3, zlib.crc32(data), date, 20, 0x30, len(name), mode)
    return _seal4(0x74, flags, struct.pack("<LLBLLBBHL", *fields) + name) + data


def _vint(number: int) -> bytes:
    digits = b""
    while number > 0x7F:
        digits += bytes([number & 0x7F | 0x80])
        number >>= 7
    return digits + bytes([number])


def _seal5(body: bytes) -> bytes:
    header = _vint(len(body)) + body
    return struct.pack("<L", zlib.crc32(header)) + header


def _block5(name, content, target, encrypted) -> bytes:
    data, folder = content or b"", content is None
    extra = b""
    for record in ([b"\x01\x00\x00\x0f" + bytes(32)] if encrypted else []) + (
        [b"\x05\x01\x00" + _vint(len(target)) + target] if target else []
    ):
        extra += _vint(len(record)) + record
    body = b"\x02" + _vint(2 | bool(extra)) + (_vint(len(extra)) if extra else b"") + _vint(len(data))
    body += _vint(1 if folder else 4) + _vint(len(data)) + _vint(0x10 if folder else 0o100644)
    body += b"" if folder else struct.pack("<L", zlib.crc32(data))
    return _seal5(body + _vint(0) + _vint(0 if folder else 1) + _vint(len(name)) + name + extra) + data
