"""Downloads from a server on this machine that misbehaves as scripted."""

import hashlib
import itertools
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mac.data import download
from mac.data.catalog import Archive
from mac.data.download import ChecksumError, DiskFullError, DownloadError, verify
from mac.data.download import download as fetch

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(6 * MIB + 4321)
NAME = "videos.tar"
QUICK = {"timeout": 5.0, "pause": 0.01}


def named(*urls, **pinned):
    return Archive(file=NAME, urls=list(urls), **pinned)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@dataclass
class Answer:
    """One answer of the server; the default is a good one."""

    status: int = 200
    content: bytes = CONTENT
    headers: dict = field(default_factory=dict)
    etag: str | None = '"first"'
    ranges: bool = True
    heeds_if_range: bool = True
    part: int | None = None  # longest range given at once
    shift: int = 0  # so much later than asked a range begins
    chunked: bool = False
    cut_at: int | None = None  # position in the file where the connection goes
    reset: bool = False
    stall_at: int | None = None
    rate: float | None = None  # bytes a second


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        with server.guard:
            server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
            server.encodings.add(self.headers.get("Accept-Encoding"))
            answer = next(server.answers.get(self.path, iter(())), Answer())
        if answer.status != 200:
            self.head(answer.status, answer.headers | {"Content-Length": "0"})
            return
        first, size = 0, len(answer.content)
        asked = self.headers.get("Range")
        same = not answer.heeds_if_range or self.headers.get("If-Range") in (None, answer.etag)
        if asked and answer.ranges and same:
            first = int(asked.removeprefix("bytes=").removesuffix("-")) + answer.shift
            if first >= size:
                self.head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                return
        headers = dict(answer.headers)
        if answer.etag:
            headers["ETag"] = answer.etag
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        last = size if answer.part is None or not first else min(size, first + answer.part)
        if not answer.chunked and "Connection" not in headers:
            headers["Content-Length"] = str(last - first)
        if first:
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
        self.head(206 if first else 200, headers)
        self.send_body(answer, first, last)

    def head(self, status, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def send_body(self, answer, first, last):
        end = last if answer.cut_at is None else min(answer.cut_at, last)
        try:
            while first < end:
                if answer.stall_at is not None and first >= answer.stall_at:
                    self.server.closing.wait(3)
                    break
                block = answer.content[first : min(first + 32768, end)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if answer.chunked else block)
                first += len(block)
                with self.server.guard:
                    self.server.sent += len(block)
                if answer.rate:
                    time.sleep(len(block) / answer.rate)
            if answer.chunked and end == last:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            end = 0
        if end < last or answer.stall_at is not None or "Connection" in answer.headers:
            self.close_connection = True
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what it counts as sent has left it
        self.guard, self.closing = threading.Lock(), threading.Event()
        self.answers, self.requests, self.encodings, self.sent = {}, [], set(), 0

    def handle_error(self, *_):
        pass

    def script(self, path, *answers, forever=None):
        """Give these answers to a path, then ``forever`` (or good ones)."""
        self.answers[path] = itertools.chain(answers, itertools.repeat(forever) if forever else ())
        return self.url(path)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def asked(self, path):
        return [request[1] for request in self.requests if request[0] == path]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.closing.set()
    running.shutdown()
    running.server_close()


def complete(path, content=CONTENT):
    """The file is right, its checksum stands beside it, and nothing else is left."""
    assert path.read_bytes() == content
    assert sorted(p.name for p in path.parent.iterdir()) == [NAME, f"{NAME}.sha256"]
    assert subprocess.run(["sha256sum", "--strict", "-c", f"{NAME}.sha256"], cwd=path.parent).returncode == 0
    return True


@pytest.mark.parametrize("reset", [False, True])
def test_twenty_cuts_in_a_row_cost_less_than_a_mebibyte_each(server, tmp_path, reset):
    places = sorted(random.Random(7).sample(range(1, len(CONTENT)), 20))
    url = server.script("/a", *[Answer(cut_at=place, reset=reset) for place in places])
    assert complete(fetch(named(url), tmp_path, **QUICK | {"attempts": 3}))
    assert len(server.requests) >= 21
    assert server.sent - len(CONTENT) <= 20 * MIB
    assert server.sent - len(CONTENT) <= (20 * 65536 * 3 if reset else 0)
    assert all(etag == '"first"' for _, asked, etag in server.requests if asked)
    assert server.encodings == {"identity"}


def test_a_server_without_ranges_is_asked_again_from_zero(server, tmp_path):
    cuts = [Answer(ranges=False, cut_at=place) for place in (2 * MIB, MIB, 3 * MIB)]
    url = server.script("/a", *cuts, forever=Answer(ranges=False))
    assert complete(fetch(named(url), tmp_path, **QUICK))
    assert server.asked("/a")[1] == f"bytes={2 * MIB}-"


def test_the_same_bytes_again_are_no_progress(server, tmp_path):
    url = server.script("/a", forever=Answer(ranges=False, cut_at=100_000))
    with pytest.raises(DownloadError, match="no address gave the file"):
        fetch(named(url), tmp_path, attempts=4, **QUICK)
    assert len(server.requests) == 5


def test_a_wrong_announced_length_sends_to_the_next_address_and_costs_nothing(server, tmp_path):
    bad = server.script("/bad", forever=Answer(content=CONTENT[:-1]))
    remote = named(bad, server.url("/good"), size=len(CONTENT))
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT[:MIB])
    (tmp_path / f".{NAME}.partial.json").write_text(f'{{"url": "{server.url("/good")}"}}')
    assert complete(fetch(remote, tmp_path, **QUICK))
    assert server.asked("/good") == [f"bytes={MIB}-"]
    with pytest.raises(DownloadError, match=f"{bad}: announces {len(CONTENT) - 1} bytes — {len(CONTENT)} are wanted"):
        fetch(named(bad, size=len(CONTENT)), tmp_path / "other", **QUICK)
    assert len(server.asked("/bad")) == 1


