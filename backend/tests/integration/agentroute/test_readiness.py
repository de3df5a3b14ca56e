"""Readiness over real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.limits import HUNG_SECONDS

from agentroute import migrations
from agentroute.readiness import StoreReadiness
from core.config import DatabaseSettings, RedisSettings
from core.database import create_engine
from core.readiness import Readiness
from core.redis_client import create_redis


def engine_for(url: str) -> AsyncEngine:
    settings = DatabaseSettings(url=SecretStr(url), pool_timeout_seconds=HUNG_SECONDS)
    return create_engine(settings, application_name="test")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = create_redis(RedisSettings(url=SecretStr(redis_url)))
    yield client
    await client.aclose(close_connection_pool=True)


async def look(url: str, redis: Redis, revision: str | None = None) -> Readiness:
    engine = engine_for(url)
    try:
        return await StoreReadiness(engine, redis, revision=revision or migrations.head())()
    finally:
        await engine.dispose()


async def test_everything_is_there(database_url: str, redis: Redis) -> None:
    assert await look(database_url, redis) == Readiness(postgres=True, migrations=True, redis=True)


async def test_tables_that_are_missing_or_of_another_version_are_not_ready(
    database_url: str, blank_database_url: str, redis: Redis
) -> None:
    expected = Readiness(postgres=True, migrations=False, redis=True)

    assert await look(blank_database_url, redis) == expected
    assert await look(database_url, redis, revision="9999") == expected
    assert not expected.ready


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
