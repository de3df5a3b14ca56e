"""A clock of Postgres that a test decides: where it stands, and how fast it goes.

The functions that the service asks for the time are hidden by others of the same names: only for connections of the
:func:`with_clock` URL, which look into the schema of the clock first. Everything else of the database is as it is.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg

_SCHEMA = """
CREATE SCHEMA clock;
CREATE TABLE clock.state (base timestamptz NOT NULL, since timestamptz NOT NULL, pace float8 NOT NULL,
    until timestamptz NOT NULL);
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT least(base + (pg_catalog.clock_timestamp() - since) * pace, until) FROM clock.state';
CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT least(base + (pg_catalog.statement_timestamp() - since) * pace, until) FROM clock.state';
"""


def with_clock(url: str) -> str:
    """Return a URL whose connections see the test's clock."""
    return f"{url}{'&' if '?' in url else '?'}search_path=clock,pg_catalog,public"


class PostgresClock:
    """The clock of one database.

    Args:
        url: Of the database, without the clock.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def make(self, base: datetime, until: datetime) -> None:
        """Make a clock that stands at a time, and that never goes further than another."""
        await self._execute(_SCHEMA)
        await self._execute(
            "INSERT INTO clock.state VALUES ($1, pg_catalog.clock_timestamp(), 0, $2)", base, until
        )

    async def start(self, pace: float) -> None:
        """Let the clock go, so many times as fast as the real one."""
        await self._execute("UPDATE clock.state SET since = pg_catalog.clock_timestamp(), pace = $1", pace)

    async def now(self) -> datetime:
        """Return what the clock shows."""
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval("SELECT clock.clock_timestamp()")
        finally:
            await connection.close()

    async def drop(self) -> None:
        """Take the clock away: the database is as it was."""
        await self._execute("DROP SCHEMA IF EXISTS clock CASCADE")

    async def _execute(self, sql: str, *arguments: object) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()
