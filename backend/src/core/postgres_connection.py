"""Opens connections to Postgres on which nothing waits for a server that has gone silent.

A silent server sends neither an answer nor a reset: its host is gone, a firewall drops packets, the process is held.
asyncpg by itself then waits for ever, also where one does not expect it: after a timeout or a cancellation it opens a
second connection to cancel the statement, and the next statement, ``rollback`` and ``close`` wait for that. Therefore:

- every statement has a limit on the side of the client, a little longer than the server's own, so that a server that
  lives answers first;
- ``close`` of an idle connection does not wait for the server to close its end;
- the kernel watches the peer (``core/tcp_watch.py``).

``core/database.py`` gives up a whole pool when one of its connections was silent.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from core.config import DatabaseSettings
from core.tcp_watch import watch_peer


class WatchedConnection(asyncpg.Connection):
    """A connection whose peer is watched, and whose ``close`` does not wait for it."""

    __slots__ = ()

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        watch_peer(transport.get_extra_info("socket"))

    async def close(self, *, timeout: float | None = None) -> None:
        """Close; an idle connection at once.

        In a transaction a statement may run, which a server that lives is asked to cancel. Then this waits for the
        answer, for ``timeout`` at most.
        """
        if not self.is_closed() and self.is_in_transaction():
            await super().close(timeout=timeout)
        else:
            self.terminate()


def asyncpg_dsn(settings: DatabaseSettings) -> str:
    """Return the URL in asyncpg's form, for any driver in the user's URL.

    Raises:
        ValueError: The URL is not a URL of Postgres.
    """
    scheme, separator, rest = settings.url.get_secret_value().partition("://")
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
    **server_settings: str,
) -> asyncpg.Connection:
    """Connect, all of it (address, TLS, password) within ``connect_seconds``.

    Args:
        dsn: Address in asyncpg's form (``asyncpg_dsn``).
        application_name: Shown in ``pg_stat_activity``.
        connect_seconds: Limit of the connection.
        statement_seconds: Limit of each statement that is given none of its own; None for a connection whose
            statements may take any time. Its owner must watch the server by other means.
        server_settings: Further parameters of the session.

    Raises:
        OSError: The server refuses, cannot be found or is silent (``TimeoutError``).
        asyncpg.PostgresError: The server refuses the user, the password or the database.
    """
    async with asyncio.timeout(connect_seconds):
        connection: asyncpg.Connection = await asyncpg.connect(
            dsn,
            connection_class=WatchedConnection,
            command_timeout=statement_seconds,
            server_settings={"application_name": application_name, **server_settings},
        )
    return connection
