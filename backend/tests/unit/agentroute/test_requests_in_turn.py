"""Requests for streams are answered in turn; a request that is not complete, or takes long, holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.support.virtual_clock import VIRTUAL_CLOCK

from agentroute.requests_in_turn import AT_ONCE, MOST_SECONDS, PATIENCE_SECONDS, RequestsInTurn
from v1.agent.parking import PARKING


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Offer:
    """What a server says of a request."""

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete

    def is_possible(self) -> bool:
        return self._complete


class App:
    """An application whose answers begin and end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.sent: list[Message] = []
        self.begin = asyncio.Event()
        self._end = asyncio.Event()
        self._inner = RequestsInTurn(self._answer)
        self._tasks: list[asyncio.Task[None]] = []

    async def request(self, *offers: Offer | None) -> None:
        for offer in offers:
            number = len(self._tasks)
            scope = {"number": number, "extensions": {} if offer is None else {PARKING: offer}}
            self._tasks.append(asyncio.create_task(self._inner(scope, self._receive, self._send)))
        await asyncio.sleep(0.001)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["number"])
        await self.begin.wait()
        await send({"type": "http.response.start"})
        await self._end.wait()

    async def _receive(self) -> Message:
        raise AssertionError

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


COMPLETE = Offer(complete=True)


async def test_a_request_has_its_turn_until_its_answer_begins() -> None:
    app = App()
    await app.request(*[COMPLETE] * (AT_ONCE + 2))
    assert app.asked == [*range(AT_ONCE)]

    app.begin.set()
    await asyncio.sleep(0.001)

    # The streams themselves go on.
    assert app.asked == [*range(AT_ONCE + 2)]
    assert len(app.sent) == AT_ONCE + 2
    await app.close()


async def test_a_request_that_takes_long_holds_up_the_others_for_a_limited_time() -> None:
    app = App()
    await app.request(*[COMPLETE] * (AT_ONCE + 1))
    await asyncio.sleep(MOST_SECONDS)
    assert app.asked == [*range(AT_ONCE + 1)]
    await app.close()


async def test_nobody_waits_long_for_a_crowd_whose_answers_do_not_begin() -> None:
    app = App()
    await app.request(*[COMPLETE] * (100 * AT_ONCE))
    await asyncio.sleep(PATIENCE_SECONDS)
    assert sorted(app.asked) == [*range(100 * AT_ONCE)]

    # Who waited no longer took no place: all of them are there again.
    app.begin.set()
    await asyncio.sleep(MOST_SECONDS)
    app.begin.clear()
    await app.request(*[COMPLETE] * (AT_ONCE + 1))
    assert sorted(app.asked) == [*range(101 * AT_ONCE)]
    await app.close()


@pytest.mark.parametrize("offer", [None, Offer(complete=False)], ids=["another answer", "half a request"])
async def test_other_requests_neither_wait_nor_take_a_place(offer: Offer | None) -> None:
    app = App()
    await app.request(*[offer] * (2 * AT_ONCE), *[COMPLETE] * AT_ONCE, offer)
    assert app.asked == [*range(3 * AT_ONCE + 1)]
    await app.close()
