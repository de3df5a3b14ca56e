"""What a real driver raises when Postgres is away, and what it raises for other reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from tests.support.limits import HUNG_SECONDS

from core.config import DatabaseSettings
from core.database import create_engine
from core.direct_sql import fetch
from core.store_failure import is_store_failure


def engine_for(url: str, *, statement_seconds: float = HUNG_SECONDS, pool_size: int = 1) -> AsyncEngine:
    settings = DatabaseSettings(
        url=SecretStr(url),
        pool_size=pool_size,
        pool_timeout_seconds=HUNG_SECONDS,
        statement_timeout_seconds=statement_seconds,
    )
    return create_engine(settings, application_name="test")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(database_url)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("mode", ["disable", "prefer", "allow"])
async def test_the_url_may_say_whether_the_connection_is_encrypted(database_url: str, mode: str) -> None:
    engine = engine_for(f"{database_url}{'&' if '?' in database_url else '?'}sslmode={mode}")
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()


async def test_a_refused_connection_is_a_store_failure() -> None:
    engine = engine_for("postgresql://a:b@127.0.0.1:1/x")

    with pytest.raises(OSError) as caught:  # noqa: PT011  the platform's class and words
        async with engine.connect():
            pass
    assert is_store_failure(caught.value)
    await engine.dispose()


async def test_an_exhausted_pool_is_a_store_failure(engine: AsyncEngine) -> None:
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    async with engine.connect():
        # From now on: the connection that is made first may take its time.
        pool._timeout = 0.1
        with pytest.raises(SQLAlchemyError) as caught:
            async with engine.connect():
                pass
    assert is_store_failure(caught.value)


@pytest.mark.parametrize(
    ("statement", "statement_seconds"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", HUNG_SECONDS),
        (f"SELECT pg_sleep({HUNG_SECONDS})", 0.1),
    ],
    ids=["terminated", "statement timeout"],
)
async def test_a_lost_connection_or_cut_statement_is_a_store_failure(
    database_url: str, statement: str, statement_seconds: float
) -> None:
    engine = engine_for(database_url, statement_seconds=statement_seconds)
    with pytest.raises(DBAPIError) as caught:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    assert is_store_failure(caught.value)
    await engine.dispose()


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT nothing", "SELEC 1", "SELECT 'x'::int"])
async def test_a_wrong_statement_is_not(engine: AsyncEngine, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    assert not is_store_failure(caught.value)


async def test_a_wrong_argument_is_not(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT CAST(:n AS bigint)"), {"n": "not a number"})
    assert not is_store_failure(caught.value)


async def test_a_refused_statement_of_its_own_leaves_the_connection_in_order(engine: AsyncEngine) -> None:
    pids = {(await fetch(engine, "SELECT pg_backend_pid() AS pid"))[0]["pid"]}
    with pytest.raises(asyncpg.DivisionByZeroError) as caught:
        await fetch(engine, "SELECT 1 / $1::int", 0)
    pids.add((await fetch(engine, "SELECT pg_backend_pid() AS pid"))[0]["pid"])

    assert not is_store_failure(caught.value)
    assert len(pids) == 1


async def test_a_statement_of_its_own_that_lost_the_server_leaves_no_dead_connection(
    engine: AsyncEngine,
) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await fetch(engine, "SELECT pg_terminate_backend(pg_backend_pid())")

    assert is_store_failure(caught.value)
    assert (await fetch(engine, "SELECT 1 AS one"))[0]["one"] == 1


async def test_after_a_restart_of_the_server_the_dead_connections_cost_no_request(
    database_url: str,
) -> None:
    engine = engine_for(database_url, pool_size=4)
    connections = [await engine.connect() for _ in range(4)]
    pids = [await connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections]
    drivers = [(await connection.get_raw_connection()).driver_connection for connection in connections]
    for connection in connections:
        await connection.close()
    killer = engine_for(database_url)
    for pid in pids:
        await fetch(killer, "SELECT pg_terminate_backend($1)", pid)
    async with asyncio.timeout(HUNG_SECONDS):
        while not all(driver is not None and driver.is_closed() for driver in drivers):
            await fetch(killer, "SELECT 1")

    for _ in range(4):
        assert (await fetch(engine, "SELECT 1 AS one"))[0]["one"] == 1
    await engine.dispose()
    await killer.dispose()


async def test_a_statement_of_its_own_that_is_given_up_frees_its_connection(engine: AsyncEngine) -> None:
    taken = asyncio.Event()
    event.listen(engine.sync_engine, "checkout", lambda *_connection: taken.set())
    asking = asyncio.create_task(fetch(engine, "SELECT pg_sleep(1000)"))
    async with asyncio.timeout(HUNG_SECONDS):
        await taken.wait()
    asking.cancel()
    await asyncio.wait({asking}, timeout=HUNG_SECONDS)

    assert asking.cancelled()
    assert (await fetch(engine, "SELECT 1 AS one"))[0]["one"] == 1
