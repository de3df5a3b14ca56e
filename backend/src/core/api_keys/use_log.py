"""Writes when API keys were last used: behind the requests, all keys of a process in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from core.outage import report_failure

INTERVAL_SECONDS = 60.0

Uses = Mapping[str, datetime]


class KeyUseLog:
    """The uses that are not written yet.

    Args:
        take: Returns them, and forgets them.
        write: Writes them. What cannot be written is lost: the next use of the key will be.
    """

    def __init__(self, take: Callable[[], Uses], write: Callable[[Uses], Awaitable[None]]) -> None:
        self._take = take
        self._write = write

    async def run(self) -> None:
        """Write once a minute, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is."""
        if not (uses := self._take()):
            return
        try:
            await self._write(uses)
        except Exception as exc:  # noqa: BLE001  the top of a background loop
            report_failure("key_uses_not_written", exc, keys=len(uses))
