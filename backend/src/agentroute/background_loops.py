"""The background loops of a process, and the reaction when one of them ends by itself.

Each loop expects the faults of what it depends on, and lives on. What ends one is a fault of ours. It is logged with the
loop's name. A worker then ends, and what starts it starts another: its runs are its only work, and others take them over.
An API process has open streams, so it begins the loop anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0
"""How long a loop that failed pauses before it begins anew: a fault that is there at once shall not fill the log."""
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
        _tell(task.get_name(), task.exception())
        self._on_broken()


@asynccontextmanager
async def running(**loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run loops in the background while the context is open.

    A loop that fails is logged, with its name, and begins anew. One that returns has nothing to do in this deployment.
    """
    tasks = [asyncio.create_task(_again_and_again(name, loop), name=name) for name, loop in loops.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=2)


async def _again_and_again(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await loop()
        except Exception as exc:  # noqa: BLE001  top of a background loop
            _tell(name, exc)
        else:
            return
        await asyncio.sleep(RESTART_SECONDS)


def _tell(name: str, exc: BaseException | None) -> None:
    log.critical("background_loop_ended", loop=name, exc_info=exc)
