"""Downloads from a server on this machine that misbehaves as scripted."""

import hashlib
import random
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from server import CONTENT, Answer

from mac.data import download
from mac.data.catalog import Archive
from mac.data.download import ChecksumError, DiskFullError, DownloadError, verify
from mac.data.download import download as fetch

MIB = 1 << 20
NAME = "videos.tar"
QUICK = {"timeout": 5.0, "pause": 0.01}
OTHER, LONGER = (random.Random(6).randbytes(len(CONTENT) + more) for more in (0, 1))
WRONG = CONTENT[:-1] + b"!"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


PINNED = {"sha256": sha256(CONTENT)}
SIZED = {"size": len(CONTENT)}


def named(*urls, **pinned):
    return Archive(file=NAME, urls=list(urls), **pinned)


def complete(path, content=CONTENT):
    """The file is right, its checksum stands beside it, and nothing else is left."""
    assert path.read_bytes() == content
    assert sorted(p.name for p in path.parent.iterdir()) == [NAME, f"{NAME}.sha256"]
    assert subprocess.run(["sha256sum", "--strict", "-c", f"{NAME}.sha256"], cwd=path.parent).returncode == 0
    return True


@pytest.fixture
def good(server):
    return server.script("/good")


@pytest.fixture
def room(monkeypatch):
    """The bytes that the disk has free, as its one item."""
    free = [0]
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    return free


@pytest.mark.parametrize("reset", [False, True])
def test_twenty_cuts_in_a_row_cost_less_than_a_mebibyte_each(server, tmp_path, reset):
    places = sorted(random.Random(7).sample(range(1, len(CONTENT)), 20))
    url = server.script("/a", *[Answer(cut_at=place, reset=reset) for place in places])
    assert complete(fetch(named(url), tmp_path, **QUICK | {"attempts": 3}))
    assert len(server.requests) >= 21
    assert server.sent - len(CONTENT) <= (20 * 65536 * 3 if reset else 0)
    assert all(etag == '"first"' for _, asked, etag in server.requests if asked)
    assert server.encodings == {"identity"}


CUT = Answer(cut_at=MIB)
AGAIN, FROM_4 = f"bytes={MIB}-", f"bytes={4 * MIB}-"
TROUBLES = {  # what a server answers, and which ranges it is asked for
    "no ranges": ([Answer(ranges=False, cut_at=n * MIB) for n in (4, 1)], Answer(ranges=False), [None, FROM_4, AGAIN]),
    "silence": ([Answer(stall_at=MIB)], None, [None, AGAIN]),
    "a chunked body that ends early": ([Answer(chunked=True, cut_at=MIB)], Answer(chunked=True), [None, AGAIN]),
    "a later part than asked for": ([CUT, Answer(shift=1000)], None, [None, AGAIN, None]),
    "an earlier part": ([CUT, Answer(shift=-1000)], None, [None, AGAIN, None]),
    "a part at a time": ([CUT], Answer(part=2 * MIB), [None, *(f"bytes={n * MIB}-" for n in (1, 3, 5))]),
    **{f"HTTP {status}": ([Answer(status)] * 2, None, [None] * 3) for status in (408, 429, 500, 503)},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_file_is_whole_after_any_trouble_of_its_server(server, tmp_path, trouble):
    answers, forever, asked = TROUBLES[trouble]
    url = server.script("/a", *answers, forever=forever)
    assert complete(fetch(named(url), tmp_path, timeout=0.3 if trouble == "silence" else 5.0, pause=0.01))
    assert server.asked("/a") == asked


def test_wrong_bytes_are_fetched_once_more_from_zero(server, tmp_path):
    url = server.script("/a", Answer(content=WRONG))
    assert complete(fetch(named(url, **PINNED), tmp_path, **QUICK))
    assert server.asked("/a") == [None, None]


BAD = {  # a useless address, what is known of the file, and how often the address is asked
    "another length": (Answer(content=CONTENT[:-1]), SIZED, 1),
    "more than is wanted": (Answer(content=CONTENT + b"more", chunked=True), SIZED, 1),
    "wrong bytes": (Answer(content=WRONG), PINNED, 2),
    **{f"HTTP {status}": (Answer(status), {}, 1) for status in (403, 404, 410, 451)},
    "a web page": (Answer(content=b"please log in", headers={"Content-Type": "text/html; charset=utf-8"}), {}, 1),
    "no length, so that a cut would pass for the end": (Answer(headers={"Connection": "close"}, cut_at=MIB), {}, 1),
}


@pytest.mark.parametrize("bad", BAD)
def test_an_address_without_the_file_gives_way_to_the_next(server, good, tmp_path, bad):
    answer, known, times = BAD[bad]
    url = server.script("/bad", forever=answer)
    assert complete(fetch(named(url, good, **known), tmp_path, **QUICK))
    assert server.asked("/bad") == [None] * times
    assert server.asked("/good") == [None]


def test_a_web_page_is_taken_for_the_file_if_its_checksum_is_right(server, tmp_path):
    url = server.script("/mislabelled", forever=Answer(headers={"Content-Type": "text/html"}))
    assert complete(fetch(named(url, **PINNED), tmp_path, **QUICK))


def test_a_wrong_address_costs_nothing_of_what_has_arrived(server, good, tmp_path):
    bad = server.script("/bad", forever=Answer(content=CONTENT[:-1]))
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT[:MIB])
    (tmp_path / f".{NAME}.partial.json").write_text(f'{{"url": "{good}"}}')
    assert complete(fetch(named(bad, good, **SIZED), tmp_path, **QUICK))
    assert server.asked("/good") == [AGAIN]


