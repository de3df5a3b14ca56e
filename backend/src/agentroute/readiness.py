"""Checks whether this process can serve now. Load balancers ask several times a minute."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.readiness import Readiness


class StoreReadiness:
    """Uses the process's own pools, so that an exhausted pool counts as not ready.

    Args:
        engine: The pool the routes use.
        redis: The client the routes use.
        revision: The Alembic revision this version needs.
    """

    def __init__(self, engine: AsyncEngine, redis: Redis, *, revision: str | None) -> None:
        self._engine = engine
        self._redis = redis
        self._revision = revision

    async def __call__(self) -> Readiness:
        (postgres, migrations), redis = await asyncio.gather(self._look_at_postgres(), self._look_at_redis())
        return Readiness(postgres, migrations, redis)

    async def _look_at_postgres(self) -> tuple[bool, bool]:
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                known = await connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
                found = (
                    await connection.scalar(text("SELECT version_num FROM alembic_version"))
                    if known
                    else None
                )
        except (SQLAlchemyError, OSError):
            return False, False
        return True, found == self._revision

    async def _look_at_redis(self) -> bool:
        try:
            async with asyncio.timeout(1.0):
                return bool(await self._redis.execute_command("PING"))
        except (RedisError, OSError):
            return False
