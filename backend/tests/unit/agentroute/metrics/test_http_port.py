"""The small server of operators: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.metrics.http_port import MAX_HEAD_BYTES, Answer, serve


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    async def handler(path: str, accept: str) -> Answer:
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
