"""Connections to Redis that fail fast: a loss of Redis may only cost latency, so no call may wait long.

With redis-py's defaults (ten retries, a socket timeout of five seconds), one command to a dead server takes almost a
minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError


def fail_fast(connect_seconds: float, answer_seconds: float) -> dict[str, Any]:
    """Return the arguments of a connection that tries everything once.

    Args:
        connect_seconds: Limit of a connect.
        answer_seconds: Limit of each write, and of the wait for an answer.
    """
    return {
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": connect_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }


def mend_connections(pool: ConnectionPool) -> None:
    """Make the connections of a pool pass on every cancellation, and send nothing where nothing is read any more.

    redis-py sends inside ``asyncio.wait_for``. In Python 3.11, ``wait_for`` loses a cancellation that arrives together
    with the result or the error. A task that was told to stop then continued to read for ever, and its process did not
    end. Remove that part together with support for Python 3.11 (python/cpython#86296).

    A transport that is closing drops what is written, without an error. The caller then waited for an answer until its
    time was up, although a new connection would have answered at once.
    """
    pool.connection_class = mended(pool.connection_class)


def mended(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a class of connections as :func:`mend_connections` makes them."""
    return _MENDED[connection_class]


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
    for base in (
        Connection,
        SSLConnection,
        UnixDomainSocketConnection,
        SentinelManagedConnection,
        SentinelManagedSSLConnection,
    )
}
