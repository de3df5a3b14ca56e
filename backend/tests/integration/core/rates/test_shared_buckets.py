"""Processes share their buckets through Redis, and go on alone without it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.config import RateSettings, RedisSettings
from core.identity import Principal
from core.rates.rate_limits import RateLimits
from core.rates.shared_buckets import MOST_AT_ONCE, SharedBuckets
from core.redis_client import create_redis

ADA = Principal("t", "ada")
SETTINGS = RateSettings(user_requests_per_minute=60, user_upload_bytes_per_hour=1 << 30)


@pytest.fixture
def settings(redis_server_url: str, request: pytest.FixtureRequest) -> RedisSettings:
    name = f"rates-{request.node.name[:40]}"
    return RedisSettings.model_validate({"url": redis_server_url, "key_prefix": name})


@pytest.fixture
async def redis(settings: RedisSettings) -> AsyncIterator[Redis]:
    client = create_redis(settings)
    yield client
    await client.aclose(close_connection_pool=True)


def process(redis: Redis, settings: RedisSettings) -> tuple[RateLimits, SharedBuckets]:
    rates = RateLimits(SETTINGS)
    shared = SharedBuckets(redis, settings, rates.buckets)
    rates.tell(shared)
    return rates, shared


def missing(rates: RateLimits) -> float:
    (level,) = rates.levels(ADA, ["requests"])
    return level.missing_seconds


async def test_what_one_process_admits_is_missing_in_the_others(
    redis: Redis, settings: RedisSettings
) -> None:
    (first, told), (second, learns) = process(redis, settings), process(redis, settings)
    first.take(ADA, "requests", 50)
    await told.round()
    assert missing(second) == 0

    second.take(ADA, "requests", 5)
    await learns.round()
    # A second for each; a little comes back in the meantime.
    assert 5 < missing(second) <= 55
    assert missing(second) > missing(first)


async def test_a_user_of_many_processes_pays_the_debt_in_each(redis: Redis, settings: RedisSettings) -> None:
    processes = [process(redis, settings) for _ in range(3)]
    for rates, shared in processes:
        rates.take(ADA, "requests", 60)
        await shared.round()

    # Only as much as comes back in the time of three round trips is not known.
    assert missing(processes[-1][0]) > 61


async def test_large_amounts_and_many_buckets_are_told_exactly(redis: Redis, settings: RedisSettings) -> None:
    (first, told), (second, learns) = process(redis, settings), process(redis, settings)
    users = [Principal("t", f"user-{number}") for number in range(MOST_AT_ONCE + 3)]
    for user in users:
        first.take(user, "upload-bytes", 1 << 29)
    await told.round()
    for user in users:
        second.take(user, "upload-bytes", 1)
    await learns.round()

    for user in users:
        (level,) = second.levels(user, ["upload-bytes"])
        # Half an hour is missing; minutes of it would have come back on a machine that hung.
        assert 60 < level.missing_seconds < 1801
    # A bucket that is full again leaves nothing behind.
    keys = [key async for key in redis.scan_iter(f"{settings.key_prefix}:rates:*")]
    assert len(keys) == len(users)
    assert [key for key in keys if await redis.pttl(key) < 1] == []


async def test_what_is_taken_while_redis_answers_is_not_lost(
    redis: Redis, settings: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, told), (second, learns) = process(redis, settings), process(redis, settings)
    first.take(ADA, "requests", 1)
    answer = told._script

    async def slow(keys: list[str], args: list[int]) -> list[int]:
        found: list[int] = await answer(keys=keys, args=args)
        first.take(ADA, "requests", 30)
        return found

    monkeypatch.setattr(told, "_script", slow)
    await told.round()
    assert missing(first) > 25

    monkeypatch.setattr(told, "_script", answer)
    await told.round()
    second.take(ADA, "requests", 1)
    await learns.round()
    assert missing(second) > 25


async def test_without_redis_a_process_goes_on_with_the_same_figures(settings: RedisSettings) -> None:
    nowhere = create_redis(RedisSettings.model_validate({"url": "redis://127.0.0.1:1/0"}))
    rates, shared = process(nowhere, settings)
    rates.take(ADA, "requests", 60)

    with pytest.raises((RedisError, OSError)):
        await shared.round()
    assert missing(rates) > 1
    await nowhere.aclose(close_connection_pool=True)
