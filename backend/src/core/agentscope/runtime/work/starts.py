"""Lets few runs begin at once, so that runs which are accepted in one instant do not advance in step.

What a run does before its first model call is work of the processor. If fifty runs share it, each of them reaches its
model only when all do; one after the other, half of the users wait half as long. See docs/adr/0035.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

AT_ONCE = 4
"""Runs that begin at once: enough to share statements, and to work while others wait for Postgres."""
MOST_SECONDS = 0.25
"""How long a run can hold up others: code of a user, or a locked row, can take any time."""


class Starts:
    """The places of the runs that begin; first come, first served."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place; yield what gives the place to the next run, as the end of the block and time do, too."""
        await self._places.acquire()
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                self._places.release()

        limit = asyncio.get_running_loop().call_later(MOST_SECONDS, leave)
        try:
            yield leave
        finally:
            limit.cancel()
            leave()
