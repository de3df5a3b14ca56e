"""Functions of AgentScope's tools, so that none blocks the event loop: AgentScope calls a plain one on it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial, wraps
from typing import Any

from core.agentscope.tools.blocking import run_in_thread

_END = object()


def off_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain function as an async one that runs it in a thread; an async function as it is."""
    plain = function
    while isinstance(plain, partial):
        plain = plain.func
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        return function

    @wraps(plain)
    async def in_thread(*args: Any, **arguments: Any) -> Any:
        made = await run_in_thread(partial(function, *args, **arguments))
        if inspect.isawaitable(made):
            made = await made
        return stepped(made) if inspect.isgenerator(made) else made

    return in_thread


async def stepped(pieces: Generator[Any, Any, Any]) -> AsyncGenerator[Any, None]:
    """Yield what a plain generator yields; each of its steps runs in a thread."""
    try:
        while (piece := await run_in_thread(partial(next, pieces, _END))) is not _END:
            yield piece
    finally:
        # While a step still runs in its thread, the generator cannot be closed.
        if inspect.getgeneratorstate(pieces) == inspect.GEN_SUSPENDED:
            await run_in_thread(pieces.close)
