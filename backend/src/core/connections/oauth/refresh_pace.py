"""How fast a worker refreshes: an authorization server that hangs or is away costs its own users, and not more than needed.

1. Each authorization server has ``MOST_REFRESHES`` places of its own. Who gets none for ``WAIT_SECONDS`` gives up.
2. A refresh that failed is not tried again for ``PAUSE_SECONDS``: neither by others, if the server or the operator's
   client is the reason, nor with the same tokens otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from core.connections.oauth.failures import OAuthFailed

MOST_REFRESHES = 8
"""At once at one authorization server. Nobody waits for a place while others wait for another server."""
WAIT_SECONDS = 5.0
"""Together with the request, less than the lease of a connection lasts."""
PAUSE_SECONDS = 15.0
_MOST_REMEMBERED = 10_000


class NotNow(OAuthFailed):
    """No refresh was tried."""

    def __init__(self, words: str) -> None:
        super().__init__("unreachable", words)


class RefreshPace:
    """The refreshes of one worker, at all authorization servers."""

    def __init__(self) -> None:
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._failed: dict[tuple[str, ...], tuple[datetime, str]] = {}

    @asynccontextmanager
    async def place(self, issuer: str) -> AsyncIterator[None]:
        """Hold one of the places of an authorization server.

        Raises:
            NotNow: There was none in time.
        """
        places = self._places.setdefault(issuer, asyncio.Semaphore(MOST_REFRESHES))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await places.acquire()
        except TimeoutError:
            raise NotNow("The authorization server takes too long for others.") from None
        try:
            yield
        finally:
            places.release()

    def note(self, reason: tuple[str, ...], error: OAuthFailed, now: datetime) -> None:
        """Remember a failure of whatever ``reason`` names."""
        self._failed.pop(reason, None)
        self._failed[reason] = (now, error.words)
        if len(self._failed) > _MOST_REMEMBERED:
            self._failed.pop(next(iter(self._failed)))

    def check(self, reasons: list[tuple[str, ...]], now: datetime) -> None:
        """Return if a refresh may be tried.

        Raises:
            NotNow: One of these has failed a short time ago.
        """
        for reason in reasons:
            at, words = self._failed.get(reason, (None, ""))
            # The clock may have been put back.
            if at is not None and abs(now - at) < timedelta(seconds=PAUSE_SECONDS):
                raise NotNow(words)
            self._failed.pop(reason, None)
