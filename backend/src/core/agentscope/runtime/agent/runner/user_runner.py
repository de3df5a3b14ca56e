"""The function of a user that is a whole run: found by its reference, called once for each input of a run."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.tools.blocking import run_in_thread
from core.agentscope.tools.off_the_loop import stepped

_ASK_FOR = "write `async def run(run: AgentRun)` with a `yield` for each event"


@dataclass(frozen=True, slots=True)
class UserRunner:
    """A runner with what it shares between runs."""

    reference: str
    function: Callable[[AgentRun], Any]
    http: httpx.AsyncClient
    resources: Any = None

    async def __call__(self, run: AgentRun) -> AsyncGenerator[Any, None]:
        """Yield what the runner yields or returns. Plain functions and generators run in threads, so they may block.

        Raises:
            Exception: What the user's code raised.
        """
        if _is_async(self.function):
            made = self.function(run)
        else:
            made = await run_in_thread(partial(self.function, run))
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AsyncGenerator):
            async with aclosing(made):
                async for each in made:
                    yield each
        elif isinstance(made, AsyncIterator):
            async for each in made:
                yield each
        elif isinstance(made, Iterator):
            pieces = made if inspect.isgenerator(made) else (each for each in made)
            async with aclosing(stepped(pieces)) as steps:
                async for each in steps:
                    yield each
        elif isinstance(made, list | tuple):
            for each in made:
                yield each
        elif made is not None:
            yield made

    @property
    def kind(self) -> str:
        """What the function is, in a word or two."""
        function = _plain(self.function)
        if inspect.isasyncgenfunction(function):
            return "async generator"
        if inspect.iscoroutinefunction(function):
            return "async function"
        return "generator" if inspect.isgeneratorfunction(function) else "function"


def problem_of(function: Any) -> str:
    """Return in a few words why a function cannot be a runner; empty if it can."""
    if not callable(function) or isinstance(function, type):
        return f"not a function; {_ASK_FOR}"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(object())
    except TypeError:
        return f"is called with one argument, the run, and takes {signature}; {_ASK_FOR}"
    return ""


def _is_async(function: Any) -> bool:
    plain = _plain(function)
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def _plain(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    return getattr(function, "__call__", function)  # noqa: B004  an object whose class is callable
