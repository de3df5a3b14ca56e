"""A cancel ends whoever talks to Redis, whenever it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.limits import HUNG_SECONDS

from core.agentscope.runtime.work.cancel_listener import listen_for_cancels
from core.broker import create_broker
from core.config import RedisSettings
from core.redis_client import create_redis

STEPS = 400
"""Turns of the loop a task is given before it is cancelled: enough to connect and to wait for a message."""


async def cancelled_at_each_step(start: Callable[[], Coroutine[Any, Any, None]]) -> list[int]:
    """Cancel a task once after each number of turns; returns those after which it did not end."""
    survived: list[int] = []
    for turns in range(STEPS):
        task = asyncio.create_task(start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=HUNG_SECONDS)
        if not task.done():
            survived.append(turns)
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.05)
            # One is enough to know, and each costs the whole limit.
            break
    return survived


async def test_a_subscriber_ends_at_its_first_cancel(redis_url: str) -> None:
    settings = RedisSettings(url=SecretStr(redis_url), key_prefix="cancels")
    redis = create_redis(settings)
    try:
        survived = await cancelled_at_each_step(lambda: listen_for_cancels(redis, settings, lambda _: None))
    finally:
        await redis.aclose(close_connection_pool=True)
    assert survived == []


async def test_a_reader_of_hints_ends_at_its_first_cancel(redis_url: str) -> None:
    broker = create_broker(RedisSettings(url=SecretStr(redis_url), key_prefix="cancels"))
    await broker.startup()

    async def room_for_one() -> int:
        return 1

    async def read() -> None:
        async for _ in broker.batches(room_for_one):
            pytest.fail("nobody sent a hint")

    try:
        survived = await cancelled_at_each_step(read)
    finally:
        await broker.shutdown()
    assert survived == []
