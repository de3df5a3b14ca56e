"""Checks whether this process can serve now.

``/readyz`` is public, and load balancers ask several times a minute. So however many ask, the servers are asked once a
second at most, on a connection that the routes do not use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentroute.schema_state import Schema, SchemaState, read_state
from core.config import DatabaseSettings
from core.postgres_connection import asyncpg_dsn, open_connection
from core.readiness import Readiness
from core.worker_count import count_workers

KEEP_SECONDS = 1.0
"""How long an answer is given again."""
_LOOK_SECONDS = 2.5
"""Limit of one look at Postgres: less than a kubelet's patience, so that the answer with the reason arrives first."""


class StoreReadiness:
    """One look at the servers for all who ask meanwhile and shortly after. ``aclose`` ends it.

    Args:
        settings: Where Postgres is.
        redis: The client the routes use; a ``PING`` a second costs nothing.
        schema: The schema of this version.
        clock: Seconds; the event loop's when None.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        redis: Redis,
        *,
        schema: Schema,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._schema = schema
        self._clock = clock
        self._connection: asyncpg.Connection | None = None
        self._looking: asyncio.Task[Readiness] | None = None
        self._found_at = float("-inf")

    async def __call__(self) -> Readiness:
        now = (self._clock or asyncio.get_running_loop().time)()
        if self._looking is None or (self._looking.done() and now - self._found_at >= KEEP_SECONDS):
            self._looking = asyncio.create_task(self._look())
        # Shielded: one who leaves takes the answer from nobody.
        return await asyncio.shield(self._looking)

    async def aclose(self) -> None:
        """End a look that is under way, and close the connection."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        self._give_up()

    async def _look(self) -> Readiness:
        found, redis = await asyncio.gather(self._look_at_postgres(), self._look_at_redis())
        self._found_at = (self._clock or asyncio.get_running_loop().time)()
        if found is None:
            return Readiness(postgres=False, migrations=False, redis=redis)
        state, workers = found
        verdict = self._schema.judge(state)
        return Readiness(
            postgres=True,
            migrations=verdict in {"current", "newer"},
            redis=redis,
            schema_ahead=verdict == "incompatible",
            workers=workers,
        )

    async def _look_at_postgres(self) -> tuple[SchemaState, int | None] | None:
        """Return what the database says of its schema, and of the workers; None when it does not answer."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                connection = await self._connected()
                workers = await count_workers(connection)
                return await read_state(connection), workers
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            # The state of the connection is unknown.
            self._give_up()
            return None

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await open_connection(
                asyncpg_dsn(self._settings),
                application_name="agentroute-readiness",
                connect_seconds=_LOOK_SECONDS,
                statement_seconds=_LOOK_SECONDS,
            )
        return self._connection

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _look_at_redis(self) -> bool:
        try:
            async with asyncio.timeout(1.0):
                return bool(await self._redis.execute_command("PING"))
        except (RedisError, OSError):
            return False
