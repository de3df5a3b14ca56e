"""Listens for cancel hints, so that a cancel is seen between two appends. Without Redis, the heartbeat sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from core.agentscope.runtime.hints import cancel_channel
from core.config import RedisSettings
from core.redis_client import subscription_rounds

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0


async def listen_for_cancels(redis: Redis, settings: RedisSettings, on_cancel: Callable[[int], None]) -> None:
    """Call back with the row id of every run that should stop, until cancelled."""
    while True:
        try:
            pubsub = redis.pubsub()
            async with pubsub:
                await pubsub.subscribe(cancel_channel(settings))
                async for message in subscription_rounds(pubsub):
                    if message is not None and message["type"] == "message":
                        on_cancel(int(message["data"]))
        except Exception as exc:  # noqa: BLE001  top of a background loop: the heartbeat sees cancels meanwhile
            log.warning("cancel_hints_lost", error=type(exc).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
