"""Notices that Postgres has gone silent below a statement that may take any time, such as a migration.

A time limit cannot tell a long migration from a server that is gone. So a second connection asks the server now and
then whether the session still exists. A refusal is an answer, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from core.postgres_connection import open_connection

_TRIES = 3
"""So many questions in a row without an answer mean that the server is silent."""
# Any session, also one of another role: the process id is visible to all.
_SESSION = "SELECT 1 FROM pg_stat_activity WHERE pid = $1"


class ServerSilentError(Exception):
    """The server did not answer, or knows the session no longer. What its last statement did is unknown."""


@asynccontextmanager
async def server_watched(
    dsn: str, connection: asyncpg.Connection, *, probe_seconds: float
) -> AsyncIterator[None]:
    """Break off what is done on ``connection`` inside the context when the server goes silent.

    Args:
        dsn: Address of the server, in asyncpg's form.
        connection: Terminated when the server is silent, so that its statement ends with an error.
        probe_seconds: Pause between two questions, and the limit of each.

    Raises:
        ServerSilentError: Instead of the error of the broken statement.
    """
    silent = False

    async def watch() -> None:
        nonlocal silent
        missed = 0
        pid = connection.get_server_pid()
        while missed < _TRIES:
            await asyncio.sleep(probe_seconds)
            known = await _knows(dsn, pid, probe_seconds)
            if known is False:
                break
            missed = 0 if known else missed + 1
        silent = True
        connection.terminate()

    watching = asyncio.create_task(watch())
    try:
        yield
    except Exception as exc:
        if silent:
            raise ServerSilentError from exc
        raise
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _knows(dsn: str, pid: int, seconds: float) -> bool | None:
    """Say whether the server has the session; None when it does not answer."""
    try:
        connection = await open_connection(
            dsn,
            application_name="agentroute-migrate-watch",
            connect_seconds=seconds,
            statement_seconds=seconds,
        )
    except asyncpg.PostgresError:
        return True
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    try:
        return await connection.fetchval(_SESSION, pid) is not None
    except asyncpg.PostgresError:
        return True
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None
    finally:
        connection.terminate()
