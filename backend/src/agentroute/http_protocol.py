"""uvicorn's HTTP protocol, with limits on what a client may send before a route sees it. See docs/adr/0020.

Rules, all of which act before authentication:

1. A connection has ``HEAD_SECONDS`` for the head of a request: from the start, after an answer, and from the first byte.
2. A request target has at most ``MAX_TARGET_BYTES``; a head at most ``MAX_HEAD_BYTES`` and ``MAX_HEADERS`` fields.
   What surrounds the content of a body (chunk sizes, extensions, trailers) is bounded in the same way.
3. A body that an answered request still sends is discarded for ``LINGER_SECONDS``.
4. A refused client is told why, with a problem document, and then disconnected. The rest of what it sends is discarded,
   because closing at once would reset the connection and lose the answer.
5. Above the maximum of connections, the connection that has waited longest without a request is closed. Without such a
   connection, the new one is refused once its head is read: an ``EventSource`` needs another answer (docs/adr/0024).
6. An offer of another protocol (``Upgrade: h2c``) is ignored: the request is read as HTTP/1.1.

The limits cost a comparison for each read. One sweep per second checks the deadlines of all connections, so there is no
timer per request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, NoReturn, cast

import httptools
import orjson
import structlog
from starlette.datastructures import Headers
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from agentroute.http_context import SECURITY_HEADERS
from agentroute.parked_response import ParkedResponse, ParkingOffer, SmallFlowControl
from core.agentscope.events.sse import HEADERS
from core.agentscope.schemas.links import EVENTS_PATH
from core.errors import (
    AgentBackendError,
    HeadersTooLarge,
    MalformedHttp,
    Overloaded,
    RequestTimeout,
    TargetTooLong,
)
from core.log import request_id
from core.metrics.catalogue import PROBLEMS
from core.problem import MEDIA_TYPE, problem, retry_after
from v1.agent.event_source import is_event_source, put_off
from v1.agent.parking import PARKING, ParkedStream

MAX_TARGET_BYTES = 8 << 10
MAX_HEAD_BYTES = 32 << 10
"""Half of what Python's servers allow, twice what proxies allow by default: room for a long token and cookies."""
MAX_HEADERS = 128
MAX_PIPELINED = 16
HEAD_SECONDS = 10.0
LINGER_SECONDS = 10.0
FAREWELL_SECONDS = 2.0
"""How long a refused client has to read the reason."""
_FRAMING_PER_BYTE = 8
"""Bytes of chunk framing for one byte of content: chunks of one byte need five."""
_MAX_REFUSALS = 64
"""Refused connections above the maximum that are told why at any one time; more are closed at once."""
_NOT_FORWARDED = frozenset({b"connection", b"upgrade", b"http2-settings"})

log = structlog.get_logger(__name__)


