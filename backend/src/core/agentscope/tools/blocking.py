"""Plain functions off the event loop, each in a daemon thread of its own.

Not ``asyncio.to_thread``: a pool's threads are joined at exit, so one hung tool would keep a worker
from stopping, and hung tools would use up the pool that DNS look-ups share.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from core.agentscope.tools.errors import ToolError

T = TypeVar("T")

_MOST_THREADS = 128
"""Two to three per run of a fully loaded worker; more means hung tools or an attack."""
_slots = threading.BoundedSemaphore(_MOST_THREADS)


async def run_in_thread(function: Callable[[], T]) -> T:
    """Run a function in a thread and wait for it.

    When the waiting task is cancelled the thread goes on, keeps its slot until
    it is done, and its result is dropped.

    Raises:
        ToolError: Every slot is taken.
    """
    if not _slots.acquire(blocking=False):
        raise ToolError("Too many tools are running at the moment; try again later.")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        with _Delivery(loop, future) as delivery:
            delivery.value = context.run(function)

    try:
        threading.Thread(target=work, name="tool", daemon=True).start()
    except RuntimeError as exc:  # the system has no thread left
        _slots.release()
        raise ToolError("Too many tools are running at the moment; try again later.") from exc
    return await future


class _Delivery:
    """Hands what happens inside its block, value or exception, to a future of another thread's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self.value: Any = None
        self._loop = loop
        self._future = future

    def __enter__(self) -> _Delivery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        _slots.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits
            self._loop.call_soon_threadsafe(self._settle, error)
        return True

    def _settle(self, error: BaseException | None) -> None:
        if self._future.done():
            return
        if error is None:
            self._future.set_result(self.value)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            self._future.set_exception(error)
        else:
            # A future refuses StopIteration, and the loop takes CancelledError and SystemExit for its own.
            failure = RuntimeError(f"the tool raised {type(error).__name__}")
            failure.__cause__ = error
            self._future.set_exception(failure)
