"""What a runner has started and may still be at work when the runner has ended: its tool calls, and agents in tasks.

Nothing of it goes on behind the end of the run. When a call waits for the user, calls that act already are let to their
end: the runner is called again, and would make a call without a result once more. Everything else is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from core.agentscope.runtime import stop_signal
from core.agentscope.runtime.stop_signal import StopSignal, cancel_until_done

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class RunnerOver(asyncio.CancelledError):
    """The runner has ended: what it has started must not go on."""


class RunnerParked(BaseException):
    """Ends a runner whose tool call waits for the user. Not an ``Exception``: the user's code must not catch it."""


class SideWork:
    """The work of one call of a runner.

    Args:
        stop: Says when to stop.
        reference: Names the runner in the log.
    """

    def __init__(self, stop: StopSignal, reference: str) -> None:
        self.parked = False
        """Whether a tool call waits for the user."""
        self.over = False
        """Whether nothing new may begin."""
        self._stop = stop
        self._reference = reference
        self._calls: set[asyncio.Task[Any]] = set()
        self._agents: list[asyncio.Task[Any]] = []

    def park(self) -> RunnerParked:
        """Note that a tool call waits for the user; returns what to raise."""
        self.parked = True
        return RunnerParked()

    async def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Make a tool call in a task of its own. Once a call waits for the user, it outlives the task that wants it.

        Raises:
            RunnerOver: The runner has ended.
        """
        if self.over:
            work.close()
            raise RunnerOver
        task = asyncio.create_task(_no_exit(work))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        task.add_done_callback(_forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done() and not self.parked:
                task.cancel()
                await asyncio.wait({task}, timeout=stop_signal.CANCEL_AGAIN_SECONDS)
            raise

    @contextmanager
    def agent_at_work(self) -> Iterator[None]:
        """Know the task of an agent while it is at work.

        Raises:
            RunnerOver: The runner has ended.
        """
        if self.over:
            raise RunnerOver
        task = asyncio.current_task()
        if task is None:
            yield
            return
        self._agents.append(task)
        try:
            yield
        finally:
            self._agents.remove(task)

    def cancel(self) -> None:
        """Cancel everything, and wait for nothing."""
        self.over = True
        for task in (*self._agents, *self._calls):
            task.cancel()

    async def end(self, own: asyncio.Task[Any]) -> None:
        """Return when nothing is at work any more. What ignores its cancellation is named in the log and left behind.

        Args:
            own: The task of the runner itself.
        """
        self.over = True
        await self._cancelled(set(self._agents) - {own})
        if self.parked:
            await self._let_act()
        await self._cancelled(set(self._calls))

    async def _let_act(self) -> None:
        stopped = asyncio.Event()
        waiting = asyncio.create_task(stopped.wait())
        undo = self._stop.on_set(stopped.set)
        try:
            while (acting := {task for task in self._calls if not task.done()}) and not self._stop.is_set:
                await asyncio.wait({*acting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            undo()
            waiting.cancel()

    async def _cancelled(self, tasks: set[asyncio.Task[Any]]) -> None:
        ended = await asyncio.gather(*(cancel_until_done(task) for task in tasks if not task.done()))
        if not all(ended):
            log.error("runner_ignored_cancel", runner=self._reference)


async def _no_exit(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as exc:
        # A task that raises them ends the worker.
        raise RuntimeError(f"a tool raised {type(exc).__name__}") from exc


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        _ = task.exception()