def test_the_same_bytes_again_are_no_progress(server, tmp_path):
    url = server.script("/a", forever=Answer(ranges=False, cut_at=100_000))
    with pytest.raises(DownloadError, match="no address gave the file"):
        fetch(named(url), tmp_path, attempts=4, **QUICK)
    assert len(server.requests) == 5


def test_pauses_grow_and_heed_retry_after_up_to_a_minute(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    busy = [Answer(503, headers={"Retry-After": after} if after else {}) for after in ("", "", "30", "86400", "")]
    assert complete(fetch(named(server.script("/a", *busy)), tmp_path, pause=2.0))
    assert pauses == [2.0, 4.0, 30.0, 60.0, 32.0]


@pytest.mark.parametrize(
    ("etag", "new"),
    [
        ('"first"', Answer(content=OTHER, etag='"second"')),
        ('"first"', Answer(content=OTHER, etag='"second"', heeds_if_range=False)),  # as some servers do
        (None, Answer(content=LONGER, etag=None)),
    ],
)
def test_a_file_that_changed_meanwhile_is_started_again(server, tmp_path, etag, new):
    url = server.script("/a", Answer(cut_at=MIB, etag=etag), forever=new)
    assert complete(fetch(named(url), tmp_path, **QUICK), new.content)
    assert server.asked("/a")[1] == AGAIN


def test_the_address_that_a_partial_file_came_from_comes_first(server, tmp_path):
    one = server.script("/one", Answer(404))
    two = server.script("/two", CUT, *[Answer(500)] * 2)
    with pytest.raises(DownloadError):
        fetch(named(one, two), tmp_path, attempts=2, **QUICK)
    assert complete(fetch(named(one, two), tmp_path, **QUICK))
    assert server.asked("/one") == [None]
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize("pinned", [False, True])
def test_another_address_goes_on_only_where_a_checksum_can_tell(server, tmp_path, pinned):
    one = server.script("/one", Answer(cut_at=4 * MIB), forever=Answer(500))
    content = CONTENT if pinned else OTHER
    two = server.script("/two", forever=Answer(content=content, etag='"other"'))
    assert complete(fetch(named(one, two, **PINNED if pinned else {}), tmp_path, attempts=2, **QUICK), content)
    assert server.asked("/two") == [FROM_4 if pinned else None]


def test_an_empty_file_is_a_file(server, tmp_path):
    url = server.script("/a", forever=Answer(content=b""))
    assert complete(fetch(named(url), tmp_path, **QUICK), b"")


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_whole_partial_file_needs_no_second_download_and_a_longer_one_does(server, good, tmp_path, more):
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT + more)
    assert complete(fetch(named(good, **SIZED, **PINNED), tmp_path, **QUICK))
    assert server.sent == (len(CONTENT) if more else 0)


PROCESS = """
import sys
from pathlib import Path
from mac.data.catalog import Archive
from mac.data.download import download
download(Archive(file=sys.argv[1], urls=[sys.argv[2]]), Path(sys.argv[3]), pause=0.01)
"""


