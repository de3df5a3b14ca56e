"""Checks whether this process can serve now.

``/readyz`` is public, and load balancers ask several times a minute. So however many ask, the servers are asked once a
second at most, on a connection that the routes do not use.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentroute.schema_state import Schema, SchemaState, read_state
from agentroute.shared_look import KeptConnection, SharedLook
from core.config import DatabaseSettings
from core.readiness import Readiness
from core.redis_kinds.cluster import silent_shards
from core.worker_count import count_workers

KEEP_SECONDS = 1.0
"""How long an answer is given again."""
_LOOK_SECONDS = 2.5
"""Limit of one look at Postgres: less than a kubelet's patience, so that the answer with the reason arrives first."""
_REDIS_SECONDS = 1.5
"""More than a command takes to a server that is silent: one such shard must not hide those that answer."""


class StoreReadiness:
    """One look at the servers for all who ask meanwhile and shortly after. ``aclose`` ends it.

    Args:
        settings: Where Postgres is.
        redis: The client the routes use; a ``PING`` a second costs nothing.
        schema: The schema of this version.
        clock: Seconds.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        redis: Redis,
        *,
        schema: Schema,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._schema = schema
        self._connection = KeptConnection(settings, "agentroute-readiness", _LOOK_SECONDS)
        self._found = SharedLook(self._look, KEEP_SECONDS, clock)

    async def __call__(self) -> Readiness:
        return await self._found.read()

    async def aclose(self) -> None:
        """End a look that is under way, and close the connection."""
        await self._found.aclose()
        self._connection.give_up()

    async def _look(self) -> Readiness:
        found, (silent, shards) = await asyncio.gather(self._look_at_postgres(), self._look_at_redis())
        redis, degraded = silent < shards, 0 < silent < shards
        if found is None:
            return Readiness(postgres=False, migrations=False, redis=redis, redis_degraded=degraded)
        state, workers = found
        verdict = self._schema.judge(state)
        return Readiness(
            postgres=True,
            migrations=verdict in {"current", "newer"},
            redis=redis,
            redis_degraded=degraded,
            schema_ahead=verdict == "incompatible",
            workers=workers,
        )

    async def _look_at_postgres(self) -> tuple[SchemaState, int | None] | None:
        """Return what the database says of its schema, and of the workers; None when it does not answer."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                connection = await self._connection.get()
                workers = await count_workers(connection)
                return await read_state(connection), workers
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            # The state of the connection is unknown.
            self._connection.give_up()
            return None

    async def _look_at_redis(self) -> tuple[int, int]:
        """Return how many shards do not answer, and how many there are."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return await silent_shards(self._redis)
        except (RedisError, OSError):
            return 1, 1
