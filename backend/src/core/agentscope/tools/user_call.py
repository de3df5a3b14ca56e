"""Calls a function that the operator names: a factory, a search, what makes a middleware."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from core.agentscope.tools.blocking import run_in_thread


async def called(function: Callable[..., Any], /, *args: Any, **arguments: Any) -> Any:
    """Return what a function of a user returns. A plain function runs in a thread, so that it may block.

    Raises:
        RuntimeError: It raised ``SystemExit``, which would end the worker with all of its runs.
        Exception: What the function raised.
    """
    try:
        if inspect.iscoroutinefunction(function):
            return await function(*args, **arguments)
        made = await run_in_thread(partial(function, *args, **arguments))
        return await made if inspect.isawaitable(made) else made
    except SystemExit as exc:
        raise RuntimeError(f"it raised SystemExit: {exc}") from exc
