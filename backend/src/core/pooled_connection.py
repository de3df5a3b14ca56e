"""A connection to Postgres through a pooler that lends a server to one transaction at a time, such as PgBouncer.

Between two transactions nothing of the session is left: the next one may be another server's. So

1. whatever is sent is inside a transaction, single statements too. The driver prepares a statement and executes it in
   two messages, and outside of a transaction the second one may reach a server that does not know it, or worse, knows
   another one;
2. prepared statements have no name. They end with the next one, and no server keeps them for a stranger;
3. the time limits go with ``BEGIN``, as ``SET LOCAL``: in the same message, so they cost no round trip. As parameters of
   the session the pooler would refuse them, or forget them without a word.

No setting of the pooler is needed for this, and every version of PgBouncer will do. See docs/adr/0062.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from core.watched_connection import WatchedConnection

UNNAMED = ""
"""The name of every prepared statement."""


class PooledConnection(WatchedConnection):
    """A connection that may be lent another server for each transaction.

    ``local_settings`` are set when it is open: parameters of Postgres, for every transaction.
    """

    __slots__ = ("_local_sql",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._local_sql = ""

    def set_local(self, settings: Mapping[str, str]) -> None:
        """Name parameters of Postgres that every transaction from now on begins with.

        Args:
            settings: Names and values that this service chose: they are not quoted as a stranger's would be.
        """
        self._local_sql = "".join(f" SET LOCAL {name} = '{value}';" for name, value in settings.items())

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Execute a statement. One that begins a transaction brings the parameters along."""
        if not args and query.startswith("BEGIN"):
            query = f"{query.rstrip(';')};{self._local_sql}"
        return await super().execute(query, *args, timeout=timeout)

    async def prepare(self, query: str, **options: Any) -> Any:
        """Prepare a statement without a name, inside a transaction.

        Raises:
            asyncpg.InterfaceError: There is no transaction: what was prepared might not be there when it is executed.
        """
        if not self.is_in_transaction():
            raise asyncpg.InterfaceError("a pooled connection prepares statements in transactions only")
        return await super().prepare(query, **{**options, "name": UNNAMED})

    # Every way to execute a statement with arguments, or to read rows, comes through here.
    async def _execute(self, query: str, args: Any, limit: int, timeout: float | None, **options: Any) -> Any:
        if self.is_in_transaction():
            return await super()._execute(query, args, limit, timeout, **options)
        try:
            await self.execute("BEGIN")
            result = await super()._execute(query, args, limit, timeout, **options)
            await self.execute("COMMIT")
        except asyncpg.PostgresError:
            # An answer. Nothing was written, unless it is about the commit; then the server is gone with the answer.
            await self._leave()
            raise
        except BaseException:
            # The transaction may be open, and would keep its server from everybody else.
            self.terminate()
            raise
        return result

    async def _leave(self) -> None:
        """End the transaction, if there still is one; give up the connection if even that fails."""
        if self.is_closed() or not self.is_in_transaction():
            return
        try:
            await self.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # The first error is the one that says why.
            self.terminate()
        except BaseException:
            self.terminate()
            raise