def test_a_body_that_goes_on_past_the_wanted_size_is_refused(server, tmp_path):
    bad = server.script("/bad", forever=Answer(content=CONTENT + b"more", chunked=True))
    assert complete(fetch(named(bad, server.url(), size=len(CONTENT)), tmp_path, **QUICK))
    assert len(server.asked("/bad")) == 1


def test_wrong_bytes_are_fetched_once_more_from_zero(server, tmp_path):
    wrong = CONTENT[:-1] + b"!"
    url = server.script("/a", Answer(content=wrong))
    assert complete(fetch(named(url, sha256=sha256(CONTENT)), tmp_path, **QUICK))
    assert server.asked("/a") == [None, None]


def test_an_address_with_wrong_bytes_is_left_after_two_tries(server, tmp_path):
    bad = server.script("/bad", forever=Answer(content=CONTENT[:-1] + b"!"))
    remote = named(bad, server.url("/good"), sha256=sha256(CONTENT))
    assert complete(fetch(remote, tmp_path, **QUICK))
    assert server.asked("/bad") == [None, None]
    assert server.asked("/good") == [None]


@pytest.mark.parametrize("status", [403, 404, 410, 451])
def test_an_address_without_the_file_is_left_at_once(server, tmp_path, status):
    gone = server.script("/gone", forever=Answer(status=status))
    assert complete(fetch(named(gone, server.url()), tmp_path, **QUICK))
    assert len(server.asked("/gone")) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_tried_again(server, tmp_path, status):
    url = server.script("/a", Answer(status=status), Answer(status=status))
    assert complete(fetch(named(url), tmp_path, **QUICK))
    assert len(server.requests) == 3


