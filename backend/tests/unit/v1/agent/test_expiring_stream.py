"""A stream ends when its reader's token does, and the run goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.memory_ports import MemoryRuns

from core.identity import Principal
from v1.agent.expiring_stream import EXPIRED, until_expiry

BASE = "/api/v1/agent"
RUN = {"threadId": "t-1", "runId": "r-1", "messages": [{"id": "m-1", "role": "user", "content": "hello"}]}


class Frames:
    """Frames that are there, then silence."""

    def __init__(self, *frames: bytes, ends: bool = False) -> None:
        self.closed = False
        self._frames, self._ends = frames, ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for frame in self._frames:
                yield frame
            if not self._ends:
                await asyncio.sleep(NEVER_SECONDS)
        finally:
            self.closed = True


def reader(seconds: float | None) -> Principal:
    return Principal("default", "ada", None if seconds is None else time.time() + seconds)


async def read(frames: Frames, principal: Principal) -> list[bytes]:
    async with asyncio.timeout(HUNG_SECONDS):
        return [frame async for frame in until_expiry(aiter(frames), principal)]


async def test_a_silent_stream_ends_with_the_token() -> None:
    frames = Frames(b"a", b"b")

    assert await read(frames, reader(0.05)) == [b"a", b"b", EXPIRED]
    assert frames.closed


async def test_a_token_that_has_expired_shows_nothing_more() -> None:
    assert await read(Frames(b"a"), reader(-1)) == [EXPIRED]


@pytest.mark.parametrize("seconds", [None, NEVER_SECONDS])
async def test_a_stream_that_ends_before_its_token_is_unchanged(seconds: float | None) -> None:
    assert await read(Frames(b"a", ends=True), reader(seconds)) == [b"a"]


def test_the_end_is_a_comment_that_parsers_skip_and_when_to_come_back() -> None:
    assert EXPIRED.startswith(b": token-expired: the token has expired")
    assert EXPIRED.endswith(b"\n\nretry: 1000\n\n")


async def test_the_validity_of_a_token_is_not_a_part_of_who_somebody_is() -> None:
    assert reader(1) == reader(2) == reader(None)
    assert len({reader(1), reader(2)}) == 1


@pytest.mark.parametrize("on_disconnect", ["continue", "cancel"])
async def test_every_open_stream_of_an_expired_token_ends_and_no_run_does(
    app: FastAPI,
    ada: httpx.AsyncClient,
    runs: MemoryRuns,
    monkeypatch: pytest.MonkeyPatch,
    on_disconnect: str,
) -> None:
    authenticator = app.state.container.authenticator

    async def soon_expired(headers: object) -> Principal:
        return reader(0.05)

    monkeypatch.setattr(authenticator, "authenticate", soon_expired)
    body = RUN | {"forwardedProps": {"onDisconnect": on_disconnect}}
    async with asyncio.timeout(HUNG_SECONDS):
        posted = await ada.post(f"{BASE}/runs", json=body, headers={"Accept": "text/event-stream"})
        followed = await ada.get(f"{BASE}/events?threadId=t-1")

    assert posted.content.endswith(EXPIRED)
    assert followed.content.endswith(EXPIRED)
    assert runs.cancelled == []
    assert runs.open_streams == 0
