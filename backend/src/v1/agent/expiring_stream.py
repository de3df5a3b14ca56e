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
from v1.agent.parking import attach, close

# 1 s: the service is well, only the token was old. A client that reconnects with the old one gets 401.
EXPIRED = last_words(StreamEnd.TOKEN_EXPIRED, 1000)
"""The end of such a stream."""


def until_expiry(
    frames: AsyncIterator[bytes], reader: Principal, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[bytes]:
    """Return the frames, up to the moment at which the reader's credential is no longer accepted.

    The end is in order, as at the maximum age of a stream: the client reconnects with its cursor and loses nothing.
    """
    if reader.valid_until is None:
        return frames
    return _ExpiringStream(frames, asyncio.get_running_loop().time() + reader.valid_until - clock())


class _ExpiringStream:
    __slots__ = ("_ended", "_ends_at", "_frames")

    def __init__(self, frames: AsyncIterator[bytes], ends_at: float) -> None:
        self._frames = frames
        self._ends_at = ends_at
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    def attach(self, outlet: Outlet, wake_at: float = math.inf) -> bool:
        """Let the frames rest, but not longer than the credential is good."""
        return attach(self._frames, outlet, min(wake_at, self._ends_at))

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        if asyncio.get_running_loop().time() < self._ends_at:
            # Around each step, never around the whole: the limit would interrupt whoever sends the frame.
            limit = asyncio.timeout_at(self._ends_at)
            try:
                async with limit:
                    return await anext(self._frames)
            except TimeoutError:
                if not limit.expired():
                    raise
        await self.aclose()
        return EXPIRED

    async def aclose(self) -> None:
        """Stop reading."""
        self._ended = True
        await close(self._frames)
