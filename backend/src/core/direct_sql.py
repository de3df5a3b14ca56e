"""One statement in one round trip, past SQLAlchemy: for the statements that every run needs.

SQLAlchemy sends a transaction around each statement (three round trips) and costs several times the CPU of the driver.
The connection is one of the engine's pool, so its size and its time limits hold here, too.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine


async def fetch(engine: AsyncEngine, sql: str, *arguments: object) -> list[asyncpg.Record]:
    """Execute one statement, which is its own transaction, and return its rows.

    The driver prepares the statement once per connection.

    Args:
        engine: An engine of ``core.database.create_engine``.
        sql: A statement with ``$1`` and so on.
        arguments: Its arguments. jsonb is text here: cast it in the statement (``$1::text::jsonb``).

    Raises:
        asyncpg.PostgresError: The server refuses the statement; nothing of it is written.
        OSError: The server does not answer. Whether the statement was committed is unknown.
        sqlalchemy.exc.TimeoutError: The pool has no free connection.
    """
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if driver.is_closed():
            # The server ended it while nobody used it. The other connections are no better, and nothing was sent yet.
            await connection.invalidate()
            await engine.dispose()
            driver = (await connection.get_raw_connection()).driver_connection
        try:
            rows: list[asyncpg.Record] = await driver.fetch(sql, *arguments)
        except asyncpg.PostgresError:
            # An answer: the connection is in order, unless the server has ended it.
            if driver.is_closed():
                await connection.invalidate()
                await engine.dispose()
            raise
        except BaseException as exc:
            # No answer, or nobody waits for it any more. The state of the connection is unknown, and nothing may wait
            # for it.
            driver.terminate()
            await connection.invalidate()
            if _is_lost(exc):
                # As core/database.py does: the other connections would be tried one by one.
                await engine.dispose()
            raise
    return rows


def _is_lost(error: BaseException) -> bool:
    """Return whether the server is gone or silent, rather than the request given up or the arguments wrong."""
    return isinstance(error, OSError | asyncpg.InternalClientError) or isinstance(
        error.__cause__, asyncpg.InternalClientError
    )
