"""Whether a pooler stands before Postgres, and whether the settings fit.

A pooler does not say that it is one. But a server tells each client its process id when it connects, and a pooler
answers before it has a server: the number that it tells is not the one that the server itself gives as its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from agentroute.check_result import CheckResult
from agentroute.preflight import place_of
from core.config import DatabaseSettings, Settings
from core.postgres_connection import asyncpg_dsn, direct_dsn, open_connection

TIMEOUT_SECONDS = 5
_TRIES = 3
_NAME = "Pooler"
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
# Of the server and of the database in it; two addresses of the same say the same.
_WHO = "SELECT pg_postmaster_start_time()::text || ' ' || current_database()"
_OWN_PID = "SELECT pg_backend_pid()"


async def check_pooler(settings: Settings) -> CheckResult:
    """Check that a pooler is one that the service was told of, and that it leads where the direct URL leads."""
    database = settings.database
    if not database.url.get_secret_value():
        return CheckResult(_NAME, False, "no database is configured", "Set AGENT_DATABASE__URL first.")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), _opened(asyncpg_dsn(database)) as connection:
            is_pooler = await _is_pooler(connection)
            who = str(await connection.fetchval(_WHO))
            if not database.is_pooled:
                return _untold(database) if is_pooler else CheckResult(_NAME, True, "none")
            shares = is_pooler and await _shares(database, connection)
    except _FAILURES as exc:
        if "statement pooling" in str(exc):
            found = f"{place_of(database.url.get_secret_value())} is a pooler that refuses transactions"
            return CheckResult(_NAME, False, found, "Set its pool_mode to transaction.")
        return CheckResult(_NAME, False, "the database cannot be read", "Fix Postgres first.")
    return await _judge_direct(database, who) or _told(is_pooler, shares=shares)


def _untold(database: DatabaseSettings) -> CheckResult:
    return CheckResult(
        _NAME,
        False,
        f"a pooler answers at {place_of(database.url.get_secret_value())}",
        "Set AGENT_DATABASE__DIRECT_URL to the URL of Postgres itself.",
    )


def _told(is_pooler: bool, *, shares: bool) -> CheckResult:
    if not is_pooler:
        found = (
            "none: AGENT_DATABASE__URL is Postgres itself, and needs fewer round trips "
            "without AGENT_DATABASE__DIRECT_URL"
        )
    elif shares:
        found = "shares connections between transactions"
    else:
        found = (
            "gives each connection a server of its own (pool_mode session?), so it saves none: "
            "its pools must be as large as those of all processes together"
        )
    return CheckResult(_NAME, True, found)


async def _judge_direct(database: DatabaseSettings, who: str) -> CheckResult | None:
    """Return what is wrong with the direct URL."""
    place = place_of(database.direct)
    fix = "Set AGENT_DATABASE__DIRECT_URL to the URL of Postgres itself."
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), _opened(direct_dsn(database)) as connection:
            if await _is_pooler(connection):
                return CheckResult(_NAME, False, f"{place} of the direct URL is a pooler, too", fix)
            if str(await connection.fetchval(_WHO)) != who:
                found = f"{place} of the direct URL is not the database that the pooler leads to"
                return CheckResult(_NAME, False, found, fix)
    except _FAILURES as exc:
        why = "does not answer" if isinstance(exc, OSError) else f"refuses: {exc}"
        return CheckResult(_NAME, False, f"{place} of the direct URL {why}", fix)
    return None


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await open_connection(
        dsn,
        application_name="agentroute-check",
        connect_seconds=TIMEOUT_SECONDS,
        statement_seconds=TIMEOUT_SECONDS,
        # Also where there is no pooler: nothing here needs a session.
        pooled=True,
    )
    try:
        yield connection
    finally:
        connection.terminate()


async def _is_pooler(connection: asyncpg.Connection) -> bool:
    return await connection.fetchval(_OWN_PID) != connection.get_server_pid()


async def _shares(database: DatabaseSettings, first: asyncpg.Connection) -> bool:
    """Say whether two connections came to the same server. The server that became free last is lent first."""
    async with _opened(asyncpg_dsn(database)) as second:
        for _ in range(_TRIES):
            if await first.fetchval(_OWN_PID) == await second.fetchval(_OWN_PID):
                return True
    return False
