"""Reads that are repeated while Postgres is away: which ones, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs
from tests.support.failing_engine import OURS
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.errors import StoreUnavailable
from core.outage import report_failure, through_outage

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
    assert await through_outage(failing(10), seconds=60, what="test") == 11


async def test_a_read_that_postgres_answers_is_not_repeated() -> None:
    assert await through_outage(failing(0), seconds=60, what="test") == 1


async def test_patience_ends() -> None:
    started = asyncio.get_running_loop().time()

    with pytest.raises(StoreUnavailable):
        await through_outage(failing(1000), seconds=60, what="test")
    assert 59 <= asyncio.get_running_loop().time() - started <= 60


async def test_a_fault_of_ours_comes_through_at_once() -> None:
    started = asyncio.get_running_loop().time()

    with pytest.raises(ValueError, match="ours"):
        await through_outage(failing(1000, ValueError("ours")), seconds=60, what="test")
    assert asyncio.get_running_loop().time() == started


@pytest.mark.parametrize("error", OURS, ids=repr)
async def test_no_fault_of_ours_is_repeated(error: Exception) -> None:
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(type(error)) as caught:
        await through_outage(attempt, seconds=60, what="test")

    assert (caught.value, tries) == (error, 1)


def test_an_outage_is_reported_as_a_warning_and_a_fault_of_ours_with_its_traceback() -> None:
    with capture_logs() as lines:
        report_failure("work_not_done", GONE, run=1)
        report_failure("work_not_done", OURS[0], run=2)

    assert lines[0] == {
        "event": "work_not_done",
        "log_level": "warning",
        "run": 1,
        "error": "ConnectionDoesNotExistError",
    }
    assert (lines[1]["log_level"], lines[1]["exc_info"], lines[1]["run"]) == ("error", OURS[0], 2)
