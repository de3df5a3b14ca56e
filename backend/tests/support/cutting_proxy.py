"""A line between a page and the service that breaks: event streams end after a few events, in order or by a reset."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

_RETRY = re.compile(rb"retry: \d+\n")
_HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


class CuttingProxy:
    """Passes requests on, below a path of its own, and cuts event streams while ``cuts_left`` is not 0.

    Args:
        upstream: ``host:port`` of the service.
        seed: Of the places and kinds of the cuts.
        prefix: Path below which the service is mounted here; it is not passed on.
    """

    def __init__(self, upstream: str, seed: int, prefix: str = "") -> None:
        self.upstream = upstream
        self.prefix = prefix
        self.cuts: list[str] = []
        """How each stream was cut, in the order of time."""
        self.cuts_left = 0
        self.is_down = False
        """Whether requests are answered as by a proxy whose service is restarting."""
        self.refused = threading.Event()
        """Set when a request was answered so."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()

    def next_cut(self) -> tuple[int, str] | None:
        """Return after how many events the next stream ends, and how; ``None`` if it does not."""
        with self._lock:
            if self.cuts_left <= 0:
                return None
            return self._random.randint(1, 4), self._random.choice(["close", "reset"])

    def note(self, kind: str) -> None:
        """Count a cut."""
        with self._lock:
            self.cuts_left -= 1
            self.cuts.append(kind)

    def cut_all(self) -> None:
        """Break every line now."""
        with self._lock:
            lines, self._lines = self._lines, set()
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def line(self, upstream: http.client.HTTPConnection) -> Iterator[None]:
        """Count a connection to the service among the lines, and close it at the end."""
        upstream.connect()
        opened: socket.socket = upstream.sock
        with self._lock:
            self._lines.add(opened)
        try:
            yield
        finally:
            with self._lock:
                self._lines.discard(opened)
            upstream.close()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve until the end of the context; yields the address, without a slash at the end."""
        proxy = self

        class Handler(_Handler):
            line = proxy

        with _Server(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, name="cutting-proxy")
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}{self.prefix}"
            finally:
                self.cut_all()
                server.shutdown()
                thread.join()


class _Server(ThreadingHTTPServer):
    # Joined at the end: what they hold is closed before the test is over.
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client or the service has left."""


class _Handler(BaseHTTPRequestHandler):
    line: ClassVar[CuttingProxy]

    def __getattr__(self, name: str) -> Callable[[], None]:
        # `do_GET` and so on: every method is passed on.
        if name.startswith("do_"):
            return self._pass_on
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""

    def _pass_on(self) -> None:
        proxy = self.line
        if proxy.is_down:
            proxy.refused.set()
        if proxy.is_down or not self.path.startswith(proxy.prefix + "/"):
            self.send_error(502 if proxy.is_down else 404)
            return
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        upstream = http.client.HTTPConnection(urlsplit(f"//{proxy.upstream}").netloc)
        with proxy.line(upstream):
            upstream.request(self.command, self.path.removeprefix(proxy.prefix), body, headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOPS | {"date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            if answer.getheader("Content-Type") == "text/event-stream":
                self._stream(answer)
            else:
                self.wfile.write(answer.read())

    def _stream(self, answer: http.client.HTTPResponse) -> None:
        cut = self.line.next_cut()
        rest = b""
        events = 0
        while part := answer.read1(1 << 16):
            *blocks, rest = re.split(rb"(?<=\n\n)", rest + part)
            for block in blocks:
                if cut and events == cut[0] and b"data: " in block:
                    self.line.note(cut[1])
                    self.wfile.write(block[: len(block) // 2])
                    if cut[1] == "reset":
                        self._reset()
                    return
                events += b"data: " in block
                # At once: the pause is not what is tried.
                self.wfile.write(_RETRY.sub(b"retry: 10\n", block))

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
