"""A server on this machine that misbehaves as scripted."""

import itertools
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(5).randbytes((6 << 20) + 4321)


@dataclass
class Answer:
    """One answer; the default is a good one."""

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
        answer = self.server.choose(self.path, self.headers)
        self.server.open.wait(20)
        first, size = 0, len(answer.content)
        asked = self.headers.get("Range")
        same = not answer.heeds_if_range or self.headers.get("If-Range") in (None, answer.etag)
        if asked and answer.ranges and same:
            first = int(asked.removeprefix("bytes=").removesuffix("-")) + answer.shift
        if answer.status != 200:
            self.head(answer.status, answer.headers | {"Content-Length": "0"})
        elif first and first >= size:
            self.head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        else:
            self.send_file(answer, first, size)

    def send_file(self, answer, first, size):
        headers = answer.headers | ({"ETag": answer.etag} if answer.etag else {})
        last = size if answer.part is None or not first else min(size, first + answer.part)
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif "Connection" not in headers:
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
    """Gives a path its scripted answers, then its file, else 404; writes down requests; answers while ``open``."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what it counts as sent has left it
        self.guard, self.closing, self.open = threading.Lock(), threading.Event(), threading.Event()
        self.open.set()
        self.files, self.answers, self.requests, self.encodings, self.sent = {}, {}, [], set(), 0

    def handle_error(self, *_):
        pass

    def choose(self, path, headers):
        with self.guard:
            self.requests.append((path, headers.get("Range"), headers.get("If-Range")))
            self.encodings.add(headers.get("Accept-Encoding"))
            file = self.files.get(path.removeprefix("/"))
            return next(self.answers.get(path, iter(())), Answer(404) if file is None else Answer(content=file))

    def script(self, path, *answers, forever=None):
        """Give these answers to a path, then ``forever`` (or good ones)."""
        self.answers[path] = itertools.chain(answers, itertools.repeat(forever or Answer()))
        return self.url(path)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def names(self):
        """The files that were asked for, in order."""
        return [request[0].removeprefix("/") for request in self.requests]

    def asked(self, path):
        """The ranges that were asked for at a path, in order."""
        return [request[1] for request in self.requests if request[0] == path]
