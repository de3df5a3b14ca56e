"""What a client sees of aiohttp's connections is what it sees of httpx's own, whatever the server does."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.support.limits import HUNG_SECONDS

from core.aiohttp_transport import SENT, AiohttpTransport

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BODY = b'{"stream": true}'
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


def says(*parts: bytes, reset: bool = False) -> Answer:
    """Return a server that reads a request, says this, and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        for part in parts:
            writer.write(part)
            await writer.drain()
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return answer


ANSWERS: dict[str, Answer] = {
    "chunks": says(CHUNKED + b"\r\n", b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"),
    "an extension and a trailer": says(CHUNKED + b"\r\n3;x=y\r\none\r\n0\r\nx-sum: 1\r\n\r\n"),
    "a length": says(b"HTTP/1.1 200 Fine\r\ncontent-length: 3\r\n\r\none"),
    "neither": says(b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"two"),
    "an old version": says(b"HTTP/1.0 200 OK\r\n\r\none"),
    "no body": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "early hints": says(
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    ),
    "an error": says(b"HTTP/1.1 503 \r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nbusy"),
    "a redirect": says(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"),
    "headers twice": says(
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\nX-A: 2\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    ),
    "a long header": says(b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 20_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    "many headers": says(
        b"HTTP/1.1 200 OK\r\n"
        + b"".join(b"x-%d: 1\r\n" % n for n in range(300))
        + b"content-length: 0\r\n\r\n"
    ),
    "words of Latin-1": says("HTTP/1.1 200 Très\r\nx-a: é\r\ncontent-length: 0\r\n\r\n".encode("latin-1")),
    "compressed": says(
        CHUNKED + b"content-encoding: gzip\r\n\r\n",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(b"text", mtime=0)), gzip.compress(b"text", mtime=0)),
    ),
    "nothing": says(),
    "nothing, and a reset": says(reset=True),
    "half a head": says(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "another protocol": says(b"220 mail.example.com ESMTP\r\n"),
    "a number that is none": says(b"HTTP/1.1 abc OK\r\n\r\n"),
    "half a chunk": says(CHUNKED + b"\r\n", b"5\r\non"),
    "no last chunk": says(CHUNKED + b"\r\n", b"3\r\none\r\n"),
    "less than its length": says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none"),
    "a reset in the middle": says(CHUNKED + b"\r\n", b"3\r\none\r\n", reset=True),
    "a reset after the head": says(CHUNKED + b"\r\n", reset=True),
}


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1/x?a=%2Fb"


def own(**limits: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=AiohttpTransport(httpx.Limits(**limits)), timeout=httpx.Timeout(HUNG_SECONDS)
    )


async def seen(client: httpx.AsyncClient, url: str, body: bytes = BODY) -> dict[str, Any]:
    """Make a request; return all that its caller can see of it."""
    found: dict[str, Any] = {"sent": [], "body": b""}

    async def trace(event: str, _info: object) -> None:
        if event == SENT:
            found["sent"].append(event)

    request = client.build_request("POST", url, content=body, extensions={"trace": trace})
    try:
        response = await client.send(request, stream=True)
        found |= {
            "status": response.status_code,
            "reason": response.reason_phrase,
            "version": response.http_version,
            "headers": response.headers.multi_items(),
        }
        try:
            async for part in response.aiter_bytes():
                found["body"] += part
        finally:
            await response.aclose()
    except httpx.TransportError as exc:
        found["error"] = type(exc)
        found["of"] = exc.request is request
    if found.get("error") is httpx.ReadError and "status" in found:
        # Whether a body broke off by a reset or by an end is told apart by httpx alone.
        found["error"] = httpx.RemoteProtocolError
    return found


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_and_failures_are_those_of_httpx(name: str) -> None:
    async with server(ANSWERS[name]) as url, own() as ours, httpx.AsyncClient(trust_env=False) as theirs:
        expected = await seen(theirs, url)
        for _ in range(2):
            assert await seen(ours, url) == expected


async def test_a_malformed_body_is_a_failure_and_what_came_with_it_is_lost() -> None:
    async with server(says(CHUNKED + b"\r\n3\r\none\r\nwhat\r\n")) as url, own() as client:
        found = await seen(client, url)
    assert found["error"] is httpx.RemoteProtocolError
    assert found["sent"] == [SENT]


async def test_what_is_sent_is_what_httpx_sends() -> None:
    requests: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(BODY)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with server(keep) as url, own() as ours, httpx.AsyncClient(trust_env=False) as theirs:
        for client in (theirs, ours):
            client.headers = httpx.Headers(
                [(b"user-agent", b"x"), (b"accept-encoding", b"identity"), (b"x-a", "é".encode())]
            )
            await client.post(url, content=BODY)
    expected, found = requests
    assert sorted(found.lower().split(b"\r\n")) == sorted(expected.lower().split(b"\r\n"))


async def test_nobody_listens_and_a_name_that_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with own() as ours, httpx.AsyncClient(trust_env=False) as theirs:
        for url in (f"http://127.0.0.1:{port}/", "http://no-such-name.invalid/", "ftp://127.0.0.1/"):
            expected = await seen(theirs, url)
            assert await seen(ours, url) == expected
            assert expected["sent"] == []


async def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_is_not_used() -> None:
    connections = 0
    closed = asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            writer.write(CHUNKED + b"\r\n3\r\none\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with server(twice) as url, own() as client:
        for number in range(6):
            assert (await client.post(url, content=BODY)).content == b"one"
            assert connections == 1 + number // 2
            if number % 2:
                async with asyncio.timeout(HUNG_SECONDS):
                    await closed.wait()
                closed.clear()


async def test_an_answer_that_is_left_ends_its_connection_and_gives_its_place_to_the_next() -> None:
    left = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"\r\n3\r\none\r\n")
        await reader.readexactly(len(BODY))
        await reader.read()
        left.set()

    async with server(endless) as url, own(max_connections=1) as client:
        request = client.build_request("POST", url, content=BODY)
        response = await client.send(request, stream=True)
        with pytest.raises(httpx.PoolTimeout) as failed:
            await client.post(url, content=BODY, timeout=httpx.Timeout(HUNG_SECONDS, pool=0.01))
        assert failed.value.request.url == url
        waiting = asyncio.create_task(
            client.send(client.build_request("POST", url, content=BODY), stream=True)
        )
        await response.aclose()
        async with asyncio.timeout(HUNG_SECONDS):
            await left.wait()
            await (await waiting).aclose()


async def test_a_request_that_is_cancelled_gives_its_place_back() -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with server(silent) as url, own(max_connections=1) as client:
        for _ in range(3):
            asked.clear()
            task = asyncio.create_task(seen(client, url))
            async with asyncio.timeout(HUNG_SECONDS):
                await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_silence_is_a_timeout_of_httpx() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as url, own() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, content=BODY, timeout=httpx.Timeout(HUNG_SECONDS, read=0.05))


async def test_a_body_that_nobody_takes_to_its_end_was_not_sent() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with server(deaf) as url, own() as client:
        found = await seen(client, url, b"x" * (32 << 20))
    assert issubclass(found["error"], httpx.TransportError)
    assert SENT not in found["sent"]


async def test_a_large_body_is_sent_whole() -> None:
    body = bytes(range(256)) * (3 << 12)
    came: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head.lower()
        came.append(await reader.readexactly(len(body)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with server(keep) as url, own() as client:
        found = await seen(client, url, body)
    assert came == [body]
    assert (found["status"], found["sent"]) == (200, [SENT])
