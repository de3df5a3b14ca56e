"""The share of connections that streams may use: in order of arrival, and refused after a while."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.errors import Overloaded
from core.gate import Gate


@pytest.fixture(params=[VIRTUAL_CLOCK], ids=["virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


async def test_few_read_at_a_time_and_the_others_in_the_order_in_which_they_came() -> None:
    gate = Gate(2, patience_seconds=60)
    inside, most, order = 0, 0, []

    async def read(number: int) -> None:
        nonlocal inside, most
        async with gate:
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(1)
            inside -= 1

    await asyncio.gather(*(read(number) for number in range(9)))

    assert most == 2
    assert order == list(range(9))


async def test_a_read_that_waits_too_long_is_refused_and_told_another_time_than_the_others() -> None:
    gate = Gate(1, patience_seconds=5)

    async def refusal() -> float:
        with pytest.raises(Overloaded) as caught:
            async with gate:
                pass
        return caught.value.retry_after_seconds or 0

    async with gate:
        told = await asyncio.gather(*(refusal() for _ in range(20)))
    assert len(set(told)) == 20
    assert 2 <= min(told) <= max(told) <= 8

    async with asyncio.timeout(1), gate:
        pass


async def test_a_cancelled_read_gives_its_place_to_the_next() -> None:
    gate = Gate(1, patience_seconds=60)

    async def read() -> None:
        async with gate:
            await asyncio.sleep(3600)

    first, second = asyncio.create_task(read()), asyncio.create_task(read())
    await asyncio.sleep(1)
    for task in (second, first):
        task.cancel()
    await asyncio.wait({first, second})

    async with asyncio.timeout(1), gate:
        pass
