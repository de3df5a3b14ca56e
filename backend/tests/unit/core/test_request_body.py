"""Reading the JSON bodies of requests: in time, within bounds, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.config import LimitSettings
from core.errors import (
    AgentBackendError,
    BodyTooLarge,
    MalformedJson,
    RateLimited,
    UnsupportedMediaType,
    UploadTimeout,
)
from core.request_body import BIG_BYTES, JsonBodies

LIMITS = LimitSettings(max_body_bytes=1024)
BIG = LimitSettings(max_body_bytes=4 * BIG_BYTES, max_user_body_bytes=4 * BIG_BYTES, body_seconds=30)
BIG_BODY = orjson.dumps(["x" * 2 * BIG_BYTES])


async def read_json(request: Request, limits: LimitSettings) -> Any:
    bodies = JsonBodies(limits)
    try:
        async with bodies.read(request, "ada", lambda value: value) as value:
            return value
    finally:
        bodies.close()


def request(
    *chunks: bytes, content_type: str | None = "application/json", length: int | None = None
) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    source = iter(messages)

    async def receive() -> Any:
        return next(source)

    headers = [(b"content-type", content_type.encode())] if content_type is not None else []
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def exhausted() -> Any:
    raise AssertionError("the body was read")


# --- the request ---


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
async def test_json_in_utf8_is_read(content_type: str) -> None:
    assert await read_json(request(b'{"a"', b": 1}", content_type=content_type), LIMITS) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/ld+json",
        "application/json; charset=utf-16",
        "text/plain; application/json",
    ],
)
async def test_another_type_is_not_read(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        await read_json(request(b"{}", content_type=content_type), LIMITS)


async def test_a_large_declared_length_is_refused_before_reading() -> None:
    # Reading would ask an exhausted source.
    declared = Request(request(length=LIMITS.max_body_bytes + 1).scope, exhausted)
    with pytest.raises(BodyTooLarge):
        await read_json(declared, LIMITS)


@pytest.mark.parametrize("length", [None, 5, -1])
async def test_the_bytes_that_arrive_are_counted_whatever_was_declared(length: int | None) -> None:
    with pytest.raises(BodyTooLarge):
        await read_json(request(b"[" + b" " * 600, b" " * 600 + b"]", length=length), LIMITS)


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b"[" + b" " * (LIMITS.max_body_bytes - 2) + b"]"

    assert await read_json(request(body), LIMITS) == []


# --- in time ---


class Slow:
    """A client that sends one byte in each interval."""

    def __init__(self, body: bytes, seconds: float) -> None:
        self._left = body
        self._seconds = seconds

    async def receive(self) -> Any:
        await asyncio.sleep(self._seconds)
        chunk, self._left = self._left[:1], self._left[1:]
        return {"type": "http.request", "body": chunk, "more_body": bool(self._left)}

    def request(self) -> Request:
        return Request(request().scope, self.receive)


@pytest.mark.parametrize("anyio_backend", [VIRTUAL_CLOCK], ids=["virtual-clock"])
class TestDeadline:
    async def test_a_body_that_arrives_too_slowly_is_refused(self, anyio_backend: Any) -> None:
        began = asyncio.get_running_loop().time()

        with pytest.raises(UploadTimeout):
            await read_json(Slow(b"[" + b" " * 100 + b"]", 1).request(), BIG)

        assert asyncio.get_running_loop().time() - began == pytest.approx(BIG.body_seconds)

    async def test_a_slow_body_in_time_is_read(self, anyio_backend: Any) -> None:
        assert await read_json(Slow(b"[1, 2]", 4).request(), BIG) == [1, 2]

    async def test_the_time_that_a_body_waits_for_room_is_not_its_clients(self, anyio_backend: Any) -> None:
        bodies = JsonBodies(BIG.model_copy(update={"body_seconds": 3}))
        async with contextlib.AsyncExitStack() as held:
            await held.enter_async_context(bodies._admission.room("ada", 4 * BIG_BYTES))
            # Refused for want of room after five seconds, not for its time after three.
            with pytest.raises(RateLimited):
                async with bodies.read(request(length=2 * BIG_BYTES), "ada", lambda value: value):
                    raise AssertionError("there was no room")
        bodies.close()


# --- within bounds, off the event loop ---


@pytest.fixture
async def bodies() -> AsyncIterator[JsonBodies]:
    bodies = JsonBodies(BIG)
    yield bodies
    bodies.close()


@pytest.mark.parametrize(("body", "in_thread"), [(b"[1]", False), (BIG_BODY, True)], ids=["small", "big"])
async def test_only_a_big_body_is_parsed_in_a_thread(
    body: bytes, in_thread: bool, bodies: JsonBodies
) -> None:
    async with bodies.read(request(body), "ada", lambda _: threading.get_ident()) as where:
        assert (where != threading.get_ident()) == in_thread


async def test_a_small_body_that_takes_long_is_validated_in_a_thread(bodies: JsonBodies) -> None:
    for value, in_thread in ([1], True), ([], False):
        body = request(orjson.dumps(value))
        async with bodies.read(body, "ada", lambda _: threading.get_ident(), takes_long=bool) as where:
            assert (where != threading.get_ident()) == in_thread


@pytest.mark.parametrize("length", [None, len(BIG_BODY)], ids=["chunked", "declared"])
async def test_a_big_body_holds_room_until_the_request_is_done(
    length: int | None, bodies: JsonBodies
) -> None:
    async with bodies.read(request(BIG_BODY, length=length), "ada", lambda value: value):
        assert bodies.held_bytes >= len(BIG_BODY)
    assert bodies.held_bytes == 0


async def test_a_small_body_needs_no_room(bodies: JsonBodies) -> None:
    async with bodies.read(request(b"[1]", length=3), "ada", lambda value: value):
        assert bodies.held_bytes == 0


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [((BIG_BODY[:-1],), MalformedJson), ((BIG_BODY,) * 3, BodyTooLarge)],
    ids=["malformed", "too-large"],
)
async def test_a_refused_body_gives_its_room_back(
    chunks: tuple[bytes, ...], expected: type[AgentBackendError], bodies: JsonBodies
) -> None:
    with pytest.raises(expected):
        async with bodies.read(request(*chunks), "ada", lambda value: value):
            raise AssertionError("the body was read")
    assert bodies.held_bytes == 0


async def test_a_user_with_too_many_bytes_at_once_waits(bodies: JsonBodies) -> None:
    read = list[int]()

    async def second() -> None:
        async with bodies.read(request(BIG_BODY), "ada", lambda value: value):
            read.append(bodies.held_bytes)

    async with bodies.read(request(BIG_BODY, length=len(BIG_BODY)), "ada", lambda value: value):
        # Chunked: it may grow to the limit, and so finds no room.
        task = asyncio.create_task(second())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not read
    await task
    assert read == [BIG.max_body_bytes]
