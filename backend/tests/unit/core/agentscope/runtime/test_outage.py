"""Reads that are repeated while Postgres is away: which ones, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.runtime.outage import through_outage
from core.errors import StoreUnavailable

GONE = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return VIRTUAL_CLOCK


def failing(times: int, error: Exception = GONE) -> Callable[[], Awaitable[int]]:
    """Return a read that fails that often, and then says which try it was."""
    tries = 0

    async def read() -> int:
        nonlocal tries
        tries += 1
        if tries <= times:
            raise error
        return tries

    return read


async def test_a_read_is_repeated_until_postgres_answers() -> None:
    assert await through_outage(failing(10), seconds=60) == 11


async def test_a_read_that_postgres_answers_is_not_repeated() -> None:
    assert await through_outage(failing(0), seconds=60) == 1


async def test_patience_ends() -> None:
    started = asyncio.get_running_loop().time()

    with pytest.raises(StoreUnavailable):
        await through_outage(failing(1000), seconds=60)
    assert 59 <= asyncio.get_running_loop().time() - started <= 60


async def test_a_fault_of_ours_comes_through_at_once() -> None:
    started = asyncio.get_running_loop().time()

    with pytest.raises(ValueError, match="ours"):
        await through_outage(failing(1000, ValueError("ours")), seconds=60)
    assert asyncio.get_running_loop().time() == started
