"""Listens for cancel hints, so that a cancel is seen between two appends. Without Redis, the heartbeat sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis

from core.agentscope.runtime.hints import cancel_channel
from core.config import RedisSettings

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1.0


async def listen_for_cancels(redis: Redis, settings: RedisSettings, on_cancel: Callable[[int], None]) -> None:
    """Call back with the row id of every run that should stop, until cancelled."""
    while True:
        try:
            pubsub = redis.pubsub()
            async with pubsub:
                await pubsub.subscribe(cancel_channel(settings))
                while True:
                    message: dict[str, Any] | None = await pubsub.get_message(
                        ignore_subscribe_messages=True, timeout=1.0
                    )
                    if message is not None:
                        on_cancel(int(message["data"]))
        except Exception as exc:  # noqa: BLE001  top of a background loop: the heartbeat sees cancels meanwhile
            log.warning("cancel_hints_lost", error=type(exc).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
