"""A share of the database connections for streams, so that many that come back at once leave the other requests theirs.

After a restart every client of the old process opens its stream again, and each of them reads a few times. See
docs/adr/0024.
"""

from __future__ import annotations

import asyncio
import random
from types import TracebackType

from core.errors import Overloaded

_RETRY_AFTER_SECONDS = (2.0, 8.0)
"""Varied: those who are refused together do not come back together."""


class ReadGate:
    """Lets a few reads of streams through at a time, in the order in which they came.

    Args:
        places: Reads at a time.
        patience_seconds: How long a read waits for its place.
    """

    def __init__(self, places: int, patience_seconds: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience_seconds = patience_seconds

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            Overloaded: No place became free in time.
        """
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._places.acquire()
        except TimeoutError as exc:
            raise Overloaded(
                "Too many streams are being opened. Open this one again after the time in Retry-After.",
                retry_after_seconds=random.uniform(*_RETRY_AFTER_SECONDS),  # noqa: S311  not for security
            ) from exc

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self._places.release()