class Connections:
    """The limit of a process's connections, and those that may be closed to make room.

    Args:
        most: How many connections may be open.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.idle: dict[BoundedProtocol, None] = {}
        """Connections without a request, the longest wait first."""
        self.surplus: dict[BoundedProtocol, None] = {}
        """Connections above the maximum, until they have read that they are refused."""
        self.refused: Counter[str] = Counter()

    def sweep(self, now: float) -> None:
        """Close the connections whose deadline has passed, and log what was refused since the last call."""
        # Deadlines exist only while a connection has no request.
        for connection in [*self.idle, *self.surplus]:
            connection.expire(now)
        if self.refused:
            # One line a second: a line for each would let an attacker fill the disk.
            log.warning("http_refused", **self.refused)
            self.refused.clear()


class _Refuse(Exception):
    def __init__(self, error: AgentBackendError) -> None:
        super().__init__()
        self.error = error


class _PutOff(Exception):
    """The connection has its answer, and nothing more is read."""


class _EnoughPipelined(Exception):
    """The client sent too many requests ahead: the connection closes after the answers to those before."""


class _Pipeline(list[Any]):
    """The few requests that were sent ahead; an empty ``deque`` takes ten times as much."""

    __slots__ = ()

    def appendleft(self, item: object) -> None:
        self.insert(0, item)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    # With uvicorn's attributes: there are more than Python shares between instances, and a dictionary for each
    # connection would take most of what a stream takes that rests.
    __slots__ = (
        *(
            "access_log",
            "access_logger",
            "app",
            "app_state",
            "asgi_version",
            "client",
            "config",
            "connections",
        ),
        *("cycle", "expect_100_continue", "flow", "headers", "limit_concurrency", "logger", "loop", "parser"),
        *(
            "pipeline",
            "root_path",
            "scheme",
            "scope",
            "server",
            "server_state",
            "tasks",
            "timeout_keep_alive",
        ),
        *("timeout_keep_alive_task", "transport", "url", "ws_protocol_class"),
        *("_content", "_deadline", "_deaf", "_framing", "_head_bytes", "_in_head", "_in_message", "_limits"),
        *("_messages", "_parked", "_upgrading"),
    )

    def __init__(self, *args: object, connections: Connections, **options: object) -> None:
        super().__init__(*args, **options)  # pyright: ignore[reportArgumentType]  passed through
        self.pipeline = cast("Any", _Pipeline())
        self._limits = connections
        self._deadline: float | None = None
        self._deaf = False
        """Whether everything that still arrives is discarded."""
        self._in_head = False
        self._in_message = False
        self._messages = 0
        self._upgrading = False
        self._head_bytes = 0
        self._framing = 0
        self._content = 0
        self._parked: ParkedResponse | None = None
        """The answer that is given, if its request was left."""

    # --- the connection ------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.flow = SmallFlowControl(transport)
        limits = self._limits
        over = len(self.connections) - limits.most
        if over > 0 and limits.idle:
            limits.refused["shed"] += 1
            next(iter(limits.idle))._abort()
            over -= 1
        self._await_head()
        if over > _MAX_REFUSALS:
            limits.refused["overloaded"] += 1
            self._abort()
        elif over > 0:
            limits.idle.pop(self)
            limits.surplus[self] = None
            self._deadline = self.loop.time() + FAREWELL_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)
        if self._parked is not None:
            self._parked.lost()

    def expire(self, now: float) -> None:
        """Close the connection if its deadline has passed."""
        if self._deadline is None or now < self._deadline:
            return
        if self in self._limits.surplus and not self._deaf:
            self._refuse(_no_connection())
        elif self._deaf or not self._in_head:
            # The client has read its answer, still sends an unwanted body, or never sent a byte.
            self._abort()
        else:
            seconds = f"{HEAD_SECONDS:g} seconds"
            self._refuse(RequestTimeout(f"The head of the request did not arrive within {seconds}."))

    def _await_head(self) -> None:
        self._limits.idle.pop(self, None)
        self._limits.idle[self] = None
        self._deadline = self.loop.time() + HEAD_SECONDS

    def _abort(self) -> None:
        # At once: a burst of new connections is counted before this one's end is reported.
        self._forget()
        self.connections.discard(self)
        self._deaf = True
        self.transport.abort()

    def _refuse(self, error: AgentBackendError) -> None:
        self._limits.refused[error.code] += 1
        self._deaf = True
        if self not in self._limits.idle and self not in self._limits.surplus:
            # The bytes of an answer are under way: another answer would be read as a part of it.
            self._abort()
            return
        self._farewell(_answer(error, self.server_state.default_headers))

    def _refuse_surplus(self) -> NoReturn:
        """Refuse a connection above the maximum, whose head is known."""
        headers = Headers(raw=self.headers)
        stream = self.url.partition(b"?")[0] == EVENTS_PATH.encode()
        if not stream or not is_event_source(self.parser.get_method().decode("ascii"), headers):
            raise _Refuse(_no_connection())
        self._limits.refused["put_off"] += 1
        self._deaf = True
        if "origin" in headers:
            # Without CORS headers, the page's EventSource would give up. After a lost connection, it comes back.
            self._abort()
        else:
            self._farewell(_empty_stream(self.server_state.default_headers))
        raise _PutOff

    def _farewell(self, answer: bytes) -> None:
        self._deadline = self.loop.time() + FAREWELL_SECONDS
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _forget(self) -> None:
        self._limits.idle.pop(self, None)
        self._limits.surplus.pop(self, None)

    # --- parked answers ------------------------------------------------------

    def park(self, cycle: RequestResponseCycle, stream: ParkedStream) -> ParkedResponse:
        """Leave a request whose answer goes on, and free what only the request needs."""
        self._parked = parked = ParkedResponse(self, stream, keep_alive=cycle.keep_alive)
        # The task of the request returns, and uvicorn finds nothing to complain of.
        cycle.response_complete = True
        if self.cycle is cycle:
            self.cycle = cast("Any", parked)
        if not self._in_message:
            self.scope, self.headers, self.url = cast("Any", None), [], b""
            self.parser = cast("Any", None)
        if cycle.disconnected:
            parked.lost()
        return parked

    def unpark(self, parked: ParkedResponse) -> None:
        """Forget a parked answer: it is over."""
        if self._parked is parked:
            self._parked = None

    def start_task(self, work: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]:
        """Run a task that the server waits for when it stops."""
        task = self.loop.create_task(work, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # --- what arrives --------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        message, content = self._messages, self._content
        parser = self.parser or self._renew_parser()
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as exc:
            self._on_parser_error(exc)
        else:
            if self._in_message and self._messages == message:
                # A field that is not complete has had no callback yet, but the parser keeps what arrived of it.
                self._framing += len(data) - (self._content - content)
                if self._framing > MAX_HEAD_BYTES + _FRAMING_PER_BYTE * self._content:
                    self._refuse(_headers_too_large())

    def _on_parser_error(self, exc: httptools.HttpParserError) -> None:
        match exc.__context__:
            case _Refuse() as refusal:
                self._refuse(refusal.error)
            case _PutOff():
                pass
            case _EnoughPipelined():
                self._deaf = True
                self.cycle.keep_alive = False
            case _:
                self._refuse(MalformedHttp("The request is not valid HTTP/1.1."))

    def _read_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again from a head without the offer. The parser ends a request at such an offer."""
        self._upgrading = False
        self._renew_parser()
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] not in _NOT_FORWARDED]
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.scope["method"].encode(), self.url, b"".join(fields))
        self.data_received(head + rest)

    def _renew_parser(self) -> httptools.HttpRequestParser:
        self.parser = parser = httptools.HttpRequestParser(self)
        # As uvicorn does.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # --- callbacks of the parser ---------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._messages += 1
        self._head_bytes = self._framing = self._content = 0
        if self in self._limits.idle:
            self._deadline = self.loop.time() + HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > MAX_TARGET_BYTES:
            raise _Refuse(TargetTooLong(f"The target may have at most {MAX_TARGET_BYTES} bytes."))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            raise _Refuse(_headers_too_large())
        if self._in_head:
            super().on_header(name, value)
        # Else a trailer: uvicorn would add it to the headers that the routes may already have read.

    def on_headers_complete(self) -> None:
        if self in self._limits.surplus:
            if len(self.connections) > self._limits.most:
                self._refuse_surplus()
            # A place became free in the meantime.
            del self._limits.surplus[self]
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            if self.scope["method"] == "CONNECT":
                raise _Refuse(MalformedHttp("This server is not a proxy: CONNECT is not supported."))
            self._upgrading = True
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _EnoughPipelined
        self._in_head = False
        super().on_headers_complete()
        if self.scope["method"] != "HEAD" and any(map(_asks_for_stream, self.headers)):
            offer = ParkingOffer(self, self.cycle)
            self.scope["extensions"] = cast("Any", {PARKING: offer})
        self._limits.idle.pop(self, None)
        self._deadline = None

    def on_body(self, body: bytes) -> None:
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._await_head()
            if self._in_message:
                self._deadline = self.loop.time() + LINGER_SECONDS


def _asks_for_stream(field: tuple[bytes, bytes]) -> bool:
    return field[0] == b"accept" and b"text/event-stream" in field[1].lower()


def _headers_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"A head may have at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} fields.")


def _no_connection() -> Overloaded:
    return Overloaded("The server has no free connection. Try again soon.", retry_after_seconds=1)


def _empty_stream(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the answer after which an ``EventSource`` comes back."""
    fields = [
        *headers,
        *((name.lower().encode(), value.encode()) for name, value in {**HEADERS, **SECURITY_HEADERS}.items()),
        (b"connection", b"close"),
    ]
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"".join([STATUS_LINE[200], lines, b"\r\n", put_off(_no_connection())])


def _answer(error: AgentBackendError, headers: list[tuple[bytes, bytes]]) -> bytes:
    PROBLEMS.add(str(error.status), error.code)
    with request_id(None) as current:
        body = orjson.dumps(problem(error, instance=""))
    fields = [
        *headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
        (b"x-request-id", current.encode()),
        (b"connection", b"close"),
    ]
    if (wait := retry_after(error)) is not None:
        fields.append((b"retry-after", wait.encode()))
    return b"".join([STATUS_LINE[error.status], *(b"%b: %b\r\n" % field for field in fields), b"\r\n", body])