def start(url, folder, before=""):
    command = [sys.executable, "-c", before + PROCESS, NAME, url, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_killed_process_loses_less_than_a_mebibyte(server, tmp_path):
    url, path = server.script("/a", forever=Answer(rate=8e6)), tmp_path / NAME
    moments = [1, *sorted(random.Random(9).sample(range(len(CONTENT)), 3)), len(CONTENT)]
    for kills, moment in enumerate(moments):
        with start(url, tmp_path) as process:
            wait_for(lambda sent=moment + kills * MIB // 8: server.sent >= sent or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
        assert not path.exists() or path.read_bytes() == CONTENT
        assert moment == len(CONTENT) or not path.exists()
    assert fetch(named(url), tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.sent - len(CONTENT) <= len(moments) * MIB // 4
    verify(path, sha256(CONTENT))


@pytest.mark.parametrize("known", [{}, SIZED])
def test_a_full_disk_is_said_before_the_first_byte(good, tmp_path, room, known):
    room[0] = len(CONTENT) + 999
    with pytest.raises(DiskFullError, match=r"7\.3 MB needed .* 6\.3 MB free") as caught:
        fetch(named(good, **known), tmp_path, reserve=1_000_000, **QUICK)
    assert str(tmp_path) in str(caught.value)
    assert not any(path.stat().st_size for path in tmp_path.glob(f".{NAME}.partial*"))
    room[0] += 1_000_000
    assert complete(fetch(named(good, **known), tmp_path, reserve=1_000_000, **QUICK))


def test_only_the_rest_needs_room(good, tmp_path, room):
    (tmp_path / f".{NAME}.partial").write_bytes(CONTENT[:-MIB])
    room[0] = MIB
    assert complete(fetch(named(good, **SIZED, **PINNED), tmp_path, **QUICK))


def test_a_disk_that_fills_up_keeps_what_has_arrived(server, good, tmp_path):
    limited = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20));"
    limited += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import errno; errno.ENOSPC = errno.EFBIG;"
    with start(good, tmp_path, limited) as process:
        told = process.stderr.read()
    assert "DiskFullError" in told.splitlines()[-1]
    assert str(tmp_path) in told
    assert (tmp_path / f".{NAME}.partial").read_bytes() == CONTENT[: 3 * MIB]
    assert complete(fetch(named(good), tmp_path, **QUICK))
    assert server.asked("/good")[-1] == f"bytes={3 * MIB}-"


def test_a_file_put_there_is_used_and_from_then_on_held_to_its_checksum(server, good, tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"my own")
    assert fetch(named(good, **SIZED), tmp_path) == path
    assert complete(path, b"my own")
    path.write_bytes(b"another")
    for known, origin, way in (({}, "recorded", f"delete {NAME}.sha256"), (PINNED, "pinned", "pin the new one")):
        with pytest.raises(ChecksumError) as caught:
            fetch(named(good, **known), tmp_path)
        digest = known.get("sha256", sha256(b"my own"))
        for part in (str(path), f"{digest} is {origin}", sha256(b"another"), way, "to fetch it again"):
            assert part in str(caught.value)
    (tmp_path / f"{NAME}.sha256").unlink()
    fetch(named(good, **SIZED), tmp_path)
    assert complete(path, b"another")
    assert server.requests == []
    path.unlink()
    assert complete(fetch(named(good, **PINNED), tmp_path, **QUICK))  # what is pinned overrides what is recorded


def test_a_sidecar_of_sha256sum_is_enforced(tmp_path):
    path, sidecar = tmp_path / NAME, tmp_path / f"{NAME}.sha256"
    path.write_bytes(b"right")
    sidecar.write_bytes(subprocess.run(["sha256sum", NAME], cwd=tmp_path, capture_output=True).stdout)
    verify(path)
    path.write_bytes(b"wrong")
    with pytest.raises(ChecksumError, match="recorded"):
        verify(path)
    sidecar.write_text("something else\n")
    with pytest.raises(ChecksumError, match="'something else.n' — a line of sha256sum is wanted"):
        verify(path)


def test_a_deleted_file_is_fetched_again_as_it_was_recorded(server, good, tmp_path):
    path = fetch(named(good), tmp_path, **QUICK)
    path.unlink()
    url = server.script("/a", forever=Answer(content=WRONG))
    with pytest.raises(DownloadError, match=f"{sha256(CONTENT)} is recorded in {NAME}.sha256"):
        fetch(named(url), tmp_path, **QUICK)
    assert not path.exists()
    assert complete(fetch(named(good), tmp_path, **QUICK))


def test_every_address_and_its_reason_are_named(server, tmp_path):
    answers = {
        "HTTP 404 Not Found": Answer(404),
        "HTTP 503 Service Unavailable": Answer(503),
        f"announces {len(CONTENT) - 1} bytes — {len(CONTENT)} are wanted": Answer(content=CONTENT[:-1]),
        "silent for 0.2 s": Answer(stall_at=0),
    }
    urls = {
        reason: server.script(f"/{place}", forever=answer) for place, (reason, answer) in enumerate(answers.items())
    }
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        urls["Connection refused"] = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(DownloadError) as caught:
            fetch(named(*urls.values(), **SIZED), tmp_path, attempts=2, timeout=0.2, pause=0.01)
    for reason, url in urls.items():
        (line,) = (line for line in str(caught.value).splitlines() if line.startswith(f"  • {url}: "))
        assert reason in line
    assert f"put the file at {tmp_path / NAME} yourself" in str(caught.value)
    assert len(server.asked("/1")) == 2


def test_progress_is_told_in_plain_lines_at_the_start_the_end_and_now_and_then(good, tmp_path, capfd, monkeypatch):
    fetch(named(good), tmp_path, **QUICK)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{NAME}: 0.0 of 6.3 MB")
    assert lines[1] == f"{NAME}: 6.3 of 6.3 MB"
    monkeypatch.setattr(download, "REPORT_EVERY", 0)
    fetch(named(good), tmp_path / "again", **QUICK)
    assert len(capfd.readouterr().err.splitlines()) > 10


def test_on_a_terminal_there_is_a_bar(good, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    fetch(named(good), tmp_path, **QUICK)
    shown = capfd.readouterr().err
    assert "100%" in shown
    assert "━" in shown
