"""The clients of Redis that fail fast, for each kind that ``AGENT_REDIS__URL`` may name.

What differs between the kinds is in ``redis_kinds``; the rest of the service has a ``Redis`` of redis-py, and these rules:
all keys of a command are in one slot, several commands go by ``execute_many``, channels are heard by ``Channels``.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url

from core.config import RedisSettings
from core.redis_kinds.cluster import ClusterClient
from core.redis_kinds.connections import fail_fast, mend_connections
from core.redis_kinds.place import Address
from core.redis_kinds.sentinel import create_sentinel_client


def create_redis(settings: RedisSettings, *, blocks_seconds: float = 0.0, counted: bool = False) -> Redis:
    """Build a client, which opens its connections when they are needed.

    A command fails within ``command_timeout_seconds``; if there is no server, it fails at once. Callers wait for one of
    ``pool_size`` connections; in a cluster, to each server.

    Args:
        settings: Where Redis is.
        blocks_seconds: How much longer the answer of a command may take that waits for something.
        counted: Whether the failovers that it sees are those that the process has seen: true for one client of it.

    Raises:
        ValueError: The URL is not one of Redis.
    """
    place = settings.place
    connect_seconds = settings.command_timeout_seconds
    answer_seconds = connect_seconds + blocks_seconds
    if place.kind == "sentinel":
        return create_sentinel_client(
            place,
            username=settings.sentinel_username,
            password=settings.sentinel_password.get_secret_value(),
            pool_size=settings.pool_size,
            connect_seconds=connect_seconds,
            answer_seconds=answer_seconds,
            counted=counted,
        )
    ours: dict[str, Any] = {
        "max_connections": settings.pool_size,
        "timeout": connect_seconds,
        **fail_fast(connect_seconds, answer_seconds),
    }
    if place.kind == "single":
        return _of_pool(BlockingConnectionPool.from_url(place.url, **ours))
    options: dict[str, Any] = {**ours, **parse_url(place.url)}

    def open_node(address: Address) -> Redis:
        own: dict[str, Any] = options | {"host": address[0], "port": address[1]}
        return _of_pool(BlockingConnectionPool(**own))

    return ClusterClient(place.nodes, open_node, connect_seconds=connect_seconds, counted=counted)


def _of_pool(pool: BlockingConnectionPool) -> Redis:
    mend_connections(pool)
    return Redis(connection_pool=pool)
