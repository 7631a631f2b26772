"""Checksums of fetched files: pinned in the catalog, or recorded at the first download and enforced afterwards."""

import contextlib
import hashlib
import re
from pathlib import Path

from mac.runtime.atomic import write_text


class ChecksumError(Exception):
    """A file isn't the one that is wanted; the message gives both digests and the ways out."""


def record(path: Path, digest: str = "") -> str:
    """Write a file's SHA-256 (``digest``, where just computed) into ``NAME.sha256``, as ``sha256sum -c`` reads it."""
    digest = digest or compute(path)
    write_text(path.with_name(f"{path.name}.sha256"), _entry(path, digest))
    return digest


def recorded(path: Path) -> str:
    """Read a file's recorded SHA-256; empty where there is none.

    Raises:
        ChecksumError: the record is malformed.
    """
    return _read(path)[1]


def verify(path: Path, sha256: str | None = None) -> str:
    """Check a file against its pinned SHA-256, else the recorded one; record it if neither is there.

    Raises:
        ChecksumError: the content is another, or the record is malformed.
    """
    text, known = _read(path)
    wanted = sha256 or known
    digest = wanted if text == _entry(path, wanted) else compute(path)
    if wanted and digest != wanted:
        origin, way = ("pinned", "pin the new one") if sha256 else ("recorded", f"delete {path.name}.sha256")
        way = f"delete the file to fetch it again, or {way} if the new content is meant"
        raise ChecksumError(f"{path}: found SHA-256 {digest} — {wanted} is {origin} — {way}")
    with contextlib.suppress(OSError):  # the folder may be one that others own
        record(path, digest)
    return digest


def compute(path: Path) -> str:
    """Compute a file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> tuple[str, str]:
    sidecar = path.with_name(f"{path.name}.sha256")
    text = sidecar.read_text(encoding="utf-8") if sidecar.exists() else ""
    if found := re.fullmatch(r"(?:#.*\n)?([0-9a-f]{64}) .*\n?|", text):
        return text, found[1] or ""
    raise ChecksumError(f"{sidecar}: found {text[:80]!r} — a line of sha256sum is wanted — correct or delete it")


def _entry(path: Path, digest: str) -> str:
    """Phrase a sidecar; its comment tells an unchanged file, which needn't be read again."""
    return f"# {path.stat().st_size} bytes, changed at {path.stat().st_mtime_ns} ns\n{digest}  {path.name}\n"
