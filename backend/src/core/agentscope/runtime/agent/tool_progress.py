"""Shows what running tools say about their progress: few events, and none after a call's result.

The events are durable like all others, because one log has the order of everything. So their number is limited.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.schemas.internal_events import ToolProgress

MIN_SECONDS = 0.5
"""Between two reports of a call."""
MAX_REPORTS = 100
"""Of one call."""
MAX_CHARACTERS = 500


class CallProgress:
    """The progress of one running call.

    Args:
        tool_call_id: The call.
        emit: Takes the events of the run.
        clock: Seconds that only grow.
    """

    def __init__(self, tool_call_id: str, emit: Emit, clock: Callable[[], float] = monotonic) -> None:
        self._tool_call_id = tool_call_id
        self._emit = emit
        self._clock = clock
        self._next_at = -math.inf
        self._left = MAX_REPORTS

    def close(self) -> None:
        """The call has ended: what comes later is dropped."""
        self._left = 0

    async def report(self, message: str, progress: float | None, total: float | None) -> None:
        """Show a report, unless it comes too soon after the last one or the call has made too many."""
        now = self._clock()
        if not self._left or now < self._next_at:
            return
        self._left -= 1
        self._next_at = now + MIN_SECONDS
        await self._emit(
            ToolProgress(
                tool_call_id=self._tool_call_id,
                message=str(message)[:MAX_CHARACTERS],
                progress=_finite(progress),
                total=_finite(total),
            )
        )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
