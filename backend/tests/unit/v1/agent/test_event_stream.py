"""The response that carries server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from v1.agent import event_stream
from v1.agent.event_stream import EventStreamResponse


class Client:
    """The other end of an ASGI connection."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.started = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.sent.append(message)
        self.started.set()

    async def get(self, response: EventStreamResponse) -> None:
        async with asyncio.timeout(HUNG_SECONDS):
            await response({"type": "http"}, self.receive, self.send)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def complete(self) -> bool:
        return self.sent[-1].get("more_body") is False


class Source:
    """Frames, then silence until released, then an end."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames
        self.release = asyncio.Event()
        self.closed = False

    async def read(self) -> AsyncIterator[bytes]:
        try:
            for frame in self.frames:
                yield frame
            await self.release.wait()
        finally:
            self.closed = True


@pytest.fixture
def client() -> Client:
    return Client()


async def test_headers_are_sent_at_once_and_exactly(client: Client) -> None:
    source = Source()
    task = asyncio.create_task(client.get(EventStreamResponse(source.read())))
    await asyncio.wait_for(client.started.wait(), HUNG_SECONDS)

    start = client.sent[0]
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"content-type": b"text/event-stream",
        b"cache-control": b"no-cache, no-transform",
        b"x-accel-buffering": b"no",
    }
    source.release.set()
    await task


async def test_the_body_is_the_frames_and_then_ends(client: Client) -> None:
    source = Source(b"id: 1-1\ndata: {}\n\n", b": hb\n\n")
    source.release.set()

    await client.get(EventStreamResponse(source.read()))

    assert client.body == b"id: 1-1\ndata: {}\n\n: hb\n\n"
    assert client.complete
    assert source.closed


async def test_a_client_that_leaves_closes_the_source(client: Client) -> None:
    source = Source(b"frame")
    task = asyncio.create_task(client.get(EventStreamResponse(source.read())))
    await asyncio.wait_for(client.started.wait(), HUNG_SECONDS)

    client.gone.set()
    await task

    assert source.closed


async def test_a_source_that_swallows_a_cancel_is_closed_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_CANCEL_AGAIN_SECONDS", 0.01)
    source = Source()

    async def read() -> AsyncIterator[bytes]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        async for frame in source.read():
            yield frame

    task = asyncio.create_task(client.get(EventStreamResponse(read())))
    await asyncio.wait_for(client.started.wait(), HUNG_SECONDS)
    client.gone.set()
    await task

    assert source.closed


async def test_a_stalled_write_ends_the_stream(client: Client) -> None:
    source = Source(b"frame")
    response = EventStreamResponse(source.read(), write_timeout_seconds=0.05)
    original = client.send

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            client.reads.clear()
        await original(message)

    async with asyncio.timeout(HUNG_SECONDS):
        await response({"type": "http"}, client.receive, send)

    assert source.closed
    assert [message["type"] for message in client.sent] == ["http.response.start"]


async def test_cancellation_closes_the_source_and_passes_through(client: Client) -> None:
    source = Source(b"frame")
    task = asyncio.create_task(client.get(EventStreamResponse(source.read())))
    await asyncio.wait_for(client.started.wait(), HUNG_SECONDS)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert source.closed


async def test_a_failing_source_ends_the_body_in_order_and_is_logged_once(client: Client) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"frame"
        raise TimeoutError("not a write")

    with capture_logs() as lines:
        await client.get(EventStreamResponse(failing()))

    assert client.body == b"frame"
    assert client.complete
    assert [line["event"] for line in lines] == ["stream_failed"]


async def test_a_server_that_says_the_client_is_gone_is_believed(client: Client) -> None:
    source = Source(b"frame")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    async with asyncio.timeout(HUNG_SECONDS):
        await EventStreamResponse(source.read())({"type": "http"}, client.receive, send)

    assert source.closed


async def test_an_endless_source_leaves_others_their_turn(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"frame"

    async def send(message: Any) -> None:
        """A server whose client is gone: it never waits."""

    client.gone.set()
    async with asyncio.timeout(HUNG_SECONDS):
        await EventStreamResponse(endless())({"type": "http"}, client.receive, send)
