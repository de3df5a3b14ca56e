"""How many workers live, as the database sees it.

Each worker keeps one connection for its whole life, and the server ends the connection as soon as the process is gone.
"""

from __future__ import annotations

import asyncpg

WORKER_CONNECTION = "agentroute-heartbeat"
"""Application name of the connection that each worker keeps."""

# Of one's own role only: the server hides the names of others.
_COUNT_SQL = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = $1
"""


async def count_workers(connection: asyncpg.Connection) -> int | None:
    """Return how many workers are connected with the role of this connection; None if the server does not tell.

    Raises:
        OSError, asyncpg.InterfaceError: The server does not answer.
    """
    try:
        return await connection.fetchval(_COUNT_SQL, WORKER_CONNECTION)
    except asyncpg.PostgresError:
        if connection.is_closed():
            raise
        return None
