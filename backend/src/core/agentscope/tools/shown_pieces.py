"""Shows the pieces of a result while they come: as reports of progress. The result itself is whole, and comes at the end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from time import monotonic

from core.agentscope.tools.foreign_results import ResultUnreadable
from core.agentscope.tools.result_text import result_text

SECONDS = 0.6
"""Between two reports of a call; what comes meanwhile is in the next one. A little more than the least time between two
reports, so that none is dropped."""
CHARACTERS = 500
"""The newest of what came, in one report."""


class ShownPieces:
    """The pieces of one call. Make it in the event loop of the call.

    Args:
        show: Reports the text of some pieces.
        clock: Seconds that only grow.
    """

    def __init__(
        self, show: Callable[[str], Awaitable[None]], clock: Callable[[], float] = monotonic
    ) -> None:
        self._show = show
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._next_at = -math.inf
        self._text = ""

    async def take(self, piece: object) -> None:
        """Take in a piece, and show what came if it is time."""
        if text := self._due(piece):
            await self._show(text)

    def take_from_thread(self, piece: object) -> None:
        """Do the same from the thread of a plain generator, which does not wait for it."""
        if text := self._due(piece):
            self._loop.call_soon_threadsafe(self._begin, text)

    def _begin(self, text: str) -> None:
        task = asyncio.ensure_future(self._show(text))
        # A report that fails is no failure of the tool; the event pipeline ends the run by itself.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _due(self, piece: object) -> str:
        self._text = (self._text + _words(piece))[-CHARACTERS:]
        now = self._clock()
        if now < self._next_at or not self._text.strip():
            return ""
        self._next_at = now + SECONDS
        text, self._text = self._text, ""
        return text


def _words(piece: object) -> str:
    if isinstance(piece, str):
        return piece
    try:
        return result_text(piece)
    except ResultUnreadable:
        # The result will say so.
        return ""
