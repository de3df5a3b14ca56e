"""Calls of one turn are made together, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import asyncpg
import pytest
from tests.support.limits import HUNG_SECONDS

from core.turn_batch import MOST_TOGETHER, TurnBatch

CANCELLED = 1_000


class Calls:
    """Doubles numbers, and notes how."""

    def __init__(self, *, together: BaseException | None = None, declined: Collection[int] = ()) -> None:
        self.alone: list[int] = []
        self.batches: list[list[int]] = []
        self.held = asyncio.Event()
        self.held.set()
        self.begun = asyncio.Event()
        self._error = together
        self._declined = declined
        self.double = TurnBatch(self._one, self._many)

    async def _one(self, item: int) -> int:
        self.alone.append(item)
        if item == CANCELLED:
            raise asyncio.CancelledError
        if item < 0:
            raise ValueError(item)
        return 2 * item

    async def _many(self, items: Sequence[int]) -> dict[int, int]:
        self.batches.append(list(items))
        self.begun.set()
        await self.held.wait()
        if self._error is not None:
            raise self._error
        return {place: 2 * item for place, item in enumerate(items) if item not in self._declined}


async def test_calls_of_one_turn_go_together_and_one_call_goes_alone() -> None:
    calls = Calls()
    assert await asyncio.gather(*map(calls.double, (1, 2, 3))) == [2, 4, 6]
    assert await calls.double(4) == 8
    assert (calls.batches, calls.alone) == ([[1, 2, 3]], [4])


async def test_a_batch_under_way_keeps_nobody_waiting() -> None:
    calls = Calls()
    calls.held.clear()
    first = [asyncio.ensure_future(calls.double(item)) for item in (1, 2)]
    await calls.begun.wait()
    assert await calls.double(3) == 6
    calls.held.set()
    assert await asyncio.gather(*first) == [2, 4]


async def test_a_crowd_goes_in_several_batches() -> None:
    calls = Calls()
    numbers = range(2 * MOST_TOGETHER + 1)
    assert await asyncio.gather(*map(calls.double, numbers)) == [2 * item for item in numbers]
    assert [len(batch) for batch in calls.batches] == [MOST_TOGETHER, MOST_TOGETHER]


async def test_what_a_batch_leaves_out_is_asked_alone() -> None:
    calls = Calls(declined=(2, -3))
    results = await asyncio.gather(*map(calls.double, (1, 2, -3)), return_exceptions=True)
    assert results[:2] == [2, 4]
    assert isinstance(results[2], ValueError)
    assert calls.alone == [2, -3]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a fault of ours"),
        asyncpg.DeadlockDetectedError("a race"),
        asyncpg.QueryCanceledError("too slow"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    ],
    ids=["fault", "race", "time limit", "lock"],
)
async def test_one_call_at_fault_does_not_touch_the_others(error: Exception) -> None:
    calls = Calls(together=error)
    results = await asyncio.gather(*map(calls.double, (1, -2, 3)), return_exceptions=True)
    assert (results[0], results[2]) == (2, 6)
    assert isinstance(results[1], ValueError)


async def test_an_outage_is_told_to_all_at_once() -> None:
    away = asyncpg.AdminShutdownError("terminating connection")
    calls = Calls(together=away)
    results = await asyncio.gather(*map(calls.double, (1, 2)), return_exceptions=True)
    assert results == [away, away]
    assert calls.alone == []


@pytest.mark.parametrize("items", [(CANCELLED,), (1, 2), (CANCELLED, 2)])
async def test_a_call_that_is_cancelled_leaves_no_caller_waiting(items: tuple[int, ...]) -> None:
    calls = Calls(together=ValueError() if items[0] == CANCELLED else asyncio.CancelledError())
    callers = [asyncio.ensure_future(calls.double(item)) for item in items]
    done, _ = await asyncio.wait(callers, timeout=HUNG_SECONDS)

    assert len(done) == len(items)
    cancelled = [caller.cancelled() for caller in callers]
    assert cancelled == ([True, False] if items == (CANCELLED, 2) else [True] * len(items))


async def test_a_caller_that_is_cancelled_does_not_stop_the_call_of_another() -> None:
    calls = Calls()
    calls.held.clear()
    one, other = (asyncio.ensure_future(calls.double(item)) for item in (1, 2))
    await calls.begun.wait()
    one.cancel()
    calls.held.set()
    assert await other == 4
    assert one.cancelled()
