"""Migrates the schema of the database, and returns its revision.

Two processes may migrate at the same time (two containers of one deployment): the second waits, then has nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from agentroute.migration_steps import LOCK_SECONDS
from agentroute.schema_state import STATE_SQL, SchemaState, migrations_directory, schema
from agentroute.server_watch import ServerSilentError, server_watched
from core.postgres_connection import open_connection

log = structlog.get_logger(__name__)

# Any number no other program takes in the same database: "AGRT" in ASCII.
LOCK = 0x41475254
"""Of the advisory lock that a migration holds."""
_CONNECT_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.2
PROBE_SECONDS = 10.0
"""How often a server that works on a migration is asked whether it still does."""
LOCKED_SECONDS = 600.0
"""How long a migration is tried again while others hold what it needs."""
_AGAIN_SECONDS = 1.0
"""Pause before it is tried again: what waited behind it has its turn."""
_HELD_BY_OTHERS = frozenset({"55P03", "40P01"})
"""SQLSTATEs: a lock was not to be had in time, or its holder waits for this migration."""
# A migration whose machine is gone must not hold the lock for the two hours of the system's default.
_WATCH_US = """
SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false)
"""


class MigrationError(Exception):
    """The schema cannot be migrated to the revision. The message is one line that says what to do."""


async def upgrade(
    url: str,
    revision: str = "head",
    *,
    probe_seconds: float = PROBE_SECONDS,
    locked_seconds: float = LOCKED_SECONDS,
) -> None:
    """Apply the missing migrations up to ``revision``; waits for a migration that runs elsewhere.

    They are one transaction: a failure leaves the schema as it was. A migration that builds indexes while the service
    runs commits what came before it; after a failure, its next try begins with it again.
    No statement of it waits longer than two seconds for a table that others hold, because everybody else would wait
    behind it. It is then undone and tried again.
    A schema that is newer than this version and compatible with it stays as it is: a version that is rolled back starts
    with this command, too.

    Args:
        url: ``postgresql://`` URL of the database.
        revision: Alembic revision; ``head`` is the newest.
        probe_seconds: Pause between two questions whether the server still works on it. A migration may take any
            time, but not on a server that is gone.
        locked_seconds: How long it is tried again while others hold a table that it changes.

    Raises:
        MigrationError: The database has a revision this version does not know and cannot use, the server went silent,
            or others held a table all the time.
        OSError: The server does not answer.
        asyncpg.PostgresError: The server refuses the connection or a statement.
    """

    def up(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        found = _read(connection)
        # No transaction is left open: a migration that builds indexes concurrently has none around it.
        connection.rollback()
        if revision == "head" and schema().judge(found) == "newer":
            log.info("schema_newer", why="It is compatible with this version.")
            return
        command.upgrade(config, revision)

    await _migrate(url, up, probe_seconds, locked_seconds)


async def downgrade(url: str, revision: str) -> None:
    """Undo migrations down to ``revision`` (``base`` for none, ``-1`` for one back). Errors as ``upgrade``."""
    await _migrate(url, lambda config: command.downgrade(config, revision), PROBE_SECONDS, LOCKED_SECONDS)


async def current(url: str) -> str | None:
    """Return the revision of a database; None before the first migration. Errors as ``upgrade``."""
    async with connect(url) as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def _read(connection: Connection) -> SchemaState:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return SchemaState()
    row = connection.execute(text(STATE_SQL)).one_or_none()
    return SchemaState() if row is None else SchemaState(*row)


def scripts() -> ScriptDirectory:
    """Return the migrations of this version."""
    return ScriptDirectory.from_config(_config())


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[AsyncConnection]:
    """Open the one connection of a migration, without the time limits of the service's pool."""
    dsn = asyncpg_url(url)

    async def open_ours() -> asyncpg.Connection:
        # asyncpg reads the URL itself: it knows libpq's options (sslmode, several hosts), SQLAlchemy does not.
        return await open_connection(
            dsn,
            application_name="agentroute-migrate",
            connect_seconds=_CONNECT_SECONDS,
            statement_seconds=None,
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_ours, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def asyncpg_url(url: str) -> str:
    """Return a URL of Postgres in asyncpg's form."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _migrate(
    url: str, step: Callable[[Config], None], probe_seconds: float, locked_seconds: float
) -> None:
    def run(connection: Connection) -> None:
        step(_config(connection=connection))

    async with connect(url) as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            async with server_watched(asyncpg_url(url), driver, probe_seconds=probe_seconds):
                await _lock(connection)
                await _until_free(connection, run, locked_seconds)
        except ServerSilentError as exc:
            raise MigrationError(
                "Postgres does not answer any more; check it and the network, then run `agentroute migrate` again"
            ) from exc
        except CommandError as exc:
            raise MigrationError(
                f"the schema cannot be migrated: {exc}. Is the database from a newer version? Use that version"
            ) from exc


async def _until_free(
    connection: AsyncConnection, run: Callable[[Connection], None], locked_seconds: float
) -> None:
    """Migrate, as often as others hold what is needed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + locked_seconds
    while True:
        try:
            # Of each try: one that failed inside ``concurrently`` has left none.
            await connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
            await connection.commit()
            await connection.run_sync(run)
            await connection.commit()
        except DBAPIError as exc:
            if getattr(exc.orig, "sqlstate", None) not in _HELD_BY_OTHERS:
                raise
            await connection.rollback()
            if loop.time() >= deadline:
                raise MigrationError(
                    "others hold a table that the migration changes, and do not let go; the schema is as it was. "
                    + "End their transactions (pg_stat_activity shows them), then run `agentroute migrate` again"
                ) from exc
            log.info("migration_waits", why="Others hold a table that it changes.")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _lock(connection: AsyncConnection) -> None:
    await connection.execute(text(_WATCH_US))
    told = False
    # Asked again and again, between transactions: an index that is built concurrently waits for every transaction that
    # is open, also for one that waits for this lock.
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        await connection.rollback()
        if not told:
            log.info("migration_waits", why="Another process migrates this database.")
            told = True
        await asyncio.sleep(_LOCK_POLL_SECONDS)
    # The lock is the session's: it outlives this transaction and ends with the connection.
    await connection.commit()


def _config(**attributes: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config
