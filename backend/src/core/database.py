"""The SQLAlchemy engine of a process, for short transactions.

The event writer has a connection of its own (``core/agentscope/events``), because its one statement per flush is the
hot path.
"""

from __future__ import annotations

import asyncio

import asyncpg
import orjson
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from core.config import DatabaseSettings

SessionFactory = async_sessionmaker[AsyncSession]


def create_engine(settings: DatabaseSettings, *, application_name: str) -> AsyncEngine:
    """Build a pooled engine; no connection is made before the first query.

    Every statement and every wait for a lock has a timeout, so an overloaded database causes an error instead of a
    hang. The driver itself parses the URL, so all options of libpq's URLs work, such as ``sslmode`` and several hosts.
    """
    dsn = asyncpg_dsn(settings)

    async def connect() -> asyncpg.Connection:
        async with asyncio.timeout(settings.pool_timeout_seconds):
            return await asyncpg.connect(
                dsn,
                server_settings={
                    "application_name": application_name,
                    "statement_timeout": str(int(settings.statement_timeout_seconds * 1000)),
                    "lock_timeout": str(int(settings.lock_timeout_seconds * 1000)),
                    "idle_in_transaction_session_timeout": "10000",
                    "timezone": "UTC",
                },
            )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        pool_pre_ping=False,
        # Numbers as in AG-UI events: jsonb writes 1e20 as an integer of 21 digits, which an event cannot contain.
        json_deserializer=orjson.loads,
    )


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    return async_sessionmaker(engine, expire_on_commit=False)


def asyncpg_dsn(settings: DatabaseSettings) -> str:
    """Return the URL in asyncpg's form, for any driver in the user's URL.

    Raises:
        ValueError: The URL is not a URL of Postgres.
    """
    scheme, separator, rest = settings.url.get_secret_value().partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("not a URL of Postgres")
    return f"postgresql://{rest}"
