"""The one subscription of a process is lost again and again while readers come and go: it is there again each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from tests.faults.proxy import FaultProxy
from tests.support.stack import eventually

from core.agentscope.events.hub import Tail, ThreadHub
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.runtime.hints import cancel_channel
from core.agentscope.runtime.work.cancel_listener import listen_for_cancels
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings, StreamSettings
from core.redis_client import create_redis
from core.redis_kinds import channels, subscription

PROBED = 1000
LOSSES = 60


async def none_moved(_known: Mapping[int, Cursor]) -> dict[int, Cursor | None]:
    raise OSError("the patrol must not help here")


async def first_epoch() -> int:
    return 0


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
    monkeypatch.setattr(channels, "RECONNECT_SECONDS", 0.001)
    settings = RedisSettings()
    hub = ThreadHub(redis, none_moved, first_epoch, settings, StreamSettings())
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


@asynccontextmanager
async def redis_behind_proxy(redis_url: str) -> AsyncIterator[tuple[Redis, FaultProxy]]:
    url = urlsplit(redis_url)
    proxy = FaultProxy(url.hostname or url.path, url.port or 6379)
    await proxy.open()
    client = create_redis(RedisSettings(url=SecretStr(f"redis://127.0.0.1:{proxy.port}/0")))
    try:
        yield client, proxy
    finally:
        await proxy.close()
        await client.aclose(close_connection_pool=True)


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "ROUND_SECONDS", 0.1)
    monkeypatch.setattr(channels, "RECONNECT_SECONDS", 0.05)


@pytest.mark.usefixtures("short_rounds")
async def test_subscriptions_whose_server_is_gone_without_a_word_are_made_anew(
    redis: Redis, redis_url: str
) -> None:
    settings = RedisSettings()
    bus = RedisBus(redis, settings)
    cancels: list[int] = []
    seq = 0
    async with redis_behind_proxy(redis_url) as (client, proxy):
        hub = ThreadHub(client, none_moved, first_epoch, settings, StreamSettings())
        running = [
            asyncio.create_task(hub.run()),
            asyncio.create_task(listen_for_cancels(client, settings, cancels.append)),
        ]

        async def both_hear(tail: Tail) -> bool:
            nonlocal seq
            seq += 1
            await bus._send([StreamBatch(PROBED, 1, seq, ["{}"])])
            await redis.publish(cancel_channel(settings), str(seq))
            return await tail.wait(Cursor(1, seq - 1), 0.05) and seq in cancels

        try:
            async with hub.follow(PROBED) as tail:
                await eventually(lambda: both_hear(tail))
                proxy.swallow()
                assert not await both_hear(tail)
                # What was swallowed stays a black hole; only new connections carry anything.
                await proxy.heal()
                await eventually(lambda: both_hear(tail))
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
