"""Lets few begin at once, so that work which comes in one instant does not advance in step.

Fifty requests or runs that begin together share the processor. If each gets a slice in turn, each of them is ready only
when all are; one after the other, half of them are ready in half of the time. See docs/adr/0035.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """The places of what begins; first come, first served.

    Args:
        at_once: How many begin at once: enough to work while others wait for a database.
        most_seconds: How long one can hold up the others. Then it goes on without its place.
        patience_seconds: How long one waits for a place. Then it begins without one; ``None``: it waits.
    """

    def __init__(self, at_once: int, most_seconds: float, *, patience_seconds: float | None = None) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._most_seconds = most_seconds
        self._patience_seconds = patience_seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place; yield what gives the place to the next one, as the end of the block and time do, too."""
        held = await self._has_place()

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                self._places.release()

        limit = asyncio.get_running_loop().call_later(self._most_seconds, leave)
        try:
            yield leave
        finally:
            limit.cancel()
            leave()

    async def _has_place(self) -> bool:
        if not self._places.locked():
            return await self._places.acquire()
        patience = asyncio.timeout(self._patience_seconds)
        try:
            async with patience:
                return await self._places.acquire()
        except TimeoutError:
            if not patience.expired():
                raise
            return False
