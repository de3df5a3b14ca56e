"""A small HTTP server for a port of operators: GET and HEAD, one request a connection, answers from memory.

It has an event loop of its own, in a thread: it answers also while the loop of the process is busy or hangs. That is when
somebody asks. The worker has no web framework, and does not get one for three paths.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MAX_HEAD_BYTES = 8 << 10
REQUEST_SECONDS = 10.0
"""From the connection to the last byte of the answer."""
MAX_CONNECTIONS = 64
"""At once. One more ends the oldest: those who say nothing take neither the process its files nor others their answer."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is sent."""

    status: int
    content: bytes
    media_type: str = "application/json"


Handler = Callable[[str, str], Awaitable[Answer]]
"""Answers a path, without its query, and the header ``Accept``."""


async def serve(listener: socket.socket, handler: Handler) -> asyncio.Server:
    """Answer requests on an open socket until the server that is returned is closed."""

    connections: dict[asyncio.StreamWriter, None] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) >= MAX_CONNECTIONS:
            oldest = next(iter(connections))
            del connections[oldest]
            oldest.transport.abort()
        connections[writer] = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                method, answer = await _answer(reader, handler)
                writer.write(_head(answer))
                if method != "HEAD":
                    writer.write(answer.content)
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            # Gone, or too slow: nobody is there to be told.
            pass
        finally:
            connections.pop(writer, None)
            # What is closed waits for a client that does not read.
            writer.transport.abort()

    return await asyncio.start_server(connected, sock=listener, limit=MAX_HEAD_BYTES)


async def _answer(reader: asyncio.StreamReader, handler: Handler) -> tuple[str, Answer]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        return "", Answer(400, b'{"detail":"The head of the request is too long."}\n')
    line, *rest = head.split("\r\n")
    method, _, target = line.partition(" ")
    path, _, protocol = target.rpartition(" ")
    if not protocol.startswith("HTTP/1.") or not path.startswith("/"):
        return "", Answer(400, b'{"detail":"This is not a request of HTTP/1.1."}\n')
    if method not in {"GET", "HEAD"}:
        return method, Answer(405, b'{"detail":"Only GET and HEAD."}\n')
    headers = dict(_header(entry) for entry in rest if ":" in entry)
    return method, await handler(path.partition("?")[0], headers.get("accept", ""))


def _header(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition(":")
    return name.strip().lower(), value.strip()


def _head(answer: Answer) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"Content-Type: {answer.media_type}",
        f"Content-Length: {len(answer.content)}",
        "Cache-Control: no-store",
        *(["Allow: GET, HEAD"] if answer.status == 405 else []),
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode("latin-1")
