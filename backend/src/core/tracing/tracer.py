"""Spans, without the library that sends them: a process that records none imports none.

``agentroute/tracing`` puts a tracer here if the settings ask for one. Without one, every function here returns at once,
and what a request says of its trace is passed on all the same. See docs/adr/0059.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from core.tracing.trace_context import TraceContext

Value = str | int | float | bool | list[str]
Attributes = Mapping[str, Value | None]
"""None is left out."""


class Span(Protocol):
    """Something that takes time. ``end`` it once."""

    @property
    def context(self) -> TraceContext: ...

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, kind: str) -> None:
        """Say that it failed, and with which code."""
        ...

    def end(self, at: float | None = None) -> None:
        """End it, now or at a time (seconds since the epoch)."""
        ...


class Tracer(Protocol):
    """Makes spans and sends them somewhere, in the background."""

    contents: bool
    """Whether what users, models and tools say may be recorded."""
    user_ids: bool
    """Whether the ids of users may be recorded as they are."""

    def start(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: TraceContext | None,
        at: float | None = None,
        kind: str = "internal",
        key: str = "",
    ) -> Span:
        """Begin a span.

        Args:
            name: What happens; few different ones.
            attributes: What is known of it.
            parent: The span that it is a part of; without one, a trace begins.
            at: When it began (seconds since the epoch); now if None.
            kind: ``internal``, ``server`` or ``client``.
            key: Of what the span is about, if several processes may tell of it: the same key is the same span id.
        """
        ...


_tracer: Tracer | None = None
_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def tracer() -> Tracer | None:
    """Return the tracer of the process; None if it records nothing."""
    return _tracer


@contextmanager
def traced_by(used: Tracer) -> Iterator[None]:
    """Record spans with a tracer in this block."""
    global _tracer
    _tracer, before = used, _tracer
    try:
        yield
    finally:
        _tracer = before


def current_context() -> TraceContext | None:
    """Return the span in which this task is, or what its request says of its trace."""
    return _current.get()


@contextmanager
def inside(context: TraceContext | None) -> Iterator[None]:
    """Make spans of this block, and of the tasks that it starts, parts of a span."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def span(name: str, attributes: Attributes, *, kind: str = "internal") -> Iterator[Span | None]:
    """Record this block as a part of the current span; None where nothing is recorded."""
    if _tracer is None:
        yield None
        return
    begun = _tracer.start(name, attributes, parent=_current.get(), kind=kind)
    with inside(begun.context):
        try:
            yield begun
        except BaseException as exc:
            begun.fail(str(getattr(exc, "code", type(exc).__name__)))
            raise
        finally:
            begun.end()


def past_span(
    name: str,
    attributes: Attributes,
    *,
    seconds: float,
    ago: float = 0.0,
    kind: str = "internal",
    failed: str = "",
    key: str = "",
) -> None:
    """Record something that is over as a part of the current span.

    Args:
        name: What happened.
        attributes: What is known of it.
        seconds: How long it took.
        ago: How many seconds ago it ended.
        kind: As in ``Tracer.start``.
        failed: The code with which it failed; empty if it did not.
        key: As in ``Tracer.start``.
    """
    if _tracer is None:
        return
    end = time.time() - ago
    begun = _tracer.start(name, attributes, parent=_current.get(), at=end - seconds, kind=kind, key=key)
    if failed:
        begun.fail(failed)
    begun.end(end)
