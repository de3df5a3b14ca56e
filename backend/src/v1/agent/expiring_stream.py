"""A stream that ends with the credential of its reader.

Without it, a token that was stolen or withdrawn would be good for as long as its stream stays open.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Self

from core.agentscope.events.sse import StreamEnd, last_words
from core.agentscope.events.thread_stream import Outlet
from core.identity import Principal
from core.stream_tickets import TicketUse
from v1.agent.open_streams import OpenStreams
from v1.agent.parking import attach, close

# 1 s: the service is well, only the token was old. A client that reconnects with the old one gets 401.
EXPIRED = last_words(StreamEnd.TOKEN_EXPIRED, 1000)
"""The end of such a stream."""


def until_expiry(
    frames: AsyncIterator[bytes],
    reader: Principal,
    streams: OpenStreams | None = None,
    *,
    ticket: TicketUse | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[bytes]:
    """Return the frames, up to the moment at which the reader's credential is no longer accepted.

    The end is in order, as at the maximum age of a stream: the client reconnects with its cursor and loses nothing.

    Args:
        frames: The stream.
        reader: Who reads, and how long the credential is good.
        streams: Knows the stream from now on, if its credential can be withdrawn before its time.
        ticket: What opened the stream.
        clock: Unix time.
    """
    key = reader.credential_id if reader.kind in {"key", "ticket"} else None
    watched = streams is not None and (key is not None or reader.signer is not None or ticket is not None)
    if reader.valid_until is None and not watched:
        return frames
    lasts = math.inf if reader.valid_until is None else reader.valid_until - clock()
    stream = _ExpiringStream(frames, asyncio.get_running_loop().time() + lasts)
    if streams is not None and watched:
        streams.enter(stream, key, ticket, signer=reader.signer)
    return stream


class _ExpiringStream:
    __slots__ = (
        # Filled by Python itself; OpenStreams needs it.
        "__weakref__",  # pyright: ignore[reportUninitializedInstanceVariable]
        "_ended",
        "_ends_at",
        "_frames",
        "_last",
        "_limit",
        "_outlet",
    )

    def __init__(self, frames: AsyncIterator[bytes], ends_at: float) -> None:
        self._frames = frames
        self._ends_at = ends_at
        self._ended = False
        self._last = EXPIRED
        self._limit: asyncio.Timeout | None = None
        """Of the step under way."""
        self._outlet: Outlet | None = None

    def __aiter__(self) -> Self:
        return self

    def attach(self, outlet: Outlet, wake_at: float = math.inf) -> bool:
        """Let the frames rest, but not longer than the credential is good."""
        self._outlet = outlet
        return attach(self._frames, outlet, min(wake_at, self._ends_at))

    def end(self, last: bytes) -> None:
        """End now, with these bytes: the credential was withdrawn, or has another stream."""
        if self._ended or self._ends_at == -math.inf:
            return
        self._last, self._ends_at = last, -math.inf
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
        if self._outlet is not None:
            # A stream that rests has no step that could be interrupted: it is told that its rest is over.
            attach(self._frames, self._outlet, self._ends_at)

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        if asyncio.get_running_loop().time() < self._ends_at:
            # Around each step, never around the whole: the limit would interrupt whoever sends the frame.
            limit = asyncio.timeout_at(None if self._ends_at == math.inf else self._ends_at)
            try:
                async with limit:
                    self._limit = limit
                    return await anext(self._frames)
            except TimeoutError:
                if not limit.expired():
                    raise
            finally:
                self._limit = None
        await self.aclose()
        return self._last

    async def aclose(self) -> None:
        """Stop reading."""
        self._ended = True
        self._outlet = None
        await close(self._frames)
