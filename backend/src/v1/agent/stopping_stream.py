"""A stream that stops its run when the client disconnects (``forwardedProps.onDisconnect``)."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable
from typing import Self

from core.agentscope.events.event_types import TERMINAL_TYPES, prefixes
from core.agentscope.events.thread_stream import Outlet
from v1.agent.parking import attach, close

# A frame has one line per event.
_TERMINAL = re.compile(
    b"|".join(b"^data: " + re.escape(prefix) for prefix in prefixes(TERMINAL_TYPES)), re.MULTILINE
)


class StoppingStream:
    """The frames of one run. Calls back once if the stream is abandoned before the end of the run.

    A stream is abandoned if it is unfinished at ``aclose``: the client disconnected or stopped reading. A stream that
    ends by itself (end of the run, draining process, maximum age) or by a failure of the service is not abandoned.
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
        # Passing the frame on is enough: a client may disconnect as soon as it reads the terminal event.
        self._settled = self._settled or _TERMINAL.search(frame) is not None
        return frame

    def attach(self, outlet: Outlet, wake_at: float = math.inf) -> bool:
        """Let the frames rest. The end of the run does not pass there: a stream goes on before it ends."""
        return attach(self._frames, outlet, wake_at)

    async def aclose(self) -> None:
        """Close the frames. A stream that never began also counts as abandoned."""
        if not self._settled:
            self._settled = True
            self._on_leave()
        await close(self._frames)
