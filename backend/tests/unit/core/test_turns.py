"""Few runs begin at once, and none holds up the others for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.turns import Turns

AT_ONCE = 4
MOST_SECONDS = 0.25


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


class Runs:
    """Runs that begin and never say that they have begun."""

    def __init__(self) -> None:
        self.turns = Turns(AT_ONCE, MOST_SECONDS)
        self.begun: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        self.tasks += [asyncio.create_task(self._begin(len(self.tasks) + number)) for number in range(count)]
        await asyncio.sleep(0.001)

    async def _begin(self, number: int) -> None:
        async with self.turns.place():
            self.begun.append(number)
            await asyncio.sleep(1000 * MOST_SECONDS)


async def test_runs_that_take_long_to_begin_hold_up_the_others_for_a_limited_time() -> None:
    runs = Runs()
    await runs.start(3 * AT_ONCE)
    assert runs.begun == [*range(AT_ONCE)]

    await asyncio.sleep(MOST_SECONDS)
    assert runs.begun == [*range(2 * AT_ONCE)]
    await asyncio.sleep(MOST_SECONDS)
    assert runs.begun == [*range(3 * AT_ONCE)]


async def test_a_run_that_is_cancelled_takes_no_place_with_it() -> None:
    runs = Runs()
    await runs.start(AT_ONCE + 2)
    # One that begins, and one that waits.
    for number in (0, AT_ONCE):
        runs.tasks[number].cancel()
    await asyncio.sleep(0.001)

    assert runs.begun == [*range(AT_ONCE), AT_ONCE + 1]
