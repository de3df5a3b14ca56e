"""An event loop whose clock moves by itself: when nothing can run, time jumps to the next timer.

Timeouts, heartbeats and back-off run at their real figures and cost no real
time. For code of one thread without sockets.
"""

from __future__ import annotations

import asyncio
import selectors

_START = 1000.0
"""Not zero: a monotonic clock never begins there, and code may use zero for "never"."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise AssertionError("every task waits for something that nobody will do")
        self.now += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """Give it to AnyIO's test runner as ``loop_factory``."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


VIRTUAL_CLOCK = ("asyncio", {"loop_factory": VirtualClockLoop})
"""Value of an ``anyio_backend`` fixture."""
