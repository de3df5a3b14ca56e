"""The driver's connection, with a peer that is watched."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

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
