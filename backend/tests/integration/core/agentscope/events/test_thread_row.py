"""What transactions do to a thread's row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.thread_row import lock_thread, set_state, take_positions, try_lock_thread
from core.config import DatabaseSettings
from core.database import create_engine

LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+00:00")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    yield engine
    await engine.dispose()


@pytest.fixture
async def thread(engine: AsyncEngine) -> int:
    """The key of a thread that was quiet for long."""
    async with engine.begin() as connection:
        insert = text(
            """INSERT INTO agent_chat_session (tenant_id, user_id, thread_id, updated_at)
            VALUES ('t', 'u', 'thread', :updated_at) RETURNING id"""
        )
        return (await connection.execute(insert, {"updated_at": LONG_AGO})).scalar_one()


async def column(engine: AsyncEngine, name: str) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text(f"SELECT {name} FROM agent_chat_session"))).scalar_one()  # noqa: S608  a name of this file


async def test_positions_follow_each_other_and_none_may_be_taken(engine: AsyncEngine, thread: int) -> None:
    async with engine.begin() as connection:
        firsts = [await take_positions(connection, thread, count, touch=False) for count in (2, 0, 3, 1)]

    assert firsts == [1, 3, 3, 6]


@pytest.mark.parametrize("touch", [True, False])
async def test_only_activity_moves_a_thread_to_the_front(
    engine: AsyncEngine, thread: int, touch: bool
) -> None:
    async with engine.begin() as connection:
        await take_positions(connection, thread, 1, touch=touch)

    assert (await column(engine, "updated_at") > LONG_AGO) is touch


async def test_a_thread_that_another_transaction_holds_is_left_alone(
    engine: AsyncEngine, thread: int
) -> None:
    async with engine.begin() as holder:
        await lock_thread(holder, thread)
        async with engine.begin() as other:
            assert not await try_lock_thread(other, thread)
    async with engine.begin() as other:
        assert await try_lock_thread(other, thread)
        assert not await try_lock_thread(other, thread + 1)


async def test_a_thread_that_is_held_can_still_be_referred_to(engine: AsyncEngine, thread: int) -> None:
    async with engine.begin() as holder:
        await lock_thread(holder, thread)
        async with engine.begin() as other:
            # What an insert with a foreign key takes.
            key_share = text("SELECT 1 FROM agent_chat_session WHERE id = :id FOR KEY SHARE SKIP LOCKED")
            assert (await other.execute(key_share, {"id": thread})).one_or_none() is not None


async def test_a_state_is_replaced_as_a_whole(engine: AsyncEngine, thread: int) -> None:
    for state in ('{"a": 1}', "[2]", "null"):
        async with engine.begin() as connection:
            await set_state(connection, thread, state)

    assert await column(engine, "state::text") == "null"
