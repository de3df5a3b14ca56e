"""A stream whose client asked that leaving it stops the run (``forwardedProps.onDisconnect``)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Self

from core.agentscope.events.event_types import TERMINAL_TYPES, prefixes

# A frame holds one event a line.
_TERMINAL = re.compile(
    b"|".join(b"^data: " + re.escape(prefix) for prefix in prefixes(TERMINAL_TYPES)), re.MULTILINE
)


class StoppingStream:
    """The frames of one run; calls back once when they are given up before the run's end.

    Given up is what ``aclose`` finds unfinished: the client left, or stopped
    reading. A stream that ends by itself (the run's end, the process drains, its
    greatest age) or by a failure of ours was not.
    """

    def __init__(self, frames: AsyncIterator[bytes], on_leave: Callable[[], object]) -> None:
        self._frames = frames
        self._on_leave = on_leave
        self._settled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            frame = await anext(self._frames)
        except Exception:
            self._settled = True
            raise
        # Handed on is enough: a client may close the moment it reads the terminal event.
        self._settled = self._settled or _TERMINAL.search(frame) is not None
        return frame

    async def aclose(self) -> None:
        """Close the frames; also what was never begun counts as given up."""
        if not self._settled:
            self._settled = True
            self._on_leave()
        if (close := getattr(self._frames, "aclose", None)) is not None:
            await close()
