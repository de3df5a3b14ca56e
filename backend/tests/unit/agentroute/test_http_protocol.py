"""What a client may send before a route sees it. Bytes in, bytes out: the transport is a list, the clock is given."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.support.http_wire import Wire
from tests.support.limits import HUNG_SECONDS
from uvicorn import Config
from uvicorn.server import ServerState

from agentroute.http_protocol import (
    HEAD_SECONDS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    MAX_TARGET_BYTES,
    BoundedProtocol,
    Connections,
)

ENOUGH = HEAD_SECONDS + 1


class Server:
    """An application that answers when it is told to, and the connections to it."""

    def __init__(self, most: int = 100) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.limits = Connections(most)
        self.state = ServerState()
        self.config = Config(self._app, interface="asgi3", log_config=None, ws="none", lifespan="off")
        self.config.load()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        message: Message = {"more_body": scope["path"] != "/unread"}
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        self.requests.append((scope["path"], body))
        self.headers.append(dict(scope["headers"]))
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> tuple[BoundedProtocol, Wire]:
        connection = BoundedProtocol(
            config=self.config, server_state=self.state, app_state={}, connections=self.limits
        )
        wire = Wire()
        connection.connection_made(wire)
        return connection, wire

    async def answered(self) -> None:
        """Let every request that can be answered be answered."""
        while self.gate.is_set() and self.state.tasks:
            async with asyncio.timeout(HUNG_SECONDS):
                await asyncio.wait(self.state.tasks)

    async def send(self, *parts: bytes) -> Wire:
        connection, wire = self.connect()
        for part in parts:
            connection.data_received(part)
            await self.answered()
        return wire

    def sweep(self) -> None:
        self.limits.sweep(asyncio.get_running_loop().time() + ENOUGH)


def get(path: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
HALF = 1 << 14

REFUSALS = {
    "a target that is too long": ([get("/" + "a" * MAX_TARGET_BYTES)], 414, "target-too-long"),
    "a target without end": ([b"GET /?", *[b"a" * HALF] * 9], 414, "target-too-long"),
    "a field that is too large": ([get("/", "A: " + "a" * MAX_HEAD_BYTES)], 431, "headers-too-large"),
    "a field without end": (
        [b"GET / HTTP/1.1\r\nA: ", *[b"a" * HALF] * 9],
        431,
        "headers-too-large",
    ),
    "a name without end": ([b"GET / HTTP/1.1\r\n", *[b"a" * HALF] * 9], 431, "headers-too-large"),
    "too many fields": ([get("/", *["A: b"] * MAX_HEADERS)], 431, "headers-too-large"),
    "fields without end": ([b"GET / HTTP/1.1\r\n", *[b"A: b\r\n"] * 999], 431, "headers-too-large"),
    "no HTTP": ([b"\x16\x03\x01 hello\r\n\r\n"], 400, "malformed-http"),
    "HTTP/2 without an offer": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "malformed-http"),
    "a proxy's request": ([b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"], 400, "malformed-http"),
    "two lengths": (
        [b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        400,
        "malformed-http",
    ),
}


@pytest.mark.parametrize(("parts", "status", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_a_head_beyond_a_limit_is_refused_with_the_reason(
    parts: Sequence[bytes], status: int, code: str
) -> None:
    server = Server()

    wire = await server.send(*parts, b"more")

    assert wire.statuses() == [status]
    assert wire.problem()["code"] == code
    assert wire.state == "answered"  # still open, so that the client can read the reason
    assert server.requests == []
    server.sweep()
    assert wire.state == "aborted"


UNFINISHED = {
    "a chunk's extension": [CHUNKED, b"1;", *[b"a" * HALF] * 9],
    "a trailer's name": [CHUNKED, b"1\r\nx\r\n0\r\n", *[b"a" * HALF] * 9],
    "trailers": [CHUNKED, b"1\r\nx\r\n0\r\n", *[b"A: b\r\n" * 999] * 9],
}


@pytest.mark.parametrize("parts", UNFINISHED.values(), ids=UNFINISHED)
async def test_what_surrounds_a_body_is_bounded_like_a_head(parts: Sequence[bytes]) -> None:
    server = Server()
    connection, wire = server.connect()

    for part in parts:
        connection.data_received(part)

    assert wire.state == "aborted"
    assert connection not in server.limits.idle


async def test_the_largest_head_and_the_smallest_chunks_are_allowed() -> None:
    server = Server()
    fields = ["Authorization: Bearer " + "t" * (16 << 10)] + ["A: b"] * (MAX_HEADERS - 2)

    wire = await server.send(get("/?" + "q" * (MAX_TARGET_BYTES - 2), *fields))
    wire.sent += (await server.send(CHUNKED + b"1\r\nx\r\n" * 99_999 + b"0\r\nTrailer: ignored\r\n\r\n")).sent

    assert wire.statuses() == [200, 200]
    assert server.requests[1] == ("/", b"x" * 99_999)
    assert b"trailer" not in server.headers[1]


SILENT = {
    "nothing": [b""],
    "line breaks": [b"\r\n" * 9],
    "nothing after an answer": [get()],
    "line breaks after an answer": [get(), b"\r\n"],
    "less than its body": [b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"],
}


@pytest.mark.parametrize("parts", SILENT.values(), ids=SILENT)
async def test_a_connection_that_waits_too_long_is_closed(parts: Sequence[bytes]) -> None:
    server = Server()
    wire = await server.send(*parts)
    answers = wire.statuses()
    assert not wire.is_closing()

    server.sweep()

    assert wire.state == "aborted"
    assert wire.statuses() == answers
    assert server.state.connections == set()


async def test_half_a_head_is_answered_408_after_its_time() -> None:
    server = Server()
    wire = await server.send(get(), b"GET / HTTP/1.1\r\nHos")

    server.limits.sweep(asyncio.get_running_loop().time())
    assert wire.statuses() == [200]
    server.sweep()

    assert wire.statuses() == [200, 408]


async def test_a_request_has_no_deadline_here() -> None:
    server = Server()
    connection, wire = server.connect()
    server.gate.clear()
    connection.data_received(get())
    await asyncio.sleep(0)

    server.sweep()

    assert wire.state == "open"
    server.gate.set()
    await server.answered()
    assert wire.statuses() == [200]


async def test_an_offer_of_http2_is_ignored_and_the_body_is_read() -> None:
    server = Server()
    offer = (
        b"POST /a?b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
    )

    connection, wire = server.connect()
    connection.data_received(offer + b"he")
    connection.data_received(b"llo" + get("/next"))
    await server.answered()
    await server.answered()

    assert server.requests == [("/a", b"hello"), ("/next", b"")]
    assert server.headers[0][b"content-type"] == b"application/json"
    assert b"upgrade" not in server.headers[0]
    assert wire.statuses() == [200, 200]


async def test_requests_sent_ahead_are_answered_in_order_and_bounded() -> None:
    server = Server()
    connection, wire = server.connect()

    connection.data_received(b"".join(get(f"/{number}") for number in range(999)))
    await server.answered()

    taken = [f"/{number}" for number in range(MAX_PIPELINED + 1)]
    assert [path for path, _ in server.requests] == taken
    assert wire.statuses() == [200] * len(taken)
    # A client repeats what was not answered (RFC 9112, section 9.3.2).
    assert wire.state == "closed"


async def test_a_full_server_closes_the_longest_idle_connections_first() -> None:
    server = Server(most=3)
    idle = [server.connect()[1] for _ in range(3)]

    late = [await server.send(get()) for _ in range(2)]

    assert [wire.state for wire in idle] == ["aborted", "aborted", "open"]
    assert [wire.statuses() for wire in late] == [[200], [200]]


async def test_a_server_full_of_requests_refuses_new_connections_in_order() -> None:
    server = Server(most=2)
    server.gate.clear()
    busy = [server.connect() for _ in range(2)]
    for connection, _ in busy:
        connection.data_received(get())

    refused = [server.connect() for _ in range(200)]
    # However many come, few are open at any one time.
    assert len(server.state.connections) < 100

    told, silent = refused[0], refused[1]
    told[0].data_received(get())
    server.sweep()
    for _, wire in (told, silent):
        assert wire.problem()["code"] == "overloaded"
        assert b"retry-after: 1" in wire.sent
    server.sweep()
    assert [wire.state for _, wire in refused] == ["aborted"] * 200
    assert [wire.state for _, wire in busy] == ["open", "open"]
    server.gate.set()
    await server.answered()
    assert [wire.statuses() for _, wire in busy] == [[200], [200]]
    assert (await server.send(get())).statuses() == [200]


EVENT_SOURCE = ("Accept: text/event-stream", "Cache-Control: no-cache")
EVENTS = "/api/v1/agent/events?threadId=t-1"


@pytest.mark.parametrize(
    ("path", "fields", "outcome"),
    [
        (EVENTS, EVENT_SOURCE, "comes back"),
        (EVENTS, (*EVENT_SOURCE, "Origin: https://app.example"), "cut"),
        (EVENTS, EVENT_SOURCE[:1], "refused"),
        ("/api/v1/agent/history?threadId=t-1", EVENT_SOURCE, "refused"),
    ],
)
async def test_a_full_server_lets_an_event_source_come_back(
    path: str, fields: tuple[str, ...], outcome: str
) -> None:
    server = Server(most=1)
    server.gate.clear()
    server.connect()[0].data_received(get())
    connection, wire = server.connect()

    connection.data_received(get(path, *fields))

    if outcome == "refused":
        assert wire.problem()["code"] == "overloaded"
    elif outcome == "cut":
        # An answer without CORS headers would be the end of it.
        assert (wire.sent, wire.state) == (b"", "aborted")
    else:
        head, _, body = wire.sent.partition(b"\r\n\r\n")
        assert wire.statuses() == [200]
        assert b"content-type: text/event-stream\r\n" in head
        assert re.fullmatch(rb": overloaded\nretry: 1\d{3}\n\n", body)
        assert wire.state == "answered"
    server.sweep()
    assert wire.state == "aborted"
    server.gate.set()
    await server.answered()


async def test_a_connection_too_many_is_served_if_a_place_becomes_free_before_its_head_arrives() -> None:
    server = Server(most=1)
    server.gate.clear()
    first, wire = server.connect()
    first.data_received(get())
    late, late_wire = server.connect()
    server.gate.set()
    await server.answered()
    first.connection_lost(None)

    late.data_received(get())
    await server.answered()

    assert [wire.statuses(), late_wire.statuses()] == [[200], [200]]
