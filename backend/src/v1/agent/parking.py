"""How an answer outlives its request: between the server and a response that has nothing to send for now.

A request that is being answered holds its task, the frames of every middleware, its scope and its headers. A response
that only waits needs none of them. A server that can do without offers ``PARKING`` in the extensions of the ASGI scope;
with any other server, a response keeps its request. See docs/adr/0037.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from starlette.types import Message, Scope

from core.agentscope.events.thread_stream import Outlet

PARKING = "agentroute.parking"


def attach(frames: AsyncIterator[bytes], outlet: Outlet, wake_at: float = math.inf) -> bool:
    """Let an iterator of frames rest; False if it never does.

    From now on it may yield an empty frame. Then it is not asked again until it tells the outlet to go on.

    Args:
        frames: The iterator.
        outlet: Where the stream is written while it rests.
        wake_at: Event loop time at which a rest ends at the latest.
    """
    may_rest: Callable[[Outlet, float], bool] | None = getattr(frames, "attach", None)
    return may_rest is not None and may_rest(outlet, wake_at)


async def close(frames: AsyncIterator[bytes]) -> None:
    """Stop an iterator of frames. One that cannot be stopped is left alone."""
    if (aclose := getattr(frames, "aclose", None)) is not None:
        await aclose()


class ParkedStream(Protocol):
    """What is told of the end of a connection."""

    async def leave(self) -> None:
        """Close the stream: its client has disconnected."""
        ...


class ParkedResponse(Protocol):
    """The rest of an answer, after its request has been left."""

    def write(self, data: bytes) -> bool:
        """Send a part of the body without waiting; False if the client is behind."""
        ...

    async def send(self, message: Message) -> None:
        """Send a part of the body as ASGI does: waits while the client is behind."""
        ...

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run a task for the answer. The answer is over when the task ends, unless it parks again."""
        ...

    def park(self) -> None:
        """Say that the running task ends without the end of the answer."""
        ...


class Parking(Protocol):
    """A server's offer for one request."""

    def is_possible(self) -> bool:
        """Say whether the answer may be parked: the request has been read to its end."""
        ...

    def park(self, stream: ParkedStream) -> ParkedResponse:
        """Let the application return without the end of its answer."""
        ...

    def at_end(self, callback: Callable[[], object]) -> bool:
        """Call back when a parked answer is over; False if it was not parked."""
        ...


def parking_of(scope: Scope) -> Parking | None:
    """Return the server's offer for this request."""
    found: Parking | None = scope.get("extensions", {}).get(PARKING)
    return found
