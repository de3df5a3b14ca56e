"""The signal that a run should stop before its end, and why.

The first reason wins, except that ``lost`` replaces every other. Code that produces events registers a callback that
cancels it. The task that persists events is never cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

StopReason = Literal["user", "deadline", "shutdown", "lost"]
"""``lost``: the lease is gone, so nothing more may be written."""

Result = TypeVar("Result")


class RunStopped(Exception):
    """The run was told to stop; ``StopSignal.reason`` says why."""


class StopSignal:
    """Set at most once, from the event loop's thread."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._callbacks: set[Callable[[], object]] = set()

    @property
    def is_set(self) -> bool:
        return self.reason is not None

    def set(self, reason: StopReason) -> None:
        """Ask the run to stop. The first reason stays, unless the new one is ``lost``."""
        if self.reason is not None:
            if reason == "lost":
                self.reason = reason
            return
        self.reason = reason
        for callback in list(self._callbacks):
            callback()

    def on_set(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back when the signal is set, at once if it is set already; returns a function that unregisters."""
        if self.is_set:
            callback()
        self._callbacks.add(callback)
        return lambda: self._callbacks.discard(callback)

    async def guard(self, work: Awaitable[Result]) -> Result:
        """Await work in a task of its own that is cancelled when the signal is set.

        Raises:
            RunStopped: The signal was set before the work was done.
            RuntimeError: The work was cancelled, and not by the signal.
        """
        task = asyncio.ensure_future(work)
        undo = self.on_set(task.cancel)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            undo()
        if task.cancelled() and not self.is_set:
            raise RuntimeError("the work was cancelled by nobody")
        if self.is_set:
            # Even when the work returned: AgentScope's model base class turns a cancellation into a normal return.
            if not task.cancelled():
                _ = task.exception()
            raise RunStopped
        return task.result()
