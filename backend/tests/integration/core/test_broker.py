"""The group of the hint queue has a consumer for each worker that lives, and for no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from taskiq import BrokerMessage
from taskiq.receiver import Receiver
from tests.support.stack import eventually

from core import broker as broker_module
from core.agentscope.runtime.hints import RUN_TASK, HintSender
from core.broker import HintBroker, create_broker
from core.config import RedisSettings


@pytest.fixture
def redis_settings(redis_url: str) -> RedisSettings:
    return RedisSettings(url=SecretStr(redis_url), key_prefix="group")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@asynccontextmanager
async def listening(settings: RedisSettings) -> AsyncIterator[tuple[HintBroker, list[bytes]]]:
    """Read hints into a list."""
    broker = create_broker(settings)
    heard: list[bytes] = []

    async def listen() -> None:
        async for hints in broker.batches(room_for_all):
            heard.extend(hints)

    await broker.startup()
    task = asyncio.create_task(listen())
    try:
        yield broker, heard
    finally:
        task.cancel()
        await asyncio.wait({task})
        await broker.shutdown()


async def consumers(redis: Redis) -> set[str]:
    rows: list[dict[str, Any]] = await redis.xinfo_consumers("group:hints", "group:workers")
    return {row["name"].decode() for row in rows}


async def test_a_worker_that_stops_leaves_the_group(redis_settings: RedisSettings, redis: Redis) -> None:
    async with listening(redis_settings) as (first, _), listening(redis_settings) as (second, _):
        await eventually(lambda: both_in(redis, {first.consumer_name, second.consumer_name}))

    assert await consumers(redis) == set()


async def says(heard: list[bytes], hint: bytes) -> bool:
    return hint in heard


async def both_in(redis: Redis, names: set[str]) -> bool:
    return await consumers(redis) == names


async def test_a_dead_consumer_is_swept_and_a_live_one_is_not(
    redis_settings: RedisSettings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(redis_settings) as (live, heard):
        # One that was killed.
        await redis.xadd("group:hints", {b"data": b"lost"})
        await eventually(lambda: says(heard, b"lost"))
        await redis.xadd("group:hints", {b"other": b"no hint"})
        await redis.xgroup_createconsumer("group:hints", "group:workers", "killed")
        assert await consumers(redis) == {"killed", live.consumer_name}

        monkeypatch.setattr(broker_module, "DEAD_AFTER_SECONDS", 0.0)
        async with listening(redis_settings) as (newcomer, _):
            await eventually(lambda: killed_is_gone(redis))
            # Taken for dead by the same measure, it is back with its next read, and misses nothing.
            await newcomer.kick(BrokerMessage(task_id="1", task_name="t", message=b"hint", labels={}))
            await eventually(lambda: both_in(redis, {live.consumer_name, newcomer.consumer_name}))


async def killed_is_gone(redis: Redis) -> bool:
    return "killed" not in await consumers(redis)


async def test_a_stop_without_redis_is_an_orderly_one(redis_settings: RedisSettings) -> None:
    gone = redis_settings.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})
    async with listening(gone):
        pass


async def test_hints_that_wait_are_read_together_as_far_as_there_is_room(
    redis_settings: RedisSettings, redis: Redis
) -> None:
    broker = create_broker(redis_settings)
    await broker.startup()
    sent = [b"%d" % number for number in range(3 + broker_module.MOST_AT_ONCE + 1)]
    for hint in sent:
        await redis.xadd("group:hints", {b"data": hint})
    room = [3, 1000]

    async def free() -> int:
        return room.pop(0) if room else 1

    batches = broker.batches(free)
    try:
        read = [await anext(batches) for _ in range(3)]
    finally:
        await batches.aclose()
        await broker.shutdown()

    assert [len(batch) for batch in read] == [3, broker_module.MOST_AT_ONCE, 1]
    assert [hint for batch in read for hint in batch] == sent
    # Nothing is left to be confirmed: the reaper sends what was lost, not Redis.
    assert (await redis.xpending("group:hints", "group:workers"))["pending"] == 0


async def test_a_hint_is_what_taskiq_writes_and_reads(redis_settings: RedisSettings, redis: Redis) -> None:
    broker = create_broker(redis_settings)
    heard: list[tuple[Any, ...]] = []

    async def agent_run(*args: Any, **kwargs: Any) -> None:
        heard.append((args, kwargs))

    task = broker.register_task(agent_run, task_name=RUN_TASK)
    await broker.startup()
    try:
        await task.kicker().with_task_id("task-1").kiq(7)
        assert await HintSender(broker, redis, redis_settings).send(7, "task-1")
        entries: Any = await redis.xrange("group:hints")
        (_, by_taskiq), (_, ours) = entries
        assert ours == by_taskiq

        batches = broker.batches(room_for_all)
        receiver = Receiver(broker, run_startup=False, max_async_tasks=2)
        for hint in await anext(batches):
            await receiver.callback(hint)
        await batches.aclose()
    finally:
        await broker.shutdown()
    assert heard == [((7,), {})] * 2


async def room_for_all() -> int:
    return 1000


def test_taskiqs_own_intake_is_refused(redis_settings: RedisSettings) -> None:
    with pytest.raises(NotImplementedError, match="batches"):
        create_broker(redis_settings).listen()
