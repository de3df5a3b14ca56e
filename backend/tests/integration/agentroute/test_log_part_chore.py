"""The chore that opens and drops parts of the log: it may be slow, it may fail, and ``doctor`` sees what is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import asyncpg
import pytest
from pydantic import SecretStr
from tests.support.manual_worker import manual_reaper
from tests.support.stack import OpenStack, Stack

from agentroute.log_check import check_log_parts
from agentroute.log_partitioning import partition_log
from core.agentscope.events import log_parts
from core.agentscope.events.log_parts import tend_parts
from core.config import DatabaseSettings
from core.database import create_engine

SLOW = "PERFORM pg_sleep(2); RETURN OLD;"
BROKEN = "RAISE EXCEPTION 'broken'; RETURN OLD;"


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A log in parts, and nobody who tends it."""
    async with open_stack(apis=0, workers=0) as stack:
        await partition_log(stack.settings.database)
        yield stack


@pytest.fixture
async def old_part(stack: Stack) -> None:
    """The oldest part is past its retention by far; the newest is a new one."""
    await stack.fetch("SELECT agent_open_log_part(0)")
    await stack.fetch("UPDATE agent_log_part SET opened_at = opened_at - interval '30 days'")
    await stack.fetch("SELECT agent_open_log_part(0)")


def impatient(stack: Stack, *, pooled: bool) -> DatabaseSettings:
    """Settings with which the driver waits for an answer for less time than a slow drop takes."""
    url = stack.settings.database.url
    return DatabaseSettings(
        url=url,
        direct_url=url if pooled else SecretStr(""),
        statement_timeout_seconds=1,
        silence_seconds=0.5,
        pool_size=1,
    )


@asynccontextmanager
async def drops_are(stack: Stack, what: str) -> AsyncIterator[None]:
    """Let every drop of a part do this first."""
    await stack.fetch(
        f"CREATE FUNCTION before_drop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} END $$"
    )
    await stack.fetch(
        "CREATE TRIGGER before_drop BEFORE DELETE ON agent_log_part FOR EACH ROW EXECUTE FUNCTION before_drop()"
    )
    try:
        yield
    finally:
        await stack.fetch("DROP FUNCTION before_drop CASCADE")


async def parts(stack: Stack) -> int:
    return len(await stack.fetch("SELECT FROM agent_log_part"))


@pytest.mark.usefixtures("old_part")
@pytest.mark.parametrize("pooled", [False, True])
async def test_a_drop_may_take_longer_than_any_other_statement(stack: Stack, pooled: bool) -> None:
    engine = create_engine(impatient(stack, pooled=pooled), application_name="test")
    try:
        # One part is slow: the others go first.
        while await parts(stack) > 2:
            await stack.fetch("SELECT agent_drop_log_part(7)")
        await stack.fetch("UPDATE agent_log_part SET opened_at = opened_at - interval '10 days'")
        async with drops_are(stack, SLOW):
            with patch.object(log_parts, "_LOOK_SECONDS", 1), pytest.raises(asyncpg.QueryCanceledError):
                await tend_parts(engine, days=7, seconds=1e9)
            # The same connection, the only one of the pool.
            assert await tend_parts(engine, days=7, seconds=1e9) == (False, 1)
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("old_part")
async def test_a_server_that_is_silent_for_longer_costs_the_connection_only(stack: Stack) -> None:
    engine = create_engine(impatient(stack, pooled=False), application_name="test")
    try:
        async with drops_are(stack, SLOW):
            with patch.object(log_parts, "_ANSWER_SECONDS", -59), pytest.raises(TimeoutError):
                await tend_parts(engine, days=7, seconds=1e9)
        opened, dropped = await tend_parts(engine, days=7, seconds=1e9)
        assert not opened
        assert dropped
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("old_part")
async def test_a_part_that_cannot_be_dropped_keeps_nothing_else_and_doctor_says_so(stack: Stack) -> None:
    await stack.fetch(
        """INSERT INTO user_budget (tenant_id, user_id, day, used_tokens, used_cost, reserved_tokens, reserved_cost)
        VALUES ('t', 'u', current_date - 1000, 1, 1, 0, 0)"""
    )
    there = await parts(stack)
    async with manual_reaper(stack.settings) as reaper:
        async with drops_are(stack, BROKEN):
            await reaper.prune()
        assert await stack.fetch("SELECT FROM user_budget") == []
        assert await parts(stack) == there
        # The newest part is new, and yet:
        (told,) = await check_log_parts(stack.settings)
        assert not told.ok
        assert "nothing old is dropped" in told.fix
        assert "the oldest closed 720 h ago" in told.found

        await reaper.prune()
    assert await parts(stack) < there
    assert [result.ok for result in await check_log_parts(stack.settings)] == [True]
