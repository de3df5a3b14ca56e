"""A subscription of a worker that is made anew as often as it breaks. What is missed meanwhile is looked for elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis

from core.redis_kinds.channels import Channels


async def listen(redis: Redis, channel: str, on_message: Callable[[bytes], None], *, lost: str) -> None:
    """Call back with every message of a channel, until cancelled.

    Args:
        redis: Of the process.
        channel: Of Redis.
        on_message: Must not raise for what it does not know.
        lost: The log line when the subscription broke.
    """
    channels = Channels(redis, channel, heard=lambda _channel, data: on_message(data), lost=lost, broken=lost)
    await channels.listen_to(channel.encode())
    await channels.run()
