"""``@lifespan``: what a user's module opens once per worker process, and all its runs share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import Any

import structlog

from core.agentscope.tools.user_module import failure_line

log = structlog.get_logger(__name__)

OPEN_SECONDS = 60.0
CLOSE_SECONDS = 10.0
"""A worker that ends has little time. What is open then is closed with the process."""


class Lifespan:
    """A marked async generator function: what it yields is ``run.resources``."""

    def __init__(self, function: Callable[[], AsyncIterator[Any]]) -> None:
        self.function = function
        self.open = asynccontextmanager(function)


def lifespan(function: Callable[[], AsyncIterator[Any]]) -> Lifespan:
    """Mark an async generator function without arguments as the lifespan of its module.

    It runs once per worker process: up to its ``yield`` before the first run, the rest after the last one. What it yields
    is ``run.resources`` of every run. If it fails before its ``yield``, or takes more than 60 seconds, the worker does not
    start. The rest has 10 seconds; if it fails, there is a line in the log.

        @lifespan
        async def resources():
            async with asyncpg.create_pool(os.environ["SHOP_DATABASE"]) as pool:
                yield pool

    Raises:
        TypeError: At import, if the function is no async generator function.
    """
    import inspect

    if not inspect.isasyncgenfunction(function):
        raise TypeError("@lifespan is for an async function with one yield: what it yields is run.resources")
    return Lifespan(function)


class LifespanInvalid(ValueError):
    """The lifespan of a module cannot be used. The message is one line for the operator."""


class Lifespans:
    """The lifespans of a process, each open once, however many agents share its module.

    Args:
        stack: Closes them, the last opened first.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._opened: dict[int, Any] = {}

    async def resources_of(self, module: ModuleType) -> Any:
        """Return what the module's lifespan yielded; ``None`` for a module without one.

        Raises:
            LifespanInvalid: It failed before its ``yield`` or took too long, or the module has several.
        """
        found = list(
            {id(value): value for value in vars(module).values() if isinstance(value, Lifespan)}.values()
        )
        if not found:
            return None
        if len(found) > 1:
            raise LifespanInvalid(f"{module.__name__}: has {len(found)} @lifespan functions; keep one")
        if id(found[0]) not in self._opened:
            self._opened[id(found[0])] = await self._open(module.__name__, found[0].open())
        return self._opened[id(found[0])]

    async def _open(self, module: str, resources: AbstractAsyncContextManager[Any]) -> Any:
        limit = asyncio.timeout(OPEN_SECONDS)
        try:
            async with limit:
                opened = await resources.__aenter__()
        except Exception as exc:
            if limit.expired():
                raise LifespanInvalid(
                    f"{module}: its @lifespan did not come to its yield within {OPEN_SECONDS:g} seconds"
                ) from exc
            line = failure_line(f"{module}: its @lifespan failed before the first run", exc)
            raise LifespanInvalid(line) from exc
        self._stack.push_async_callback(_close, module, resources)
        return opened


async def _close(module: str, resources: AbstractAsyncContextManager[Any]) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await resources.__aexit__(None, None, None)
    except Exception:  # the others of the process are to be closed, too
        log.exception("lifespan_not_closed", module=module)
