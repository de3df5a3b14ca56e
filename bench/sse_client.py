"""An HTTP client for one event stream that costs as little CPU as Python allows.

The parser is C (httptools); a frame is handed over as received, with the time
of its arrival. The bench shares its cores with what it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

OnFrame = Callable[[bytes, int], object]
"""Called with one frame without its blank line, and ``time.time_ns()`` of its arrival; ``True`` is enough read."""


class StreamBroken(Exception):
    """The answer was no event stream, or it ended in the middle."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the service is."""

    host: str
    port: int
    headers: tuple[str, ...] = ()

    @classmethod
    def of(cls, base_url: str, headers: tuple[str, ...] = ()) -> Target:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not a plain http URL: {base_url}")
        return cls(parts.hostname, parts.port or 80, headers)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Accept: text/event-stream",
            *self.headers,
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


class _Stream(asyncio.Protocol):
    def __init__(self, on_frame: OnFrame) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_frame = on_frame
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self._received_ns = 0
        self._is_stream = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received_ns = time.time_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._end(StreamBroken(f"bad HTTP: {exc}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(StreamBroken("the connection closed before the stream ended"))

    def on_headers_complete(self) -> None:
        self._is_stream = self._parser.get_status_code() == 200

    def on_body(self, body: bytes) -> None:
        self._rest += body
        if not self._is_stream:
            return
        if b"\r" in self._rest:
            self._rest = self._rest.replace(b"\r\n", b"\n")
        *frames, self._rest = self._rest.split(b"\n\n")
        for frame in frames:
            if self._on_frame(frame, self._received_ns) is True:
                self._end(None)
                return

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._is_stream:
            self._end(None)
        else:
            self._end(StreamBroken(f"status {status}: {self._rest[:500].decode(errors='replace')}"))

    def _end(self, problem: StreamBroken | None) -> None:
        if not self.done.done():
            if problem:
                self.done.set_exception(problem)
            else:
                self.done.set_result(None)
        self._transport.close()


async def read_stream(
    target: Target, request: bytes, on_frame: OnFrame, on_sent: Callable[[int], None]
) -> None:
    """Send one request and hand every frame over until the server ends the body.

    Args:
        on_sent: Called with ``time.time_ns()`` just before the request is written.

    Raises:
        StreamBroken: Another status than 200, or a body cut short.
        OSError: No connection.
    """
    loop = asyncio.get_running_loop()
    transport, stream = await loop.create_connection(lambda: _Stream(on_frame), target.host, target.port)
    try:
        on_sent(time.time_ns())
        transport.write(request)
        await stream.done
    finally:
        transport.close()


class _Answer(_Stream):
    """Collects a whole body of any 2xx."""

    def __init__(self) -> None:
        super().__init__(lambda _frame, _received_ns: None)
        self.body = b""

    def on_headers_complete(self) -> None:
        self._is_stream = 200 <= self._parser.get_status_code() < 300

    def on_body(self, body: bytes) -> None:
        self.body += body
        self._rest = self.body


async def fetch(target: Target, request: bytes) -> bytes:
    """Send one request and return the body of its answer.

    Raises:
        StreamBroken: Another status than 2xx.
        OSError: No connection.
    """
    loop = asyncio.get_running_loop()
    transport, answer = await loop.create_connection(_Answer, target.host, target.port)
    try:
        transport.write(request)
        await answer.done
        return answer.body
    finally:
        transport.close()
