"""One look at a server for all who ask meanwhile and shortly after, on a connection that nobody else uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import asyncpg

from core.config import DatabaseSettings
from core.postgres_connection import asyncpg_dsn, open_connection

Found = TypeVar("Found")


class SharedLook(Generic[Found]):
    """Looks when somebody asks and nobody has looked lately. Belongs to one event loop.

    Args:
        look: Looks once.
        keep_seconds: How long what was found is given again.
        clock: Seconds.
    """

    def __init__(
        self, look: Callable[[], Coroutine[Any, Any, Found]], keep_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._look = look
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._looking: asyncio.Task[Found] | None = None
        self._found_at = float("-inf")

    async def read(self) -> Found:
        """Return what was found. Raises what the look raises."""
        looking = self._looking
        if looking is None or (looking.done() and self._clock() - self._found_at >= self._keep_seconds):
            looking = self._looking = asyncio.create_task(self._timed())
        # Shielded: one who leaves takes the answer from nobody.
        return await asyncio.shield(looking)

    async def aclose(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _timed(self) -> Found:
        try:
            return await self._look()
        finally:
            self._found_at = self._clock()


class KeptConnection:
    """A connection to Postgres that is opened when it is needed, and kept until something went wrong with it.

    Args:
        settings: Where Postgres is.
        name: Of the connection, as Postgres lists it.
        seconds: How long connecting and a statement may take.
        server_settings: More parameters of the session.
    """

    def __init__(self, settings: DatabaseSettings, name: str, seconds: float, **server_settings: str) -> None:
        self._settings = settings
        self._name = name
        self._seconds = seconds
        self._server_settings = server_settings
        self._connection: asyncpg.Connection | None = None

    async def get(self) -> asyncpg.Connection:
        """Return the connection."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await open_connection(
                asyncpg_dsn(self._settings),
                application_name=self._name,
                connect_seconds=self._seconds,
                statement_seconds=self._seconds,
                pooled=self._settings.is_pooled,
                **self._server_settings,
            )
        return self._connection

    def give_up(self) -> None:
        """Close it without a word: its state is unknown, or nobody needs it any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
