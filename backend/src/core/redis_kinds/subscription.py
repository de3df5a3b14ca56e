"""A subscription on one connection, which is used until its first fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import MovedError
from redis.exceptions import TimeoutError as RedisTimeoutError

ROUND_SECONDS = 1.0
"""How long a subscription waits for a message before it looks whether the server still lives."""
PING_ROUND = 3
"""The silent round after which the server is asked."""
LOST_ROUND = 5
"""The silent round after which a server that has not answered is lost: the next one, three seconds after the ping."""


class Subscription(PubSub):
    """A subscription that is never repaired.

    redis-py would connect again inside any call that detects a fault. Channels are added while the listener reads, so
    two tasks would use one connection, which may cause any error.
    """

    async def _reconnect(self, conn: Any, *_args: Any, **_kwargs: Any) -> None:
        await conn.disconnect(nowait=True)


async def subscription_rounds(pubsub: PubSub) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the messages of a subscription as they come, and ``None`` after each round of silence.

    A subscription only listens. Nothing is sent on it, so TCP never notices a server that is gone without a word (a host
    that is lost, packets that are dropped), and the subscriber would be deaf for ever. So the server is asked for a
    sign of life in the silences. Rounds are counted, not seconds: an event loop that was held up is no silent server.

    What a server of a cluster says of a channel that it has not is a message of type ``moved``, with the error as its data.

    Raises:
        RedisError: The connection broke, or the server did not answer for some seconds.
    """
    silent = 0
    while True:
        message: dict[str, Any] | None
        try:
            message = await pubsub.get_message(timeout=ROUND_SECONDS)
        except MovedError as exc:
            message = {"type": "moved", "channel": None, "data": exc}
        if message is not None:
            silent = 0
            if message["type"] != "pong":
                yield message
            continue
        silent += 1
        if silent == PING_ROUND:
            await pubsub.ping()
        elif silent > LOST_ROUND:
            raise RedisTimeoutError("The subscription got no answer to a ping.")
        yield None
