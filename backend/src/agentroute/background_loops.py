"""The background loops of a process, and the reaction when one of them ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_CLOSE_SECONDS = 5.0
"""How long loops may take to end; they hold connections that close next."""

Close = Callable[[], Awaitable[None]]


class BackgroundLoops:
    """Loops that run until they are closed.

    Args:
        on_broken: Called when a loop has ended by itself.
    """

    def __init__(self, on_broken: Callable[[], None]) -> None:
        self._on_broken = on_broken
        self._loops: list[tuple[asyncio.Task[None], Close | None]] = []
        self._closing = False

    def start(self, name: str, loop: Coroutine[Any, Any, None], *, close: Close | None = None) -> None:
        """Run a loop.

        Args:
            name: For the log.
            loop: Runs until it is cancelled or closed.
            close: Makes the loop end after its last work; a loop without it is cancelled.
        """
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._ended)
        self._loops.append((task, close))

    async def close(self) -> None:
        """End all loops: first those that only read, then, in the order of their start, those with work left."""
        self._closing = True
        for task, close in self._loops:
            if close is None:
                task.cancel()
        for _, close in self._loops:
            if close is not None:
                await close()
        await asyncio.wait([task for task, _ in self._loops], timeout=_CLOSE_SECONDS)
        for task, _ in self._loops:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._closing or task.cancelled():
            return
        _tell(task)
        self._on_broken()


@asynccontextmanager
async def running(**loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run loops in the background while the context is open. A loop that fails is logged, with its name."""
    tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
    for task in tasks:
        task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(_tell_failure)
            task.cancel()
        await asyncio.wait(tasks, timeout=2)


def _tell_failure(task: asyncio.Task[None]) -> None:
    # A loop with nothing to do in this deployment returns.
    if not task.cancelled() and task.exception() is not None:
        _tell(task)


def _tell(task: asyncio.Task[None]) -> None:
    log.critical("background_loop_ended", loop=task.get_name(), exc_info=task.exception())
