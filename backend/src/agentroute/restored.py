"""``agentroute restored``: makes a database that came out of a backup safe to use, and forgets what Redis still knows."""

from __future__ import annotations

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.restored import Restored, count_on
from core.config import Settings
from core.postgres_connection import direct_dsn, open_connection
from core.redis_client import create_redis
from core.redis_kinds.cluster import ClusterClient, execute_many

NAME = "agentroute-restored"
"""Application name of the connections."""
_SECONDS = 10.0
_SCAN_COUNT = 1000
# Processes of the service; commands of an operator have other names.
_IN_USE = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name IN
    ('agentroute-api', 'agentroute-metrics', 'agentroute-readiness', 'agentroute-worker', 'agentroute-writer')
"""


class StillInUseError(Exception):
    """A process of the service is connected to the database."""


class RedisAwayError(Exception):
    """Redis does not answer, so it may still know what was lost."""


async def make_usable(engine: AsyncEngine, settings: Settings, *, redis: bool = True) -> Restored:
    """Make a restored database usable.

    Args:
        engine: Of that database.
        settings: Where Postgres and Redis are.
        redis: Whether Redis is emptied of what the service keeps there.

    Raises:
        StillInUseError: Nothing was done.
        RedisAwayError: Nothing was done.
    """
    await _require_nobody(settings)
    # First: readers who find the old stream would be shown what was lost.
    if redis:
        await _forget(settings)
    return await count_on(engine)


async def _require_nobody(settings: Settings) -> None:
    connection: asyncpg.Connection = await open_connection(
        direct_dsn(settings.database),
        application_name=NAME,
        connect_seconds=_SECONDS,
        statement_seconds=_SECONDS,
    )
    try:
        found = sorted({row["application_name"] for row in await connection.fetch(_IN_USE)})
    finally:
        await connection.close()
    if found:
        raise StillInUseError(
            f"{' and '.join(found)} is connected to the database: stop all API processes and workers first"
        )


async def _forget(settings: Settings) -> None:
    client = create_redis(settings.redis)
    try:
        await _delete(client, f"{settings.redis.key_prefix}:*")
    except (RedisError, OSError) as exc:
        raise RedisAwayError(
            "Redis does not answer, and may still know what was lost: start it, or empty it and add --keep-redis"
        ) from exc
    finally:
        await client.aclose(close_connection_pool=True)


async def _delete(client: Redis, pattern: str) -> None:
    if isinstance(client, ClusterClient):
        for _, node in await client.primaries():
            await _delete(node, pattern)
        return
    place = 0
    while True:
        place, keys = await client.scan(place, match=pattern, count=_SCAN_COUNT)
        # One a command: in a cluster, keys of several slots in one would be refused.
        for gone in await execute_many(client, [("UNLINK", key) for key in keys]) if keys else ():
            if isinstance(gone, Exception):
                raise gone
        if not place:
            return
