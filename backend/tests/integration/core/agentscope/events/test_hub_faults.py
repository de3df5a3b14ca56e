"""The one subscription of a process is lost again and again while readers come and go: it is there again each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from tests.support.stack import eventually

from core.agentscope.events import hub as hub_module
from core.agentscope.events.hub import Tail, ThreadHub
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings, StreamSettings
from core.redis_client import create_redis

PROBED = 1000
LOSSES = 60


async def no_heads(_session_ids: Sequence[int]) -> dict[int, Cursor]:
    raise OSError("the patrol must not help here")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = create_redis(RedisSettings(url=SecretStr(redis_url)))
    yield client
    await client.aclose(close_connection_pool=True)


@asynccontextmanager
async def coming_and_going(hub: ThreadHub, readers: int) -> AsyncIterator[None]:
    """Let readers follow and leave threads all the time; whatever one of them meets is raised in the end."""

    async def follow(dice: random.Random) -> None:
        while True:
            async with hub.follow(dice.randrange(60)):
                await asyncio.sleep(dice.random() * 0.005)

    tasks = [asyncio.create_task(follow(random.Random(number))) for number in range(readers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks)
    assert [task.exception() for task in done if not task.cancelled()] == []


async def test_the_doorbell_rings_after_every_loss_of_its_connection(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "RECONNECT_SECONDS", 0.001)
    settings = RedisSettings()
    hub = ThreadHub(redis, no_heads, settings, StreamSettings())
    bus = RedisBus(redis, settings)
    running = asyncio.create_task(hub.run())
    seq = 0

    async def rings(tail: Tail) -> bool:
        nonlocal seq
        seq += 1
        await bus._send([StreamBatch(PROBED, 1, seq, ["{}"])])
        return await tail.wait(Cursor(1, seq - 1), 0.05)

    try:
        async with coming_and_going(hub, readers=20), hub.follow(PROBED) as tail:
            for _ in range(LOSSES):
                await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await eventually(lambda: rings(tail))
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})
