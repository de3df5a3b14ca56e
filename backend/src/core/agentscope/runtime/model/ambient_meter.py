"""Meters the models that a user's code asks by itself: of subagents in tools, of rerankers in middlewares.

Nobody hands such a model to us. But whoever asks one calls ``ChatModelBase.__call__`` or
``generate_structured_output``, so both are wrapped, once a process: in the tasks of a run they go through the run's
meter. Elsewhere, and for models that are metered already, they are what they were.

Out of reach are a class that overrides both and asks its provider there, and a tool that runs an event loop of its own:
the meter belongs to the run's loop. ``run.meter(model)`` is for the former. See docs/adr/0041.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

from agentscope.model import ChatModelBase

from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.metered_model import ForeignMeter, Metered, metered
from core.agentscope.runtime.model.outer_call import is_inside

_METHODS = ("__call__", "generate_structured_output")
_ambient: ContextVar[tuple[ForeignMeter, asyncio.AbstractEventLoop] | None] = ContextVar(
    "meter_of_the_run", default=None
)


@contextmanager
def metering(meter: ForeignMeter) -> Iterator[None]:
    """Book what is asked of foreign models in this block, and in the tasks that it starts, with the meter."""
    _wrap()
    token = _ambient.set((meter, asyncio.get_running_loop()))
    try:
        yield
    finally:
        _ambient.reset(token)


def can_be_metered(model: ChatModelBase) -> bool:
    """Whether the calls of a model come by here."""
    return not any(_overrides(type(model), name) for name in _METHODS)


def _overrides(kind: type[ChatModelBase], name: str) -> bool:
    return getattr(kind, name) is not getattr(ChatModelBase, name)


@cache
def _wrap() -> None:
    for name in _METHODS:
        setattr(ChatModelBase, name, _wrapped(getattr(ChatModelBase, name)))


def _wrapped(method: Any) -> Any:
    @wraps(method)
    async def call(self: Any, *args: Any, **more: Any) -> Any:
        meter = _meter_of_the_run(self)
        # Not the twin's own method: this may be the part that a class inherits of it.
        return await method(self if meter is None else metered(self, meter), *args, **more)

    return call


def _meter_of_the_run(model: Any) -> ForeignMeter | None:
    """Return the meter for a call of a model; ``None`` if the call is booked elsewhere, or belongs to no run."""
    ambient = _ambient.get()
    if ambient is None or isinstance(model, OpenAICompatibleChatModel | Metered) or is_inside():
        return None
    meter, loop = ambient
    return meter if asyncio.get_running_loop() is loop else None
