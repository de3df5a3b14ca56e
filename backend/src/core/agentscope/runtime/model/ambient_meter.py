"""Meters the models that a user's code asks by itself: of subagents in tools, of rerankers in middlewares.

Nobody hands such a model to us. But whoever asks one calls ``ChatModelBase.__call__`` or
``generate_structured_output``, so both are wrapped, once a process: in the tasks of a run they go through the run's
meter. Elsewhere, and for models that are metered already, they are what they were.

Out of reach are a class that overrides one of them and asks its provider there, and a tool that runs an event loop of
its own: the meter belongs to the run's loop. ``run.meter(model)`` is for the former. See docs/adr/0041.

A task that a run starts has the run's books for ever, also when it outlives the run or works for all users. They are
closed at the run's end. From then on the calls of the task go to the provider as they are: a ledger of a run that has
ended takes no lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import structlog
from agentscope.model import ChatModelBase

from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.metered_model import ForeignMeter, Metered, metered
from core.agentscope.runtime.model.outer_call import is_inside
from core.errors import LeaseLost

log = structlog.get_logger(__name__)

_METHODS = ("__call__", "generate_structured_output")


class _Books:
    """Where the calls of one run are booked. Shared by all of its tasks."""

    def __init__(self) -> None:
        self.meter: ForeignMeter | None = None
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._told = False

    def close(self) -> None:
        self.closed, self.meter = True, None

    @property
    def are_here(self) -> bool:
        """Whether this is the loop that the run is in."""
        return asyncio.get_running_loop() is self._loop

    def pass_by(self, model: Any) -> None:
        """Take note of a call that is booked nowhere: once, as a task may make many."""
        if not self._told:
            self._told = True
            log.warning(
                "model_call_unmetered",
                model=str(getattr(model, "model", "")),
                reason="a task that a run had started asks a model after the run's end",
            )


_ambient: ContextVar[_Books | None] = ContextVar("books_of_the_run", default=None)


@contextmanager
def metered_run() -> Iterator[None]:
    """Keep the books of one run in this block: from the first ``book_with`` in it to its end, in all of its tasks."""
    books = _Books()
    token = _ambient.set(books)
    try:
        yield
    finally:
        books.close()
        _ambient.reset(token)


def book_with(meter: ForeignMeter) -> ForeignMeter:
    """Book what the tasks of the run ask of foreign models with this meter from now on; inside ``metered_run``.

    Returns the meter.
    """
    _wrap()
    books = _ambient.get()
    if books is None:
        raise RuntimeError("there is no run here")
    books.meter = meter
    return meter


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
        books = _books_for(self)
        if books is None or books.meter is None:
            return await method(self, *args, **more)
        try:
            # Not the twin's own method: this may be the part that a class inherits of it.
            return await method(metered(self, books.meter), *args, **more)
        except LeaseLost:
            # Raised before anything is sent. The run may have ended while the call's line was written.
            if not books.closed:
                raise
        books.pass_by(self)
        return await method(self, *args, **more)

    return call


def _books_for(model: Any) -> _Books | None:
    """Return the books for a call of a model; ``None`` if the call is booked elsewhere, or belongs to no run."""
    books = _ambient.get()
    if books is None or isinstance(model, OpenAICompatibleChatModel | Metered) or is_inside():
        return None
    if not books.are_here:
        return None
    if books.closed:
        books.pass_by(model)
    return books
