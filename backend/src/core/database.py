"""The SQLAlchemy engine of a process, for short transactions.

The event writer has a connection of its own (``core/agentscope/events``), because its one statement per flush is the
hot path.
"""

from __future__ import annotations

import time
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from core.config import DatabaseSettings
from core.metrics.catalogue import POOL_WAIT_SECONDS
from core.pooled_connection import UNNAMED
from core.postgres_connection import answer_seconds, asyncpg_dsn, open_connection
from core.text import json_text


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool; how long each connection was waited for is counted."""

    def connect(self) -> PoolProxiedConnection:
        began = time.perf_counter()
        try:
            return super().connect()
        finally:
            POOL_WAIT_SECONDS.observe(time.perf_counter() - began)


_NOTHING_KEPT: dict[str, Any] = {
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: UNNAMED,
}
"""For the dialect: a pooler may lend another server to the next transaction, which has no statement prepared."""

SessionFactory = async_sessionmaker[AsyncSession]


def create_engine(settings: DatabaseSettings, *, application_name: str, counted: bool = True) -> AsyncEngine:
    """Build a pooled engine; no connection is made before the first query.

    Every statement and every wait for a lock has a timeout, so an overloaded database causes an error instead of a
    hang. A server that has gone silent causes one too, a little later: ``core/postgres_connection.py``. The driver itself
    parses the URL, so all options of libpq's URLs work, such as ``sslmode`` and several hosts.

    Args:
        settings: Where the database is.
        application_name: Shown in ``pg_stat_activity``.
        counted: Whether waits for its connections are those that metrics tell.
    """
    dsn = asyncpg_dsn(settings)
    pool = TimedPool if counted else AsyncAdaptedQueuePool

    async def connect() -> asyncpg.Connection:
        return await open_connection(
            dsn,
            application_name=application_name,
            connect_seconds=settings.pool_timeout_seconds,
            statement_seconds=answer_seconds(settings),
            pooled=settings.is_pooled,
            statement_timeout=str(int(settings.statement_timeout_seconds * 1000)),
            lock_timeout=str(int(settings.lock_timeout_seconds * 1000)),
            idle_in_transaction_session_timeout="10000",
            timezone="UTC",
        )

    def create() -> DBAPIConnection:
        options = _NOTHING_KEPT if settings.is_pooled else {}
        driver: Any = engine.sync_engine.dialect.dbapi
        adapted: DBAPIConnection = driver.connect(async_creator_fn=connect, **options)
        return adapted

    engine = create_async_engine(
        "postgresql+asyncpg://",
        creator=create,
        poolclass=pool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        # A ping costs every transaction a round trip. A silent server is found by the first statement instead, and all
        # connections of the pool are given up with that one.
        pool_pre_ping=False,
        json_serializer=json_text,
        # Numbers as in AG-UI events: jsonb writes 1e20 as an integer of 21 digits, which an event cannot contain.
        json_deserializer=orjson.loads,
    )
    event.listen(engine.sync_engine, "handle_error", _give_up_silent_server)
    return engine


def _give_up_silent_server(context: ExceptionContext) -> None:
    """Replace every connection of the pool after one of them got no answer or lost its peer.

    SQLAlchemy takes only errors of the driver for a lost connection. After a ``TimeoutError`` it would roll back on the
    same connection, which waits once more, and the other connections of the pool would be tried one by one.
    """
    error = context.original_exception
    # The driver loses its place if the server said goodbye on an idle connection that is not closed yet.
    if not isinstance(error, OSError) and not isinstance(error.__cause__, asyncpg.InternalClientError):
        return
    context.is_disconnect = True
    connection = context.connection
    if connection is not None and not connection.invalidated:
        driver = connection.connection.driver_connection
        if isinstance(driver, asyncpg.Connection):
            driver.terminate()


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    return async_sessionmaker(engine, expire_on_commit=False)
