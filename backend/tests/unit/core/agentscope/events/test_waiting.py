"""The stream of a run that waits: it rests until the hub hears of a later run, and asks only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from tests.support.thread_log import SESSION, QuietHub

from core.agentscope.events.hub import Tail
from core.agentscope.events.reader import STORE_PATIENCE_SECONDS
from core.agentscope.events.sse import HEARTBEAT, StreamEnd, last_words
from core.agentscope.events.waiting import sse_after_waiting
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings
from core.errors import NotFound, Overloaded

SETTINGS = StreamSettings()
HEAD = Cursor(3, 7)
STREAM = b"the stream"


async def _ready_stream() -> AsyncIterator[bytes]:
    yield STREAM


class Waiting:
    """A run that waits in a thread whose live run has the ordinal 3, and what its client has read when."""

    def __init__(self) -> None:
        self.hub = QuietHub(SETTINGS)
        self.placed = False
        self.failure: Exception | None = None
        self.looks = 0
        self.chunks: list[bytes] = []
        self.times: list[float] = []
        self.task = asyncio.create_task(self._read())

    async def _started(self) -> AsyncIterator[bytes] | None:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return _ready_stream() if self.placed else None

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        frames = sse_after_waiting(self._started, SETTINGS, hub=self.hub, session_id=SESSION, head=HEAD)
        async for chunk in frames:
            self.chunks.append(chunk)
            self.times.append(round(loop.time() - began, 1))

    @property
    def tail(self) -> Tail:
        return self.hub._tails[SESSION]

    async def end(self) -> list[bytes]:
        """Return what came after the retry line, once the stream has ended."""
        async with asyncio.timeout(7200):
            await self.task
        assert self.chunks[0].startswith(b"retry: ")
        return self.chunks[1:]


async def test_it_beats_and_asks_nothing_until_a_later_run_begins() -> None:
    waiting = Waiting()
    await asyncio.sleep(1)
    for seq in range(8, 200):
        waiting.tail.see(Cursor(3, seq))  # the run it waits for
    await asyncio.sleep(33)
    assert (waiting.looks, waiting.chunks[1:]) == (1, [HEARTBEAT] * 2)
    waiting.placed = True
    waiting.tail.see(Cursor(4, 1))

    assert await waiting.end() == [HEARTBEAT, HEARTBEAT, STREAM]
    assert waiting.times[1:] == [15, 30, 34]
    assert waiting.looks == 2


async def test_it_goes_on_waiting_if_the_later_run_is_another() -> None:
    waiting = Waiting()
    await asyncio.sleep(1)
    waiting.tail.see(Cursor(4, 1))
    await asyncio.sleep(10)
    waiting.tail.see(Cursor(4, 2))
    await asyncio.sleep(1)
    assert waiting.looks == 2
    waiting.placed = True
    waiting.tail.see(Cursor(5, 1))

    assert (await waiting.end())[-1] == STREAM
    assert waiting.looks == 3


async def test_a_run_that_begins_between_the_look_and_the_rest_is_seen() -> None:
    waiting = Waiting()

    async def placed_meanwhile() -> None:
        waiting.looks += 1
        waiting.placed = True
        waiting.tail.see(Cursor(4, 1))

    async def started() -> AsyncIterator[bytes] | None:
        if not waiting.placed:
            return await placed_meanwhile()
        return _ready_stream()

    waiting._started = started  # type: ignore[method-assign]
    assert await waiting.end() == [STREAM]


async def test_it_ends_at_its_age() -> None:
    waiting = Waiting()

    *chunks, last = await waiting.end()
    assert set(chunks) == {HEARTBEAT}
    assert last == last_words(StreamEnd.MAX_AGE, 2000)
    assert 720 - 15 <= waiting.times[-1] <= 1081
    assert waiting.looks <= 2


async def test_it_ends_with_its_thread() -> None:
    waiting = Waiting()
    await asyncio.sleep(1)
    waiting.failure = NotFound("No such thread.")
    waiting.tail.end()

    assert await waiting.end() == [last_words(StreamEnd.THREAD_DELETED, 2000)]


async def test_a_drain_ends_it() -> None:
    waiting = Waiting()
    await asyncio.sleep(1)
    waiting.hub.drain()

    assert await waiting.end() == [last_words(StreamEnd.DRAIN, 2000)]


@pytest.mark.parametrize("failure", [OperationalError("SELECT", {}, OSError("gone")), Overloaded()])
async def test_it_outlasts_an_outage_but_not_for_ever(failure: Exception) -> None:
    waiting = Waiting()
    waiting.failure = failure
    await asyncio.sleep(5.5)
    waiting.failure, waiting.placed = None, True
    assert (await waiting.end())[-1] == STREAM

    other = Waiting()
    other.failure = failure
    *beats, last = await other.end()
    assert set(beats) == {HEARTBEAT}
    assert last == last_words(StreamEnd.STORE_UNAVAILABLE, 2000)
    assert other.times[-1] == pytest.approx(STORE_PATIENCE_SECONDS, abs=3)


async def test_a_fault_of_ours_ends_it_at_once() -> None:
    waiting = Waiting()
    waiting.failure = ProgrammingError("SELECT", {}, Exception("no such column"))

    with pytest.raises(ProgrammingError):
        await waiting.end()
