"""An event stream that rests leaves its request, and the connection behaves as if it had not. Bytes in, bytes out."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Self

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from tests.support.http_wire import Wire
from tests.support.limits import HUNG_SECONDS
from tests.support.loggers import loggers_kept
from tests.support.thread_log import SESSION, MemoryLog, MemoryTail, QuietHub, run
from uvicorn import Config
from uvicorn.server import ServerState

from agentroute import http_context
from agentroute.head_requests import HeadRequests
from agentroute.http_context import HttpContext
from agentroute.http_protocol import BoundedProtocol, Connections
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reader import ThreadReader
from core.agentscope.events.sse import frame
from core.agentscope.events.thread_stream import Outlet, ThreadStream
from core.agentscope.schemas.cursor import Cursor
from core.config import Settings, StreamSettings
from core.identity import Principal
from core.log import configure_logging, note_request
from v1.agent import event_stream
from v1.agent.event_stream import EventStreamResponse
from v1.agent.expiring_stream import until_expiry
from v1.agent.parking import attach

FIRST = b"id: 1-1\ndata: {}\n\n"


class Source:
    """Frames, each as soon as it is given, with a rest wherever there is none."""

    def __init__(self) -> None:
        self.frames: list[bytes | None] = [FIRST]
        """``None`` is the end."""
        self.outlet: Outlet | None = None
        self.given = asyncio.Event()
        self.rests = self.closed = False
        self.swallows = 0
        """How many cancellations are still swallowed."""

    def __aiter__(self) -> Self:
        return self

    def attach(self, outlet: Outlet, _wake_at: float) -> bool:
        self.outlet = outlet
        return True

    async def __anext__(self) -> bytes:
        self.rests = False
        while not self.frames:
            if self.outlet is not None and not self.swallows:
                self.rests = True
                return b""
            self.given.clear()
            try:
                await self.given.wait()
            except asyncio.CancelledError:
                if not self.swallows:
                    raise
                self.swallows -= 1
        if (frame := self.frames.pop(0)) is None:
            raise StopAsyncIteration
        return frame

    def give(self, *frames: bytes | None) -> None:
        """Let a task send these frames."""
        self.frames += frames
        self.given.set()
        if self.rests and self.outlet is not None:
            self.outlet.go_on()

    async def aclose(self) -> None:
        self.closed = True


class Server:
    """Our connections, with an application that answers by a stream."""

    def __init__(
        self, *, write_timeout_seconds: float = HUNG_SECONDS, frames: AsyncIterator[bytes] | None = None
    ) -> None:
        self.frames = frames
        """What is sent; by default a source for each request."""
        self.sources: list[Source] = []
        self.write_timeout = write_timeout_seconds
        self.state = ServerState()
        self.config = Config(
            HttpContext(HeadRequests(self._app)),
            interface="asgi3",
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
        )
        self.config.load()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (frames := self.frames) is None:
            self.sources.append(frames := Source())
        note_request(thread_id=scope["path"])
        await EventStreamResponse(frames, write_timeout_seconds=self.write_timeout)(scope, receive, send)

    def connect(self, sent: bytes) -> tuple[BoundedProtocol, Wire]:
        """Open a connection, and send a request."""
        connection = BoundedProtocol(
            config=self.config, server_state=self.state, app_state={}, connections=Connections(100)
        )
        wire = Wire()
        connection.connection_made(wire)
        connection.data_received(sent)
        return connection, wire

    async def open(
        self, path: str = "/", *fields: str, method: str = "GET", until: str = "rests"
    ) -> tuple[BoundedProtocol, Wire, Source]:
        """Open a stream, and wait until it rests."""
        connection, wire = self.connect(request(path, *fields, method=method))
        if until == "rests":
            await settled(lambda: self.sources and self.sources[-1].rests and not self.state.tasks)
        else:
            await settled(lambda: FIRST in wire.sent)
        return connection, wire, self.sources[-1]


def request(
    path: str = "/", *fields: str, method: str = "GET", accept: str | None = "text/event-stream"
) -> bytes:
    accepts = [f"Accept: {accept}"] if accept else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *accepts, *fields, "", ""]).encode()


async def settled(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def some_turns() -> None:
    """Let the others do what they can do without waiting."""
    for _ in range(20):
        await asyncio.sleep(0)


def bodies(wire: Wire) -> list[bytes]:
    """Return the bodies of the answers, as chunks joined."""
    found: list[bytes] = []
    for answer in wire.sent.split(b"HTTP/1.1 200 OK\r\n")[1:]:
        rest, body = answer.partition(b"\r\n\r\n")[2], b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, rest = body + rest[:length], rest[length + 2 :]
        found.append(body)
    return found


async def test_a_stream_that_rests_has_no_task_and_keeps_nothing_of_its_request() -> None:
    server = Server()
    before = len(asyncio.all_tasks())

    opened = [await server.open() for _ in range(20)]

    assert len(asyncio.all_tasks()) == before
    for connection, _, _ in opened:
        kept: Sequence[object] = (connection.scope, connection.headers, connection.url, connection.parser)
        assert kept == (None, [], b"", None)
        assert vars(connection) == {}, "an attribute without a slot costs each connection a dictionary"


async def test_what_is_written_at_rest_and_by_tasks_is_one_body_and_the_connection_serves_on() -> None:
    server = Server()
    connection, wire, source = await server.open()
    assert source.outlet is not None

    assert source.outlet.write(b": hb\n\n")
    source.give(b"second")
    await settled(lambda: source.rests and not server.state.tasks)
    assert source.outlet.write(b"third")
    source.give(b"last", None)
    await settled(lambda: source.closed and not server.state.tasks)

    assert bodies(wire) == [FIRST + b": hb\n\n" + b"second" + b"third" + b"last"]
    assert wire.sent.endswith(b"0\r\n\r\n")
    connection.data_received(request())
    await settled(lambda: len(server.sources) == 2 and server.sources[1].rests)
    assert bodies(wire)[1] == FIRST
    assert wire.state == "open"


@pytest.mark.parametrize("told", ["by the client", "by the server"])
async def test_a_connection_that_shall_not_be_kept_closes_after_the_stream(told: str) -> None:
    server = Server()
    connection, wire, source = await server.open(
        "/", *(["Connection: close"] if told == "by the client" else [])
    )
    if told == "by the server":
        connection.shutdown()
    assert wire.state == "open"

    source.give(None)
    await settled(lambda: wire.state == "closed")

    assert bodies(wire) == [FIRST]


async def test_a_request_sent_ahead_waits_for_the_end_of_a_stream_that_rests() -> None:
    server = Server()
    connection, wire, source = await server.open()

    connection.data_received(request("/next"))
    await asyncio.sleep(0)
    assert len(server.sources) == 1
    source.give(None)
    await settled(lambda: len(server.sources) == 2 and server.sources[1].rests)

    assert bodies(wire) == [FIRST, FIRST]


@pytest.mark.parametrize("ended_by", ["its client", "its stream"])
async def test_the_request_of_a_stream_that_rests_is_logged_at_its_end_with_all_its_fields(
    ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lines = SimpleNamespace(now=100.0), io.StringIO()
    monkeypatch.setattr(http_context, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    with loggers_kept():
        configure_logging(Settings(), stream=lines)
        server = Server()
        connection, wire, source = await server.open("/thread", "X-Request-Id: request-1")
        assert not lines.getvalue(), "the request goes on"
        # Another request on the same event loop leaves nothing of its own in the line.
        await server.open("/other", "X-Request-Id: request-2")
        clock.now += 3.5
        if ended_by == "its client":
            connection.connection_lost(None)
        else:
            source.give(None)
        await settled(lambda: source.closed and not server.state.tasks)

    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert {name: line[name] for name in ("message", "path", "status", "thread_id", "request_id")} == {
        "message": "request",
        "path": "/thread",
        "status": 200,
        "thread_id": "/thread",
        "request_id": "request-1",
    }
    assert line["duration_ms"] == 3500.0, "the rest is a part of it"
    assert b"x-request-id: request-1" in wire.sent.lower()


async def test_a_client_that_leaves_while_a_task_waits_for_it_closes_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "_CANCEL_AGAIN_SECONDS", 0.01)
    server = Server()
    connection, _, source = await server.open()
    source.swallows = 2
    source.give(b"more")
    await settled(lambda: not source.frames)

    connection.connection_lost(None)
    await settled(lambda: source.closed and not server.state.tasks)

    assert source.swallows == 0


async def test_a_client_that_leaves_before_the_task_has_begun_closes_the_stream() -> None:
    server = Server()
    connection, _, source = await server.open()

    source.give(b"more")
    connection.connection_lost(None)
    await settled(lambda: source.closed and not server.state.tasks)


async def test_a_client_that_stops_reading_a_stream_that_rests_is_let_go() -> None:
    server = Server(write_timeout_seconds=0.05)
    connection, wire, source = await server.open()
    assert source.outlet is not None
    connection.pause_writing()

    assert not source.outlet.write(b"more than it takes"), "a task has to wait for this client"
    with capture_logs() as lines:
        source.give(b"and more")
        await settled(lambda: source.closed and not server.state.tasks)

    assert wire.state == "closed"
    assert [line["event"] for line in lines] == ["stream_stalled", "request"]
    assert bodies(wire) == [FIRST + b"more than it takes"]


async def speaks_1_0(_ordinal: int) -> str | None:
    return "1.0"


async def test_a_connection_whose_client_left_a_stream_that_rests_waits_for_no_collector() -> None:
    events, stream_settings = run(1, 4), StreamSettings()
    hub, log = QuietHub(stream_settings), MemoryLog(events[:1])
    reader = ThreadReader(
        SESSION, Cursor.START, store=log, bus=MemoryTail(), hub=hub, settings=stream_settings, ordinals=None
    )
    # Until its next alarm, the hub still knows the stream.
    stream = ThreadStream(reader, PeerVersions(speaks_1_0), stream_settings)
    until = Principal("t", "ada", valid_until=time.time() + 3600)
    server = Server(frames=until_expiry(stream, until))
    connection, wire = server.connect(request())
    await settled(lambda: frame(events[0]) in wire.sent and not server.state.tasks)

    def responses() -> int:
        return sum(isinstance(each, event_stream._Pump) for each in gc.get_objects())

    gc.collect()
    open_before = responses()
    gc.disable()
    try:
        connection.connection_lost(None)
        await settled(lambda: stream._closed and not server.state.tasks)
        await some_turns()
        server.frames, left = None, weakref.ref(connection)
        del connection

        assert left() is None
        assert responses() == open_before - 1
    finally:
        gc.enable()


@pytest.mark.parametrize("reads_on", [False, True])
async def test_a_stream_that_would_rest_again_at_once_waits_for_its_client_first(*, reads_on: bool) -> None:
    events, stream_settings = run(1, 4), StreamSettings()
    hub, log = QuietHub(stream_settings), MemoryLog(events[:1])
    reader = ThreadReader(
        SESSION, Cursor.START, store=log, bus=MemoryTail(), hub=hub, settings=stream_settings, ordinals=None
    )
    server = Server(
        write_timeout_seconds=HUNG_SECONDS if reads_on else 0.05,
        frames=ThreadStream(reader, PeerVersions(speaks_1_0), stream_settings),
    )
    connection, wire = server.connect(request())
    await settled(lambda: frame(events[0]) in wire.sent and not server.state.tasks)
    connection.pause_writing()

    def commit(event: int) -> None:
        log.events.append(events[event])
        if SESSION in hub._tails:
            hub._tails[SESSION].add([events[event]])

    # From here on the clock runs for a client that does not read: on a slow machine it may be let go at once.
    with capture_logs() as lines:
        commit(1)
        await settled(lambda: frame(events[1]) in wire.sent)
        await some_turns()
        commit(2)
        if reads_on:
            await some_turns()
            assert server.state.tasks, "a task waits for the client"
            assert frame(events[2]) not in wire.sent, "a client that is behind gets nothing more"
            connection.resume_writing()
            await settled(lambda: frame(events[2]) in wire.sent and not server.state.tasks)
            commit(3)
            await settled(lambda: frame(events[3]) in wire.sent)
            connection.connection_lost(None)
        await settled(lambda: SESSION not in hub._tails and not server.state.tasks)

    (body,) = bodies(wire)
    sent = events if reads_on else events[:2]
    assert body.partition(b"\n\n")[2] == b"".join(map(frame, sent))
    assert [line["event"] for line in lines] == ([] if reads_on else ["stream_stalled"]) + ["request"]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_only_streams_that_were_asked_for_are_parked(method: str) -> None:
    server = Server()
    connection, wire = server.connect(
        request(method=method, accept=None if method == "GET" else "text/event-stream")
    )
    await settled(lambda: wire.statuses() == [200])

    assert server.sources[0].outlet is None
    connection.connection_lost(None)
    await settled(lambda: server.sources[0].closed and not server.state.tasks)


def test_frames_that_never_rest_cannot_be_attached() -> None:
    async def frames() -> AsyncIterator[bytes]:
        yield FIRST

    class Nowhere:
        def write(self, data: bytes) -> bool:
            raise AssertionError(data)

        def go_on(self) -> None:
            raise AssertionError

    assert not attach(frames(), Nowhere())
