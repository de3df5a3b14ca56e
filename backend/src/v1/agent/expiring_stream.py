"""A stream that ends with the credential of its reader.

Without it, a token that was stolen or withdrawn would be good for as long as its stream stays open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from core.identity import Principal

EXPIRED = b": the token has expired; reconnect with a new one\n\n"
"""The last line of such a stream: a comment, which parsers skip. A client that reconnects with the old token gets 401."""


def until_expiry(
    frames: AsyncIterator[bytes], reader: Principal, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[bytes]:
    """Return the frames, up to the moment at which the reader's credential is no longer accepted.

    The end is in order, as at the maximum age of a stream: the client reconnects with its cursor and loses nothing.
    """
    if reader.valid_until is None:
        return frames
    return _until(frames, asyncio.get_running_loop().time() + reader.valid_until - clock())


async def _until(frames: AsyncIterator[bytes], ends_at: float) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    try:
        while loop.time() < ends_at:
            # Around each step, never around a yield: the limit would interrupt whoever sends the frame.
            limit = asyncio.timeout_at(ends_at)
            try:
                async with limit:
                    frame = await anext(frames, None)
            except TimeoutError:
                if limit.expired():
                    break
                raise
            if frame is None:
                return
            yield frame
        yield EXPIRED
    finally:
        if (close := getattr(frames, "aclose", None)) is not None:
            await close()
