"""Fetch a file from the first address that gives it: resumed after cuts, verified, never half under its final name."""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from mac.data import checksum

BLOCK, LONGEST_PAUSE, REPORT_EVERY = 256 * 1024, 60.0, 30.0  # bytes, seconds, seconds


class DownloadError(Exception):
    """A file can't be had, or isn't the one that is wanted; the message says why and what to do."""


class DiskFullError(Exception):
    """A file doesn't fit; the message says where, how much is needed and how much is free."""


class _AddressError(Exception):
    """What is wrong with an address, and the seconds it wants to be left alone; None where waiting won't help."""


@dataclass(frozen=True)
class Remote:
    """A file's name, its addresses in order of preference, and its bytes and SHA-256 where they are pinned."""

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


def fetch(
    remote: Remote, folder: Path, *, reserve: int = 0, timeout: float = 30.0, attempts: int = 6, pause: float = 1.0
) -> Path:
    """Return ``folder/name``: the file that lies there already, else the one that the first working address gives.

    ``reserve`` bytes must stay free. ``timeout`` is the longest silence, in seconds. An address is given up after
    ``attempts`` tries in a row without a new byte, which stand ``pause`` seconds apart and then ever longer.

    Raises:
        DownloadError: no address gave the file.
        mac.data.checksum.ChecksumError: the file that lies there is another than the pinned or recorded one.
        DiskFullError: the file and the reserve don't fit; what has arrived is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, lock = folder / remote.name, folder / f".{remote.name}.lock"
    if not path.exists():
        console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
        bar = Progress(*columns, console=console, disable=not console.is_terminal)
        with lock.open("w") as held, bar:
            with contextlib.suppress(OSError):  # on a file system without locks nobody can wait
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    console.print(f"{path}: waiting for another process that is downloading it")
                    fcntl.flock(held, fcntl.LOCK_EX)
            if not path.exists():
                _Download(remote, path, bar, reserve, timeout).complete(attempts, pause)
            lock.unlink(missing_ok=True)  # the file is there: nobody needs the lock again
    checksum.verify(path, remote.sha256)
    return path


class _Download:
    """One file on its way into a partial file that nobody else writes."""

    def __init__(self, remote: Remote, path: Path, bar: Progress, reserve: int, timeout: float) -> None:
        self.remote, self.path, self.bar, self.reserve, self.timeout = remote, path, bar, reserve, timeout
        self.partial, self.notes = (path.with_name(f".{path.name}.partial{end}") for end in ("", ".json"))
        self.partial.touch()
        self.known = remote.sha256 or checksum.recorded(path)
        self.task, self.received, self.since, self.due = bar.add_task(path.name), 0, time.monotonic(), 0.0

    def complete(self, attempts: int, pause: float) -> None:
        """Try the addresses, the one that the partial file came from first, until the file is in place."""
        reasons, begun = [], self._begun("")[1].get("url")
        for url in sorted(self.remote.urls, key=lambda url: url != begun):
            failures, self.furthest, self.restarted = 0, self._begun(url)[0], False
            while True:
                try:
                    self._receive(url)
                    return self._place()
                except _AddressError as error:
                    reason, after = error.args
                except OSError as error:
                    full = DiskFullError(f"{self.path}: {error} — make room and try again; what has arrived is kept")
                    raise full if error.errno in (errno.ENOSPC, errno.EDQUOT) else error  # noqa: B904
                arrived = self._begun(url)[0]
                failures = 0 if arrived > self.furthest else failures + 1  # the same bytes again are no progress
                self.furthest = max(arrived, self.furthest)
                if after is None or failures >= attempts:
                    break
                wait = min(max(pause * 2 ** max(failures - 1, 0), after), LONGEST_PAUSE)
                self.bar.console.print(f"{url}: {reason}; next attempt in {wait:.1f} s, from {arrived / 1e6:.1f} MB on")
                time.sleep(wait)
            reasons.append(f"\n  • {url}: {reason}")
        way = f"Try again (what has arrived is kept), or put the file at {self.path} yourself"
        raise DownloadError(f"{self.path}: no address gave the file:{''.join(reasons) or ' none is known'}\n{way}")

    def _begun(self, url: str) -> tuple[int, dict]:
        """Count the bytes that a request to an address may go on from, and tell what is known of their origin."""
        size, origin = self.partial.stat().st_size, {}
        with contextlib.suppress(OSError, ValueError):
            origin = json.loads(self.notes.read_text(encoding="utf-8")) if size else {}
        same = origin.get("url") == url
        return size if same or self.known else 0, origin if same else origin | {"validator": None}

    def _receive(self, url: str) -> None:
        offset, origin = self._begun(url)
        validator = origin.get("validator") or "W/"  # a weak one may only be compared
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        headers |= {} if validator.startswith("W/") else {"If-Range": validator}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._take(response, url, offset, origin)
        except (requests.RequestException, HTTPError) as error:
            text = str(error)
            hopeless = isinstance(error, ValueError) or "CERTIFICATE_VERIFY_FAILED" in text
            text = f"silent for {self.timeout:g} s" if "timed out" in text else text.rpartition(": ")[2].rstrip("\"')")
            raise _AddressError(text, None if hopeless else 0.0) from None

    def _take(self, response: requests.Response, url: str, offset: int, origin: dict) -> None:
        """Judge an answer by its head, before anything is thrown away for it; then append its body."""
        head, code, size = response.headers, response.status_code, self.remote.size
        if code not in (200, 206, 416):
            after = re.match(r"\d*", head.get("Retry-After", ""))[0] or "0"  # a date would need a clock that agrees
            passing = code in (408, 425, 429) or code >= 500
            raise _AddressError(f"HTTP {code} {response.reason}", float(after) if passing else None)
        start, total = re.match(r"(?:bytes (?:(\d+)-\d+|\*)/(\d+))?", head.get("Content-Range", "")).groups()
        if code == 200:
            offset, total = 0, response.raw.length_remaining  # None where the body is chunked
        total = size if total is None else int(total)
        if code == 416 and offset and (self.known if total is None else total == offset):
            return
        fresh = {"url": url, "total": total, "validator": head.get("ETag") or head.get("Last-Modified")}
        changed = any(origin.get(key) and fresh[key] and origin[key] != fresh[key] for key in ("total", "validator"))
        if code == 416 or (code == 206 and (start != str(offset) or changed)):
            os.truncate(self.partial, 0)
            raise _AddressError(f"HTTP {code} with another file or part than asked for", 0.0)
        if size not in (None, total):
            raise _AddressError(f"announces {total} bytes — {size} are wanted", None)
        page, endless = "text/html" in head.get("Content-Type", ""), total is None and "Transfer-Encoding" not in head
        if size is None and not self.known and (page or endless):
            raise _AddressError("sends a web page" if page else "sends no length: a cut would pass for the end", None)
        needed = max((total or 0) - self.partial.stat().st_size, 0) + self.reserve
        if needed > (free := shutil.disk_usage(self.path.parent).free):
            found = f"{needed / 1e6:.1f} MB needed ({self.reserve / 1e6:.1f} as reserve), {free / 1e6:.1f} MB free"
            raise DiskFullError(f"{self.path}: {found} — make room or choose another folder; what has arrived is kept")
        with self.partial.open("ab", buffering=0) as file:
            file.truncate(offset)
            self.notes.write_text(json.dumps(fresh), encoding="utf-8")
            self._tell(offset, total)
            while block := response.raw.read1(BLOCK, decode_content=False):
                offset += len(block)
                if total is not None and offset > total:
                    file.truncate(0)
                    raise _AddressError(f"goes on past the {total} bytes that are wanted", None)
                self._tell(offset, total, len(block))
                while block:
                    block = block[file.write(block) :]
        if total is not None and offset < total:
            raise _AddressError(f"ended after {offset} of {total} bytes", 0.0)

    def _tell(self, done: int, total: int | None, new: int = 0, last: bool = False) -> None:
        self.bar.update(self.task, completed=done, total=total)
        self.received, now = self.received + new, time.monotonic()
        if self.bar.disable and (last or now >= self.due):
            self.due, rate = now + REPORT_EVERY, self.received / 1e6 / max(now - self.since, 1e-9)
            whole = f"{total / 1e6:.1f}" if total else "?"
            self.bar.console.print(f"{self.path.name}: {done / 1e6:.1f} of {whole} MB, {rate:.1f} MB/s")

    def _place(self) -> None:
        """Move what has arrived to its final name if it is what is wanted; else throw it away."""
        size, digest = self.partial.stat().st_size, checksum.compute(self.partial)
        if self.remote.size not in (None, size) or self.known not in ("", digest):
            os.truncate(self.partial, 0)
            last, self.restarted, self.furthest = self.restarted, True, 0
            pin = "pinned" if self.remote.sha256 else f"recorded in {self.path.name}.sha256"
            wanted = f"{self.known} is {pin}" if self.known else f"{self.remote.size} are wanted"
            raise _AddressError(f"sent {size} bytes with SHA-256 {digest} — {wanted}", None if last else 0.0)
        _sync(self.partial)
        _sync(self.partial.replace(self.path).parent)
        checksum.record(self.path, digest)
        self.notes.unlink(missing_ok=True)
        self._tell(size, size, last=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
