"""Download a file from the first address that gives it: resumed after cuts, verified, named only when complete."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from mac.data.catalog import Archive
from mac.runtime.atomic import write_text

BLOCK, LONGEST_PAUSE, REPORT_EVERY = 256 * 1024, 60.0, 30.0  # bytes, seconds, seconds


class DownloadError(Exception):
    """No address gave the file; the message gives each address's reason and what to do."""


class ChecksumError(Exception):
    """A file has another SHA-256 than the pinned or recorded one; the message gives both and the ways out."""


class DiskFullError(Exception):
    """A file doesn't fit; the message says where, how much is needed and how much is free."""


class _AddressError(Exception):
    """What is wrong with an address, and how many seconds to wait before the next attempt; None for no further one."""


def verify(path: Path, sha256: str | None = None) -> None:
    """Check a file against its pinned SHA-256, else the one recorded in ``NAME.sha256``; record it there.

    Raises:
        ChecksumError: the content is another, or the record is malformed.
    """
    wanted, digest = sha256 or _recorded(path), _digest(path)
    if wanted not in ("", digest):
        origin, way = ("pinned", "pin the new one") if sha256 else ("recorded", f"delete {path.name}.sha256")
        way = f"delete the file to fetch it again, or {way} if the new content is meant"
        raise ChecksumError(f"{path}: found SHA-256 {digest} — {wanted} is {origin} — {way}")
    with contextlib.suppress(OSError):  # the folder may belong to somebody else
        _record(path, digest)


def _record(path: Path, digest: str) -> None:
    write_text(path.with_name(f"{path.name}.sha256"), f"{digest}  {path.name}\n")  # as sha256sum -c reads it


def _recorded(path: Path) -> str:
    sidecar = path.with_name(f"{path.name}.sha256")
    text = sidecar.read_text(encoding="utf-8") if sidecar.exists() else ""
    if found := re.match(r"(?:#.*\n)?([0-9a-f]{64}) |$", text):
        return found[1] or ""
    raise ChecksumError(f"{sidecar}: found {text[:80]!r} — a line of sha256sum is wanted — correct or delete it")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    wanted: Archive, folder: Path, *, reserve: int = 0, timeout: float = 30.0, attempts: int = 6, pause: float = 1.0
) -> Path:
    """Return the path of a file: it is used if it is in the folder, else downloaded; only one process may do so.

    ``reserve`` bytes must stay free. ``timeout`` is the longest silence, in seconds. An address is given up after
    ``attempts`` tries in a row without a new byte; the pauses between them grow, from ``pause`` seconds on.

    Raises:
        DownloadError: no address gave the file.
        ChecksumError: the file in the folder has another SHA-256 than the pinned or recorded one.
        DiskFullError: the file and the reserve don't fit; what has arrived is kept.
    """
    path = folder / wanted.file
    if path.exists():
        verify(path, wanted.sha256)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, markup=False, soft_wrap=True)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            _Download(wanted, path, bar, reserve, timeout).complete(attempts, pause)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(f"{path}: {error} — make room and try again; what has arrived is kept") from None
    return path


