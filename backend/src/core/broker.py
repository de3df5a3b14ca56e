"""The Taskiq broker. A message is only a hint: it contains the row id of a run that waits for a worker.

The service does not depend on Taskiq's redelivery. The redelivery repeats tasks that run longer than its idle time,
prefetches many messages into one worker, and never reclaims messages from an idle queue. A run is claimed in Postgres,
and the reaper sends a lost hint again.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage, BrokerMessage
from taskiq.abc.broker import AsyncBroker

from core.config import RedisSettings
from core.redis_client import create_redis

log = structlog.get_logger(__name__)

BLOCK_SECONDS = 2.0
"""How long one read waits. Less than redis-py's socket timeout, or a read without a message would look like a fault."""
RECONNECT_SECONDS = 0.5
SWEEP_SECONDS = 600.0
"""How often a worker looks for consumers whose worker is dead."""
DEAD_AFTER_SECONDS = 600.0
"""A consumer without a read in this time counts as dead: a live consumer reads every ``BLOCK_SECONDS``."""
MOST_AT_ONCE = 8
"""Hints of one read. With one a read, fifty runs that begin in one instant wait for fifty round trips; with too many,
one worker has them all."""


class HintBroker(AsyncBroker):
    """A queue of hints in a Redis stream, whose worker side survives the loss of Redis.

    A hint is delivered at most once, and needs no confirmation: the reaper sends the hints again of runs that nobody
    claimed. A consumer is removed from the group at the shutdown of its worker, or later by another worker.

    Args:
        redis: A client of its own, whose answers may take ``BLOCK_SECONDS``. Is closed at the shutdown.
        settings: For the names, and the length of the queue.
    """

    def __init__(self, redis: Redis, settings: RedisSettings) -> None:
        super().__init__()
        self._redis = redis
        self.queue_name = f"{settings.key_prefix}:hints"
        self.consumer_group_name = f"{settings.key_prefix}:workers"
        self.consumer_name = str(uuid.uuid4())
        self._max_hints = settings.hint_entries
        self._listened = False
        self._sweep_at = 0.0

    async def startup(self) -> None:
        """Start, even without Redis: the group is created at the first read."""
        await super().startup()
        try:
            await self._declare_group()
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("hint_queue_unreachable", error=type(exc).__name__)

    async def kick(self, message: BrokerMessage) -> None:
        """Put a message of Taskiq into the queue; raises as :meth:`post`."""
        await self.post(message.message)

    async def post(self, message: bytes) -> None:
        """Put a message into the queue, in the form of Taskiq's own brokers.

        Raises:
            RedisError, OSError, TimeoutError: Redis is not available.
        """
        await self._redis.xadd(self.queue_name, {b"data": message}, maxlen=self._max_hints)

    def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Refuse: Taskiq's intake waits for a confirmation of each hint."""
        raise NotImplementedError("a worker takes hints by batches()")

    async def batches(self, room: Callable[[], Awaitable[int]]) -> AsyncGenerator[list[bytes], None]:
        """Yield hints for ever, those of one read together. A fault of Redis causes a pause, never an end.

        Args:
            room: Returns for how many hints there is room, once there is any.
        """
        self._listened = True
        loop = asyncio.get_running_loop()
        while True:
            count = min(await room(), MOST_AT_ONCE)
            try:
                if loop.time() >= self._sweep_at:
                    self._sweep_at = loop.time() + SWEEP_SECONDS
                    await self._sweep()
                fetched = await self._read(count)
            except ResponseError as exc:
                if str(exc).startswith("NOGROUP"):
                    # Redis was flushed or replaced. Reading starts at 0, so that hints sent meanwhile are read too.
                    await self._declare_again()
                else:
                    # A replica, a missing right, no memory: the fault may pass, and a faster retry does not help.
                    # redis-py takes the code away where it has a class for it.
                    named = type(exc) is not ResponseError
                    code = type(exc).__name__ if named else str(exc).partition(" ")[0]
                    log.warning("hint_queue_refused", error=code)
                    await asyncio.sleep(RECONNECT_SECONDS)
                continue
            except (RedisError, OSError, TimeoutError) as exc:
                log.warning("hint_queue_lost", error=type(exc).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            if hints := [data for _, fields in fetched if (data := fields.get(b"data"))]:
                yield hints

    async def shutdown(self) -> None:
        """Leave the group if Redis is reachable, and close."""
        if self._listened:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._forget(self.consumer_name)
        await super().shutdown()
        await self._redis.aclose(close_connection_pool=True)

    async def _sweep(self) -> None:
        consumers: list[dict[str, Any]] = await self._redis.xinfo_consumers(
            self.queue_name, self.consumer_group_name
        )
        for consumer in consumers:
            if consumer["idle"] >= DEAD_AFTER_SECONDS * 1000:
                await self._forget(consumer["name"])

    async def _forget(self, consumer: str | bytes) -> None:
        await self._redis.xgroup_delconsumer(self.queue_name, self.consumer_group_name, consumer)

    async def _read(self, count: int) -> list[Any]:
        fetched: Any = await self._redis.xreadgroup(
            self.consumer_group_name,
            self.consumer_name,
            {self.queue_name: ">"},
            block=int(BLOCK_SECONDS * 1000),
            count=count,
            # Nobody reads a hint again that was delivered once, so nobody has to hear that it has arrived.
            noack=True,
        )
        return fetched[0][1] if fetched else []

    async def _declare_group(self) -> None:
        try:
            # From the beginning: a hint that was sent before the first worker started counts too.
            await self._redis.xgroup_create(self.queue_name, self.consumer_group_name, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise

    async def _declare_again(self) -> None:
        try:
            await self._declare_group()
        except (RedisError, OSError, TimeoutError):
            await asyncio.sleep(RECONNECT_SECONDS)


def create_broker(settings: RedisSettings) -> HintBroker:
    """Build the broker of a process; nothing connects before ``startup``."""
    return HintBroker(create_redis(settings, blocks_seconds=BLOCK_SECONDS), settings)
