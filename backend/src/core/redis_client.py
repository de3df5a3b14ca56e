"""Redis clients that fail fast: losing Redis costs latency, so no call may wait for it long.

redis-py's defaults retry ten times with a socket timeout of five seconds, which
turns one command against a dead server into almost a minute.
"""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core.config import RedisSettings


def create_redis(settings: RedisSettings) -> Redis:
    """Build the shared client of a process for short commands.

    A command fails within ``command_timeout_seconds``; a missing server is
    refused at once. Callers wait for one of ``pool_size`` connections.
    """
    return Redis(connection_pool=_pool(settings, settings.command_timeout_seconds, settings.pool_size))


def create_blocking_redis(settings: RedisSettings, *, block_seconds: float) -> Redis:
    """Build a client for one blocking reader, off the shared pool.

    The socket timeout stays above the block time, or every quiet read would
    look like a lost connection.
    """
    return Redis(connection_pool=_pool(settings, block_seconds + settings.command_timeout_seconds, 2))


def _pool(settings: RedisSettings, timeout_seconds: float, size: int) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=size,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=settings.command_timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
