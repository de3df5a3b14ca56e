"""The small server of operators: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.stack import eventually

from agentroute.metrics import http_port
from agentroute.metrics.http_port import MAX_CONNECTIONS, MAX_HEAD_BYTES, Answer, serve

LARGE = 32 << 20
"""Bytes: more than the buffers of a connection take."""


@asynccontextmanager
async def served(asked: list[asyncio.Task[Any]] | None = None) -> AsyncIterator[int]:
    """Serve; ``asked`` gets the tasks that answer with what is large."""

    async def handler(path: str, accept: str) -> Answer:
        if path == "/large" and asked is not None and (task := asyncio.current_task()) is not None:
            asked.append(task)
            return Answer(200, b"x" * LARGE)
        return Answer(200 if path == "/known" else 404, f"{path} {accept}".encode(), "text/plain")

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await serve(listener, handler)
    try:
        yield port
    finally:
        server.close()


async def ask(port: int, request: bytes) -> tuple[str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(HUNG_SECONDS):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /known?x=1 HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\n\r\n", "200 OK", b"/known a/b"),
        (b"HEAD /known HTTP/1.1\r\n\r\n", "200 OK", b""),
        (b"GET /other HTTP/1.0\r\n\r\n", "404 Not Found", b"/other "),
        (b"POST /known HTTP/1.1\r\n\r\n", "405 Method Not Allowed", b'{"detail":"Only GET and HEAD."}\n'),
        (
            b"\x16\x03\x01 TLS\r\n\r\n",
            "400 Bad Request",
            b'{"detail":"This is not a request of HTTP/1.1."}\n',
        ),
        (
            b"GET /known HTTP/1.1\r\nX: " + b"x" * (2 * MAX_HEAD_BYTES) + b"\r\n\r\n",
            "400 Bad Request",
            b'{"detail":"The head of the request is too long."}\n',
        ),
    ],
    ids=["get", "head", "unknown", "method", "tls", "long"],
)
async def test_requests(request_: bytes, status: str, body: bytes) -> None:
    async with served() as port:
        head, told = await ask(port, request_)
    assert head.startswith(f"HTTP/1.1 {status}\r\n")
    assert "Connection: close" in head
    assert told == body


async def test_a_client_that_leaves_hurts_nobody() -> None:
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /kno")
        writer.transport.abort()
        head, _ = await ask(port, b"GET /known HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")


async def test_those_who_say_nothing_take_no_place_from_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "REQUEST_SECONDS", NEVER_SECONDS)
    async with served() as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS + 1)]
        head, _ = await ask(port, b"GET /known HTTP/1.1\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 OK")
        async with asyncio.timeout(HUNG_SECONDS):
            assert [await reader.read() for reader, _ in silent[:2]] == [b"", b""]
        assert not any(reader.at_eof() for reader, _ in silent[2:])
        for _, writer in silent:
            writer.close()


async def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "REQUEST_SECONDS", 0.1)
    asked: list[asyncio.Task[Any]] = []
    clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    async with served(asked) as port:

        async def is_asked() -> bool:
            # On a busy machine the time may be over before the request is read: then once more.
            if not asked:
                clients.append(await asyncio.open_connection("127.0.0.1", port))
                clients[-1][1].write(b"GET /large HTTP/1.1\r\n\r\n")
            return bool(asked)

        await eventually(is_asked)
        async with asyncio.timeout(HUNG_SECONDS):
            while unended := [task for task in asked if not task.done()]:
                await asyncio.wait(unended)
            for reader, writer in clients:
                got = b""
                with contextlib.suppress(ConnectionError):
                    got = await reader.read()
                assert len(got) < LARGE
                writer.close()
