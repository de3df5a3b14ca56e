"""A subscription of a worker that is made anew as often as it breaks. What is missed meanwhile is looked for elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from core.redis_client import subscription_rounds

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0


async def listen(redis: Redis, channel: str, on_message: Callable[[bytes], None], *, lost: str) -> None:
    """Call back with every message of a channel, until cancelled.

    Args:
        redis: Of the process.
        channel: Of Redis.
        on_message: Must not raise for what it does not know.
        lost: The log line when the subscription broke.
    """
    while True:
        try:
            pubsub = redis.pubsub()
            async with pubsub:
                await pubsub.subscribe(channel)
                async for message in subscription_rounds(pubsub):
                    if message is not None and message["type"] == "message":
                        on_message(message["data"])
        except Exception as exc:  # noqa: BLE001  top of a background loop: messages are hints
            log.warning(lost, error=type(exc).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
