"""The SQLAlchemy engine of a process, for short transactions.

The event writer has a connection of its own (``core/agentscope/events``): its
one statement a flush is the hot path.
"""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from core.config import DatabaseSettings

SessionFactory = async_sessionmaker[AsyncSession]


def database_url(settings: DatabaseSettings) -> URL:
    """Return the URL with the asyncpg driver, whatever dialect name the user wrote."""
    return make_url(settings.url.get_secret_value()).set(drivername="postgresql+asyncpg")


def create_engine(settings: DatabaseSettings, *, application_name: str) -> AsyncEngine:
    """Build a pooled engine; no connection is made before the first query.

    Every statement and lock wait is bounded, so an overloaded database becomes
    an error with a code instead of a hang.
    """
    return create_async_engine(
        database_url(settings),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        pool_pre_ping=False,
        connect_args={
            "timeout": settings.pool_timeout_seconds,
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": str(int(settings.statement_timeout_seconds * 1000)),
                "lock_timeout": str(int(settings.lock_timeout_seconds * 1000)),
                "idle_in_transaction_session_timeout": "10000",
                "timezone": "UTC",
            },
        },
    )


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    return async_sessionmaker(engine, expire_on_commit=False)


def asyncpg_dsn(settings: DatabaseSettings) -> str:
    """Return the URL as asyncpg itself wants it."""
    return database_url(settings).set(drivername="postgresql").render_as_string(hide_password=False)
