"""Redis clients that fail fast: a loss of Redis may only cost latency, so no call may wait long.

With redis-py's defaults (ten retries, a socket timeout of five seconds), one command to a dead server takes almost a
minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.config import RedisSettings

ROUND_SECONDS = 1.0
"""How long a subscription waits for a message before it looks whether the server still lives."""
PING_ROUND = 3
"""The silent round after which the server is asked."""
LOST_ROUND = 5
"""The silent round after which a server that has not answered is lost: the next one, three seconds after the ping."""


def create_redis(settings: RedisSettings) -> Redis:
    """Build the shared client of a process for short commands.

    A command fails within ``command_timeout_seconds``; if there is no server, it fails at once. Callers wait for one of
    ``pool_size`` connections.
    """
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=settings.pool_size,
        timeout=settings.command_timeout_seconds,
        socket_timeout=settings.command_timeout_seconds,
        socket_connect_timeout=settings.command_timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
    mend_connections(pool)
    return Redis(connection_pool=pool)


def mend_connections(pool: ConnectionPool) -> None:
    """Make the connections of a pool pass on every cancellation, and send nothing where nothing is read any more.

    redis-py sends inside ``asyncio.wait_for``. In Python 3.11, ``wait_for`` loses a cancellation that arrives together
    with the result or the error. A task that was told to stop then continued to read for ever, and its process did not
    end. Remove that part together with support for Python 3.11 (python/cpython#86296).

    A transport that is closing drops what is written, without an error. The caller then waited for an answer until its
    time was up, although a new connection would have answered at once.
    """
    pool.connection_class = _MENDED[pool.connection_class]


class _MendedConnection(AbstractConnection):
    """What is added to each kind of connection."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        if self._writer is not None and self._writer.transport.is_closing():
            await self.disconnect(nowait=True)
            raise RedisConnectionError("The connection to Redis is closing.")
        try:
            await super().send_packed_command(command, check_health)
        except Exception as exc:
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError from exc
            raise
        if task is not None and task.cancelling() > before:
            # No task will read the answer, so the connection can no longer be used.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


_MENDED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    base: type(f"Mended{base.__name__}", (_MendedConnection, base), {})
    for base in (Connection, SSLConnection, UnixDomainSocketConnection)
}


async def subscription_rounds(pubsub: PubSub) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the messages of a subscription as they come, and ``None`` after each round of silence.

    A subscription only listens. Nothing is sent on it, so TCP never notices a server that is gone without a word (a host
    that is lost, packets that are dropped), and the subscriber would be deaf for ever. So the server is asked for a
    sign of life in the silences. Rounds are counted, not seconds: an event loop that was held up is no silent server.

    Raises:
        RedisError: The connection broke, or the server did not answer for some seconds.
    """
    silent = 0
    while True:
        message: dict[str, Any] | None = await pubsub.get_message(timeout=ROUND_SECONDS)
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