class _Download:
    """A file that arrives in a partial file; the notes beside it say from which address its bytes are."""

    def __init__(self, wanted: Archive, path: Path, bar: Progress, reserve: int, timeout: float) -> None:
        self.wanted, self.path, self.bar, self.reserve, self.timeout = wanted, path, bar, reserve, timeout
        self.partial, self.notes = (path.with_name(f".{path.name}.partial{end}") for end in ("", ".json"))
        self.partial.touch()
        self.known = wanted.sha256 or _recorded(path)
        self.task, self.due = bar.add_task(path.name), 0.0

    def complete(self, attempts: int, pause: float) -> None:
        """Try the addresses, the one that the partial file came from first, until the file is in place."""
        reasons, begun = [], self._begun("")[1].get("url")
        for url in sorted(self.wanted.urls, key=lambda url: url != begun):
            failures, furthest, wrong = 0, self._begun(url)[0], 0
            while True:
                try:
                    self._receive(url)
                    if not (reason := self._place()):
                        return
                    furthest, wrong = 0, wrong + 1
                    after = 0.0 if wrong == 1 else None  # an error on the way may not come again
                except _AddressError as error:
                    reason, after = error.args
                arrived = self._begun(url)[0]
                failures = 0 if arrived > furthest else failures + 1  # the same bytes again are no progress
                furthest = max(arrived, furthest)
                if after is None or failures >= attempts:
                    break
                wait = min(max(pause * 2 ** max(failures - 1, 0), after), LONGEST_PAUSE)
                self.bar.console.print(f"{url}: {reason}; next attempt in {wait:.1f} s, from {arrived / 1e6:.1f} MB on")
                time.sleep(wait)
            reasons.append(f"\n  • {url}: {reason}")
        way = f"Try again (what has arrived is kept), or put the file at {self.path} yourself"
        raise DownloadError(f"{self.path}: no address gave the file:{''.join(reasons)}\n{way}")

    def _begun(self, url: str) -> tuple[int, dict]:
        """Count the bytes after which an address may go on, and return what is noted of their origin."""
        size, origin = self.partial.stat().st_size, {}
        with contextlib.suppress(OSError, ValueError):
            origin = json.loads(self.notes.read_text(encoding="utf-8")) if size else {}
        same = origin.get("url") == url
        return size if same or self.known else 0, origin if same else origin | {"validator": None}

    def _receive(self, url: str) -> None:
        offset, origin = self._begun(url)
        if offset and offset == (self.wanted.size or origin.get("total")):
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        if (validator := origin.get("validator") or "W/")[:2] != "W/":  # HTTP allows no weak validator in If-Range
            headers["If-Range"] = validator
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._save(response, *self._judge(response, url, offset, origin))
        except (requests.RequestException, HTTPError) as error:
            text = str(error)
            text = f"silent for {self.timeout:g} s" if "timed out" in text else text.rpartition(": ")[2].rstrip("\"')")
            raise _AddressError(text, None if isinstance(error, requests.exceptions.SSLError) else 0.0) from None

    def _judge(self, response: requests.Response, url: str, offset: int, origin: dict) -> tuple[int, dict]:
        """Check an answer's head before anything is thrown away; return where its body begins and what to note."""
        head, code, size = response.headers, response.status_code, self.wanted.size
        if code not in (200, 206, 416):
            after = re.match(r"\d*", head.get("Retry-After", ""))[0] or "0"  # seconds; a date is taken for 0
            passing = code in (408, 425, 429) or code >= 500
            raise _AddressError(f"HTTP {code} {response.reason}", float(after) if passing else None)
        start, total = 0, response.raw.length_remaining or size  # None where the body is chunked
        if code == 206 and (part := re.fullmatch(r"bytes (\d+)-\d+/(\d+)", head.get("Content-Range", ""))):
            start, total = int(part[1]), int(part[2])
        notes = {"url": url, "total": total, "validator": head.get("ETag") or head.get("Last-Modified")}
        changed = any(origin.get(key) and notes[key] and origin[key] != notes[key] for key in ("total", "validator"))
        if code == 416 or (code == 206 and (start != offset or changed)):
            os.truncate(self.partial, 0)
            raise _AddressError(f"HTTP {code} with another file or part than asked for", 0.0)
        if size not in (None, total):
            raise _AddressError(f"announces {total} bytes — {size} are wanted", None)
        page, endless = "text/html" in head.get("Content-Type", ""), total is None and "Transfer-Encoding" not in head
        if size is None and not self.known and (page or (endless and head.get("Content-Length") != "0")):
            raise _AddressError("sends a web page" if page else "sends no length: a cut would pass for the end", None)
        needed = max((total or 0) - self.partial.stat().st_size, 0) + self.reserve
        if needed > (free := shutil.disk_usage(self.path.parent).free):
            found = f"{needed / 1e6:.1f} MB needed ({self.reserve / 1e6:.1f} as reserve), {free / 1e6:.1f} MB free"
            raise DiskFullError(f"{self.path}: {found} — make room or choose another folder; what has arrived is kept")
        return start, notes

    def _save(self, response: requests.Response, offset: int, notes: dict) -> None:
        total = notes["total"]
        with self.partial.open("ab", buffering=0) as file:
            file.truncate(offset)
            self.notes.write_text(json.dumps(notes), encoding="utf-8")
            while block := response.raw.read1(BLOCK, decode_content=False):
                self._tell(offset, total)
                offset += len(block)
                if total is not None and offset > total:
                    file.truncate(0)
                    raise _AddressError(f"goes on past the {total} bytes that are wanted", None)
                while block:
                    block = block[file.write(block) :]
        if total is not None and offset < total:
            raise _AddressError(f"ended after {offset} of {total} bytes", 0.0)

    def _tell(self, done: int, total: int | None) -> None:
        self.bar.update(self.task, completed=done, total=total)
        if self.bar.disable and time.monotonic() >= self.due:
            self.due = time.monotonic() + REPORT_EVERY
            self.bar.console.print(f"{self.path.name}: {done / 1e6:.1f} of {(total or 0) / 1e6:.1f} MB")

    def _place(self) -> str:
        """Give the partial file its final name if it is what is wanted; else empty it and return what is wrong."""
        size, digest = self.partial.stat().st_size, _digest(self.partial)
        if self.wanted.size not in (None, size) or self.known not in ("", digest):
            os.truncate(self.partial, 0)
            pin = "pinned" if self.wanted.sha256 else f"recorded in {self.path.name}.sha256"
            wanted = f"{self.known} is {pin}" if self.known else f"{self.wanted.size} are wanted"
            return f"sent {size} bytes with SHA-256 {digest} — {wanted}"
        with self.partial.open("rb") as file:
            os.fsync(file.fileno())
        self.partial.replace(self.path)
        _record(self.path, digest)
        self.notes.unlink(missing_ok=True)
        self.due = 0.0
        self._tell(size, size)
        return ""