def test_retry_after_is_honoured_and_capped(server, tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    url = server.script("/a", Answer(status=503, headers={"Retry-After": "1"}))
    started = time.monotonic()
    assert complete(fetch(named(url), tmp_path / "first", **QUICK))
    assert 1 <= time.monotonic() - started < 3
    monkeypatch.setattr(download, "LONGEST_PAUSE", 0.1)
    url = server.script("/b", *[Answer(status=429, headers={"Retry-After": "86400"})] * 2)
    started = time.monotonic()
    assert complete(fetch(named(url), tmp_path / "second", **QUICK))
    assert 0.2 <= time.monotonic() - started < 2


def test_pauses_grow(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    url = server.script("/a", *[Answer(status=503)] * 3)
    fetch(named(url), tmp_path, pause=2.0)
    assert pauses == [2.0, 4.0, 8.0]


def test_silence_ends_an_attempt(server, tmp_path):
    url = server.script("/a", Answer(stall_at=MIB))
    assert complete(fetch(named(url), tmp_path, timeout=0.3, pause=0.01))
    assert server.asked("/a") == [None, f"bytes={MIB}-"]


def test_a_web_page_is_not_an_archive(server, tmp_path):
    html = {"Content-Type": "text/html; charset=utf-8"}
    page = server.script("/page", forever=Answer(content=b"<html>please log in</html>", headers=html))
    assert complete(fetch(named(page, server.url()), tmp_path, **QUICK))
    url = server.script("/mislabelled", forever=Answer(headers=html))
    assert complete(fetch(named(url, sha256=sha256(CONTENT)), tmp_path / "pinned", **QUICK))


def test_without_an_announced_length_an_end_must_be_marked(server, tmp_path):
    endless = server.script("/a", forever=Answer(headers={"Connection": "close"}, cut_at=MIB))
    chunked = server.script("/b", Answer(chunked=True, cut_at=MIB), Answer(chunked=True))
    assert complete(fetch(named(endless, chunked), tmp_path, **QUICK))
    assert server.asked("/b") == [None, f"bytes={MIB}-"]


@pytest.mark.parametrize("heeds", [False, True])
def test_a_file_that_changed_meanwhile_is_started_again(server, tmp_path, heeds):
    """Some servers ignore If-Range and send the new file's rest."""
    new = Answer(content=random.Random(6).randbytes(len(CONTENT)), etag='"second"', heeds_if_range=heeds)
    url = server.script("/a", Answer(cut_at=MIB), forever=new)
    assert complete(fetch(named(url), tmp_path, **QUICK), new.content)
    assert server.asked("/a")[1] == f"bytes={MIB}-"


def test_a_file_whose_total_changed_is_started_again(server, tmp_path):
    new = random.Random(6).randbytes(len(CONTENT) + 1)
    url = server.script("/a", Answer(cut_at=MIB, etag=None), forever=Answer(content=new, etag=None))
    assert complete(fetch(named(url), tmp_path, **QUICK), new)


@pytest.mark.parametrize("shift", [1000, -1000])
def test_another_part_than_asked_for_is_not_taken(server, tmp_path, shift):
    url = server.script("/a", Answer(cut_at=MIB), Answer(shift=shift))
    assert complete(fetch(named(url), tmp_path, **QUICK))
    assert server.asked("/a") == [None, f"bytes={MIB}-", None]


def test_a_server_may_give_a_part_at_a_time(server, tmp_path):
    url = server.script("/a", Answer(cut_at=MIB), forever=Answer(part=2 * MIB))
    assert complete(fetch(named(url), tmp_path, **QUICK))
    assert server.sent == len(CONTENT)


def test_the_address_that_a_partial_file_came_from_comes_first(server, tmp_path):
    one = server.script("/one", Answer(status=404))
    two = server.script("/two", Answer(cut_at=MIB), *[Answer(status=500)] * 2)
    with pytest.raises(DownloadError):
        fetch(named(one, two), tmp_path, attempts=2, **QUICK)
    assert complete(fetch(named(one, two), tmp_path, **QUICK))
    assert server.asked("/one") == [None]
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize("pinned", [False, True])
def test_another_address_goes_on_only_where_a_checksum_can_tell(server, tmp_path, pinned):
    one = server.script("/one", Answer(cut_at=4 * MIB), forever=Answer(status=500))
    content = CONTENT if pinned else random.Random(8).randbytes(len(CONTENT))
    two = server.script("/two", forever=Answer(content=content, etag='"other"'))
    remote = named(one, two, sha256=sha256(CONTENT) if pinned else None)
    assert complete(fetch(remote, tmp_path, attempts=2, **QUICK), content)
    assert server.asked("/two") == [f"bytes={4 * MIB}-" if pinned else None]


def test_an_empty_file_is_a_file(server, tmp_path):
    url = server.script("/a", forever=Answer(content=b""))
    assert complete(fetch(named(url), tmp_path, **QUICK), b"")


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_whole_partial_file_needs_no_second_download_and_a_longer_one_does(server, tmp_path, more):
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT + more)
    assert complete(fetch(named(server.url(), size=len(CONTENT), sha256=sha256(CONTENT)), tmp_path, **QUICK))
    assert server.sent == (len(CONTENT) if more else 0)


PROCESS = """
import sys
from pathlib import Path
from mac.data.catalog import Archive
from mac.data.download import download
download(Archive(file=sys.argv[1], urls=[sys.argv[2]]), Path(sys.argv[3]), pause=0.01)
"""


def start(url, folder):
    return subprocess.Popen([sys.executable, "-c", PROCESS, NAME, url, str(folder)], stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_killed_process_loses_less_than_a_mebibyte(server, tmp_path):
    url = server.script("/a", forever=Answer(rate=8e6))
    moments = [1, *sorted(random.Random(9).sample(range(len(CONTENT)), 3)), len(CONTENT)]
    for kills, moment in enumerate(moments):
        with start(url, tmp_path) as process:
            wait_for(lambda sent=moment + kills * MIB // 8: server.sent >= sent or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
        path = tmp_path / NAME
        assert not path.exists() or path.read_bytes() == CONTENT
        assert moment == len(CONTENT) or not path.exists()
    assert fetch(named(url), tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.sent - len(CONTENT) <= len(moments) * MIB // 4
    verify(tmp_path / NAME, sha256(CONTENT))


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_full_disk_is_said_before_the_first_byte(server, tmp_path, monkeypatch, size):
    room = [len(CONTENT) + 999]
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": room[0]}))
    remote = named(server.url(), size=size)
    with pytest.raises(DiskFullError, match=r"7\.3 MB needed .* 6\.3 MB free") as caught:
        fetch(remote, tmp_path, reserve=1_000_000, **QUICK)
    assert str(tmp_path) in str(caught.value)
    assert not any(path.stat().st_size for path in tmp_path.glob(f".{NAME}.partial*"))
    room[0] += 1_000_000
    assert complete(fetch(remote, tmp_path, reserve=1_000_000, **QUICK))


def test_only_the_rest_needs_room(server, tmp_path, monkeypatch):
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT[:-MIB])
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": MIB}))
    assert complete(fetch(named(server.url(), size=len(CONTENT), sha256=sha256(CONTENT)), tmp_path, **QUICK))


def test_a_disk_that_fills_up_keeps_what_has_arrived(server, tmp_path):
    limited = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20));"
    limited += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import errno; errno.ENOSPC = errno.EFBIG;"
    command = [sys.executable, "-c", limited + PROCESS, NAME, server.url(), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "DiskFullError" in done.stderr.splitlines()[-1]
    assert str(tmp_path) in done.stderr
    assert (tmp_path / f".{NAME}.partial").read_bytes() == CONTENT[: 3 * MIB]
    assert complete(fetch(named(server.url()), tmp_path, **QUICK))
    assert server.requests[-1][1] == f"bytes={3 * MIB}-"


def test_a_file_put_there_is_used_as_it_is_and_held_to_its_checksum(server, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"my own")
    remote = named(server.url(), size=len(CONTENT))
    assert fetch(remote, tmp_path) == path
    assert complete(path, b"my own")
    path.write_bytes(b"another")
    with pytest.raises(ChecksumError) as caught:
        fetch(remote, tmp_path)
    for part in (str(path), sha256(b"my own"), sha256(b"another"), f"delete {NAME}.sha256", "to fetch it again"):
        assert part in str(caught.value)
    (tmp_path / f"{NAME}.sha256").unlink()
    fetch(remote, tmp_path)
    assert complete(path, b"another")
    assert server.requests == []


def test_a_sidecar_of_sha256sum_is_enforced(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"right")
    sidecar = tmp_path / f"{NAME}.sha256"
    sidecar.write_bytes(subprocess.run(["sha256sum", NAME], cwd=tmp_path, capture_output=True).stdout)
    verify(path)
    path.write_bytes(b"wrong")
    with pytest.raises(ChecksumError, match="recorded"):
        verify(path)
    sidecar.write_text("something else\n")
    with pytest.raises(ChecksumError, match="'something else.n' — a line of sha256sum is wanted"):
        verify(path)


def test_a_file_put_there_must_match_the_pinned_checksum(server, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"my own")
    verify(path)
    with pytest.raises(ChecksumError) as caught:
        fetch(named(server.url(), sha256=sha256(CONTENT)), tmp_path)
    for part in (sha256(b"my own"), f"{sha256(CONTENT)} is pinned", "to fetch it again"):
        assert part in str(caught.value)
    path.unlink()
    assert complete(fetch(named(server.url(), sha256=sha256(CONTENT)), tmp_path, **QUICK))


def test_a_deleted_file_is_fetched_again_as_it_was_recorded(server, tmp_path):
    path = fetch(named(server.url()), tmp_path, **QUICK)
    path.unlink()
    url = server.script("/a", forever=Answer(content=CONTENT[:-1] + b"!"))
    with pytest.raises(DownloadError, match=f"{sha256(CONTENT)} is recorded in {NAME}.sha256"):
        fetch(named(url), tmp_path, **QUICK)
    assert not path.exists()
    assert complete(fetch(named(server.url()), tmp_path, **QUICK))


def test_every_address_and_its_reason_are_named(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        gone = server.script("/gone", forever=Answer(status=404))
        busy = server.script("/busy", forever=Answer(status=503))
        silent = server.script("/silent", forever=Answer(stall_at=0))
        with pytest.raises(DownloadError) as caught:
            fetch(named(closed, gone, busy, silent), tmp_path, attempts=2, timeout=0.2, pause=0.01)
    reasons = {
        closed: "Connection refused",
        gone: "HTTP 404 Not Found",
        busy: "HTTP 503 Service Unavailable",
        silent: "silent for 0.2 s",
    }
    for url, reason in reasons.items():
        (line,) = (line for line in str(caught.value).splitlines() if line.startswith(f"  • {url}: "))
        assert reason in line
    assert f"put the file at {tmp_path / NAME} yourself" in str(caught.value)
    assert len(server.asked("/busy")) == 2


def test_progress_is_told_in_plain_lines_at_the_start_and_the_end(server, tmp_path, capfd, monkeypatch):
    fetch(named(server.url()), tmp_path, **QUICK)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{NAME}: 0.0 of 6.3 MB")
    assert lines[1] == f"{NAME}: 6.3 of 6.3 MB"
    monkeypatch.setattr(download, "REPORT_EVERY", 0.1)
    url = server.script("/a", Answer(rate=12e6))
    fetch(named(url), tmp_path / "slow", **QUICK)
    assert 4 <= len(capfd.readouterr().err.splitlines()) <= 9


def test_on_a_terminal_there_is_a_bar(server, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    fetch(named(server.url()), tmp_path, **QUICK)
    shown = capfd.readouterr().err
    assert "100%" in shown
    assert "━" in shown
    assert complete(Path(tmp_path / NAME))
