"""Readiness over real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from tests.support.limits import HUNG_SECONDS

from agentroute import migrations
from agentroute.readiness import KEEP_SECONDS, StoreReadiness
from agentroute.schema_state import schema
from core import worker_count
from core.agentscope.runtime.work.leases import Heartbeat
from core.config import DatabaseSettings, RedisSettings, Settings
from core.readiness import Readiness
from core.redis_client import create_redis

_END_THE_PROBES = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'agentroute-readiness'
"""
READY = Readiness(postgres=True, migrations=True, redis=True)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = create_redis(RedisSettings(url=SecretStr(redis_url)))
    yield client
    await client.aclose(close_connection_pool=True)


def probe_of(url: str, redis: Redis, clock: Callable[[], float] = time.monotonic) -> StoreReadiness:
    settings = DatabaseSettings(url=SecretStr(url))
    return StoreReadiness(settings, redis, schema=schema(), clock=clock)


async def look(url: str, redis: Redis) -> Readiness:
    probe = probe_of(url, redis)
    try:
        return await probe()
    finally:
        await probe.aclose()


async def test_everything_is_there(database_url: str, redis: Redis) -> None:
    assert await look(database_url, redis) == READY


async def test_workers_are_counted_while_they_live_and_not_required(
    blank_database_url: str, redis: Redis
) -> None:
    await migrations.upgrade(blank_database_url)
    database = DatabaseSettings(url=SecretStr(blank_database_url))
    assert (await look(blank_database_url, redis)).workers == 0
    heartbeat = Heartbeat(Settings(database=database, redis=RedisSettings(url=SecretStr("redis://unused"))))
    heartbeat.start()
    async with asyncio.timeout(HUNG_SECONDS):
        while (await look(blank_database_url, redis)).workers != 1:
            pass
        heartbeat.stop()
        while (found := await look(blank_database_url, redis)).workers != 0:
            pass
    assert found.ready


async def test_a_count_that_the_server_refuses_leaves_the_rest(
    database_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_count, "_COUNT_SQL", "SELECT 1 / 0 WHERE $1::text IS NOT NULL")

    found = await look(database_url, redis)

    assert found == READY
    assert found.workers is None


async def test_tables_that_are_missing_are_not_ready(blank_database_url: str, redis: Redis) -> None:
    found = await look(blank_database_url, redis)

    assert found == Readiness(postgres=True, migrations=False, redis=True)
    assert not found.ready


@pytest.mark.parametrize(
    ("revision", "oldest", "expected"),
    [
        ("9999", "0001", READY),
        ("9999", "9998", Readiness(postgres=True, migrations=False, redis=True, schema_ahead=True)),
        ("0001", None, Readiness(postgres=True, migrations=False, redis=True)),
    ],
    ids=["newer and compatible", "newer and incompatible", "older"],
)
async def test_the_database_says_who_can_use_its_schema(
    blank_database_url: str, redis: Redis, revision: str, oldest: str | None, expected: Readiness
) -> None:
    await migrations.upgrade(blank_database_url)
    connection = await asyncpg.connect(blank_database_url)
    await connection.execute(
        "UPDATE alembic_version SET version_num = $1, compatible_from = $2", revision, oldest
    )
    await connection.close()

    assert await look(blank_database_url, redis) == expected


async def test_redis_may_be_away(database_url: str) -> None:
    away = create_redis(RedisSettings(url=SecretStr("redis://127.0.0.1:1/0")))

    found = await look(database_url, away)

    assert found == Readiness(postgres=True, migrations=True, redis=False)
    assert found.ready
    await away.aclose(close_connection_pool=True)


async def test_postgres_may_not(redis: Redis) -> None:
    found = await look("postgresql://a:b@127.0.0.1:1/x", redis)

    assert found == Readiness(postgres=False, migrations=False, redis=True)
    assert not found.ready


async def test_all_who_ask_share_one_look_on_one_connection(database_url: str, redis: Redis) -> None:
    now = 0.0
    probe = probe_of(database_url, redis, clock=lambda: now)
    direct = await asyncpg.connect(database_url)
    try:
        assert set(await asyncio.gather(*(probe() for _ in range(50)))) == {READY}
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentroute-readiness'"
        assert await direct.fetchval(f"{count} AND datname = current_database()") == 1

        # Within a second nobody looks, so nothing is noticed; after it, everything is.
        await direct.execute("ALTER TABLE alembic_version RENAME TO away")
        now = KEEP_SECONDS * 0.9
        assert await probe() == READY
        now = KEEP_SECONDS
        assert not (await probe()).ready
    finally:
        await direct.execute("ALTER TABLE away RENAME TO alembic_version")
        await direct.close()
        await probe.aclose()


async def test_a_broken_connection_is_replaced(database_url: str, redis: Redis) -> None:
    now = 0.0
    probe = probe_of(database_url, redis, clock=lambda: now)
    direct = await asyncpg.connect(database_url)
    try:
        assert await probe() == READY
        await direct.execute(_END_THE_PROBES)
        now = 1.0
        assert (await probe()).postgres in {True, False}
        now = 2.0
        assert await probe() == READY
    finally:
        await direct.close()
        await probe.aclose()
