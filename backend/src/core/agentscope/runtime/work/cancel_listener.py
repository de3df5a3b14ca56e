"""Listens for cancel hints, so that a cancel is seen between two appends. Without Redis, the heartbeat sees it."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis

from core.agentscope.runtime.hints import cancel_channel
from core.agentscope.runtime.work.subscription import listen
from core.config import RedisSettings


async def listen_for_cancels(redis: Redis, settings: RedisSettings, on_cancel: Callable[[int], None]) -> None:
    """Call back with the row id of every run that should stop, until cancelled."""
    await listen(redis, cancel_channel(settings), lambda data: on_cancel(int(data)), lost="cancel_hints_lost")
