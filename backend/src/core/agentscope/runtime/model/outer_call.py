"""Calls of our own model inside the call of a user's model, such as a router over ``run.model``: each is paid once.

The call of a user's model has a reservation and a line in the ledger before it is known what the model does. When a call
of ours begins inside it, that call has its own. So the outer call is told: it makes room for the inner one, and does not
pay for what the inner one has paid.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from core.agentscope.schemas.internal_events import ModelUsage


class OuterCall(Protocol):
    """A call of a user's model, as the calls inside it see it."""

    async def enter(self) -> None:
        """Make room in the budget for a call that is about to begin inside."""
        ...

    def leave(self, paid: ModelUsage | None) -> None:
        """Take note of the end of a call inside; ``paid`` is its line in the ledger, if it has one."""
        ...


@dataclass(slots=True)
class InnerCall:
    """A call of ours. Whoever makes it says what was paid."""

    paid: ModelUsage | None = None


_outer: ContextVar[OuterCall | None] = ContextVar("call_of_a_users_model", default=None)


def is_inside() -> bool:
    """Whether this is inside the call of a user's model."""
    return _outer.get() is not None


@contextmanager
def inside(call: OuterCall) -> Iterator[None]:
    """What happens in this block happens inside the call."""
    token = _outer.set(call)
    try:
        yield
    finally:
        _outer.reset(token)


@asynccontextmanager
async def inner_call() -> AsyncIterator[InnerCall]:
    """Make a call of ours in this block, its reservation included. The call it is inside of, if any, is told."""
    inner = InnerCall()
    outer = _outer.get()
    if outer is None:
        yield inner
        return
    await outer.enter()
    try:
        yield inner
    finally:
        outer.leave(inner.paid)
