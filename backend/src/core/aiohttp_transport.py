"""Carries the requests of an ``httpx.AsyncClient`` by aiohttp, whose parser is compiled: a streamed answer of a hundred
parts takes a tenth of the processor time. See docs/adr/0072.

What the caller sees is httpx's own: its responses, its errors, its timeouts, and the trace event that says that a
request was sent. Redirects, cookies and decompression stay httpx's too.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.connector import Connection
from yarl import URL

SENT = "http11.send_request_body.complete"
"""The trace event, by httpcore's name: the body was handed to the socket."""
_READ_BYTES = 64 << 10
"""A connection reads ahead at most twice as much; then it waits for the reader, and so does the peer, by TCP."""
_LARGE_BYTES = 1 << 20
_MAX_HEADER_BYTES = 64 << 10
_MAX_HEADERS = 1000
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# The first that fits counts.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionResetError, httpx.WriteError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (ssl.SSLError, httpx.ReadError),
    (OSError, httpx.ReadError),
)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Connections to any number of hosts, kept for the next request. HTTP/1.1, no proxies.

    Args:
        limits: Of httpx. A request that finds no connection free waits as long as its timeout ``pool``.
        trust_env: Whether the environment may name certificates (``SSL_CERT_FILE``, ``SSL_CERT_DIR``).
    """

    def __init__(self, limits: httpx.Limits, *, trust_env: bool = True) -> None:
        self._limits = limits
        self._trust_env = trust_env
        self._places = None if limits.max_connections is None else asyncio.Semaphore(limits.max_connections)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """By whether they speak TLS: certificates are read when they are needed."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the head of its answer.

        Raises:
            httpx.TransportError: As httpx's own transport does.
        """
        if request.url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"no protocol of ours: {request.url.scheme!r}", request=request)
        await request.aread()
        await self._take_place(request)
        try:
            with _httpx_errors(request):
                while (answer := await self._send(request)) is None:
                    pass
        except BaseException:
            self._give_place()
            raise
        version = answer.version or aiohttp.HttpVersion11
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(request, answer, self._give_place),
            extensions={
                "http_version": b"HTTP/%d.%d" % (version.major, version.minor),
                "reason_phrase": (answer.reason or "").encode("utf-8", "surrogateescape"),
            },
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse | None:
        """Send a request; ``None`` if nothing was sent, because the server had closed the connection."""
        timeout: dict[str, float | None] = request.extensions.get("timeout", {})
        body = request.content
        try:
            return await self._session(request.url.scheme == "https").request(
                request.method,
                URL(str(request.url), encoded=True),
                # Large ones are sent in parts, so that other connections have their turns.
                data=BytesIO(body) if len(body) > _LARGE_BYTES else body or None,
                headers=request.headers.multi_items(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
                ),
                trace_request_ctx=_Sending(request.extensions.get("trace"), len(body)),
            )
        except _ConnectionIsOver:
            return None

    def _session(self, is_tls: bool) -> aiohttp.ClientSession:
        if (session := self._sessions.get(is_tls)) is None:
            traces = aiohttp.TraceConfig()
            traces.on_request_chunk_sent.append(_trace_part)
            session = self._sessions[is_tls] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=self._limits.keepalive_expiry,
                    resolver=aiohttp.ThreadedResolver(),
                    ssl=httpx.create_ssl_context(trust_env=self._trust_env) if is_tls else True,
                ),
                request_class=_Request,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_OWN_HEADERS,
                read_bufsize=_READ_BYTES,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
                max_headers=_MAX_HEADERS,
                trace_configs=[traces],
            )
        return session

    async def _take_place(self, request: httpx.Request) -> None:
        if self._places is None:
            return
        seconds = request.extensions.get("timeout", {}).get("pool")
        try:
            async with asyncio.timeout(seconds if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no connection became free in time", request=request) from exc

    def _give_place(self) -> None:
        if self._places is not None:
            self._places.release()


class _ConnectionIsOver(aiohttp.ClientError):
    """The server has closed a kept connection, or speaks unasked. The connection is closed, too."""


class _Request(aiohttp.ClientRequest):
    """Looks at a kept connection before it is used: the event loop may not have come to what the system knows."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol in _USED and _is_readable(conn):
            raise _ConnectionIsOver
        _USED.add(conn.protocol)
        return await super().send(conn)


_USED: WeakSet[Any] = WeakSet()
"""Connections that have carried a request."""


def _is_readable(conn: Connection) -> bool:
    transport = conn.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _Body(httpx.AsyncByteStream):
    """The body of an answer, in the parts in which it comes."""

    def __init__(
        self, request: httpx.Request, answer: aiohttp.ClientResponse, closed: Callable[[], None]
    ) -> None:
        self._request = request
        self._answer = answer
        self._closed: Callable[[], None] | None = closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = self._answer.content.readany
        with _httpx_errors(self._request):
            while part := await read():
                yield part

    async def aclose(self) -> None:
        if (closed := self._closed) is None:
            return
        self._closed = None
        # A connection whose answer was read to the end was kept by then; any other is closed.
        self._answer.close()
        closed()


@contextmanager
def _httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as exc:
        kind = next(kind for known, kind in _ERRORS if isinstance(exc, known))
        raise kind(str(exc) or type(exc).__name__, request=request) from exc


class _Sending:
    """Tells of the last part of a body that is handed to the socket."""

    def __init__(self, trace: Callable[[str, dict[str, Any]], Awaitable[None]] | None, size: int) -> None:
        self._trace = trace
        self._left = size

    async def hand_over(self, size: int) -> None:
        self._left -= size
        if self._left == 0 and self._trace is not None:
            await self._trace(SENT, {})


async def _trace_part(
    _session: aiohttp.ClientSession, context: SimpleNamespace, part: aiohttp.TraceRequestChunkSentParams
) -> None:
    await context.trace_request_ctx.hand_over(len(part.chunk))
