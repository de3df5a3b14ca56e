"""Opens connections to Postgres on which nothing waits for a server that has gone silent.

A silent server sends neither an answer nor a reset: its host is gone, a firewall drops packets, the process is held.
asyncpg by itself then waits for ever, also where one does not expect it: after a timeout or a cancellation it opens a
second connection to cancel the statement, and the next statement, ``rollback`` and ``close`` wait for that. Therefore:

- every statement has a limit on the side of the client, a little longer than the server's own, so that a server that
  lives answers first;
- ``close`` of an idle connection does not wait for the server to close its end (``core/watched_connection.py``);
- the kernel watches the peer (``core/tcp_watch.py``).

``core/database.py`` gives up a whole pool when one of its connections was silent.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from core.config import DatabaseSettings
from core.pooled_connection import PooledConnection
from core.watched_connection import WatchedConnection

# What a pooler keeps for its client, or sets anew at each server that it lends.
_OF_CLIENT = frozenset({"timezone"})


def asyncpg_dsn(settings: DatabaseSettings) -> str:
    """Return the URL in asyncpg's form, for any driver in the user's URL. It may be a pooler's.

    Raises:
        ValueError: The URL is not a URL of Postgres.
    """
    return dsn_of(settings.url.get_secret_value())


def direct_dsn(settings: DatabaseSettings) -> str:
    """Return the URL of Postgres itself, for what needs a session of its own. Errors as ``asyncpg_dsn``."""
    return dsn_of(settings.direct)


def dsn_of(url: str) -> str:
    """Return a URL in asyncpg's form. Errors as ``asyncpg_dsn``."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("not a URL of Postgres")
    return f"postgresql://{rest}"


def answer_seconds(settings: DatabaseSettings) -> float:
    """How long the client waits for the answer to a statement. After it, the server counts as silent."""
    return settings.statement_timeout_seconds + settings.silence_seconds


async def open_connection(
    dsn: str,
    *,
    application_name: str,
    connect_seconds: float,
    statement_seconds: float | None,
    pooled: bool = False,
    **server_settings: str,
) -> asyncpg.Connection:
    """Connect, all of it (address, TLS, password) within ``connect_seconds``.

    Args:
        dsn: Address in asyncpg's form (``asyncpg_dsn``).
        application_name: Shown in ``pg_stat_activity``.
        connect_seconds: Limit of the connection.
        statement_seconds: Limit of each statement that is given none of its own; None for a connection whose
            statements may take any time. Its owner must watch the server by other means.
        pooled: Whether a pooler may lend another server to each transaction (``core/pooled_connection.py``).
        server_settings: Further parameters of the session; of each transaction, where it is pooled.

    Raises:
        OSError: The server refuses, cannot be found or is silent (``TimeoutError``).
        asyncpg.PostgresError: The server refuses the user, the password or the database.
    """
    kept = {name: value for name, value in server_settings.items() if not pooled or name in _OF_CLIENT}
    options: dict[str, Any] = {"statement_cache_size": 0} if pooled else {}
    async with asyncio.timeout(connect_seconds):
        connection: Any = await asyncpg.connect(
            dsn,
            connection_class=PooledConnection if pooled else WatchedConnection,
            command_timeout=statement_seconds,
            server_settings={"application_name": application_name, **kept},
            **options,
        )
    if pooled:
        connection.set_local({name: value for name, value in server_settings.items() if name not in kept})
    return connection
