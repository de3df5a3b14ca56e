"""The signal that a run should stop before its end, and why.

The first reason wins, except that ``lost`` replaces every other. Code that produces events registers a callback that
cancels it. The task that persists events is never cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import structlog

log = structlog.get_logger(__name__)

CANCEL_AGAIN_SECONDS = 1.0
"""A cancellation can be swallowed: AgentScope 2.0.10 does so, and users' code may. So it is repeated."""
ABANDON_SECONDS = 10.0
"""Work that still runs this long after it was first cancelled is abandoned: the run's end must not wait for it."""

StopReason = Literal["user", "deadline", "shutdown", "lost"]
"""``lost``: the lease is gone, so nothing more may be written."""

Result = TypeVar("Result")


class RunStopped(Exception):
    """The run was told to stop; ``StopSignal.reason`` says why."""


class WorkTooSlow(Exception):
    """Guarded work was not done within its time limit."""


async def cancel_until_done(task: asyncio.Future[Any]) -> bool:
    """Cancel a task until it has ended; returns whether it has. Otherwise it is abandoned."""
    for _ in range(int(ABANDON_SECONDS / CANCEL_AGAIN_SECONDS)):
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
        if task.done():
            return True
    return False


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

    async def guard(self, work: Awaitable[Result], *, limit_seconds: float | None = None) -> Result:
        """Await work in a task of its own that is cancelled when the signal is set, or when its time is over.

        Work that ignores the cancellation is abandoned after ``ABANDON_SECONDS``.

        Raises:
            RunStopped: The signal was set before the work was done.
            WorkTooSlow: The time is over.
            RuntimeError: The work was cancelled, and not by the signal.
        """
        task = asyncio.ensure_future(work)
        stopped = asyncio.Event()
        waiting = asyncio.create_task(stopped.wait())
        undo = self.on_set(stopped.set)
        try:
            if not self.is_set:
                await asyncio.wait(
                    {task, waiting}, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED
                )
            in_time = task.done()
            if not in_time and not await cancel_until_done(task):
                log.error("work_ignored_cancel", work=getattr(work, "__qualname__", ""))
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            undo()
            waiting.cancel()
            task.add_done_callback(_forget)
        if self.is_set:
            # Even when the work returned: AgentScope's model base class turns a cancellation into a normal return.
            raise RunStopped
        if not in_time:
            raise WorkTooSlow
        if task.cancelled():
            raise RuntimeError("the work was cancelled by nobody")
        return task.result()


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        _ = task.exception()
