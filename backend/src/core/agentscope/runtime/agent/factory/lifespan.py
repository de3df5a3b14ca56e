"""``@lifespan``: what a user's module opens once per worker process, and all its runs share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import Any


class Lifespan:
    """A marked async generator function: what it yields is ``run.resources``."""

    def __init__(self, function: Callable[[], AsyncIterator[Any]]) -> None:
        self.function = function
        self.open = asynccontextmanager(function)


def lifespan(function: Callable[[], AsyncIterator[Any]]) -> Lifespan:
    """Mark an async generator function without arguments as the lifespan of its module.

    It runs once per worker process: up to its ``yield`` before the first run, the rest after the last one. What it yields
    is ``run.resources`` of every run. If it fails, the worker does not start.

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
            LifespanInvalid: It failed before its ``yield``, or the module has several.
        """
        found = list(
            {id(value): value for value in vars(module).values() if isinstance(value, Lifespan)}.values()
        )
        if not found:
            return None
        if len(found) > 1:
            raise LifespanInvalid(f"{module.__name__}: has {len(found)} @lifespan functions; keep one")
        if id(found[0]) not in self._opened:
            try:
                self._opened[id(found[0])] = await self._stack.enter_async_context(found[0].open())
            except Exception as exc:
                reason = (f"{type(exc).__name__}: {exc}".splitlines() or [""])[0]
                raise LifespanInvalid(
                    f"{module.__name__}: its @lifespan failed before the first run: {reason}"
                ) from exc
        return self._opened[id(found[0])]
