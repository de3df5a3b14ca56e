"""Server-sent event frames from stored bytes, and the end of a stream.

LF only (CRLF breaks the official AG-UI parser), one ``data:`` line, no
``event:`` line, an ``id:`` on every event.

Source: WHATWG HTML, server-sent events; AG-UI 1.0, SSE binding.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reader import ThreadReader
from core.config import StreamSettings
from core.errors import NotFound

HEARTBEAT = b": hb\n\n"
HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform: a proxy that compresses would buffer.
    "Cache-Control": "no-cache, no-transform",
    # nginx buffers answers unless told not to.
    "X-Accel-Buffering": "no",
}


def frame(envelope: Envelope) -> bytes:
    """Return the frame of one event: its cursor and its stored bytes."""
    return b"id: %d-%d\ndata: %b\n\n" % envelope


def retry_line(milliseconds: int) -> bytes:
    """Return the line that tells a client how long to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


async def sse_stream(
    reader: ThreadReader, versions: PeerVersions, settings: StreamSettings
) -> AsyncIterator[bytes]:
    """Yield a reader's events as frames, several at a time, with heartbeats in the silences.

    Ends when the reader does: after a run's terminal event, at the stream's
    greatest age, or when the process drains. Never ends a run.
    """
    yield retry_line(settings.retry_milliseconds)
    # Varied by 20 %: otherwise all streams of a restarted process would end at the same time again.
    age = settings.max_age_seconds * random.uniform(0.8, 1.2)  # noqa: S311  not for security
    ends_at = asyncio.get_running_loop().time() + age
    async for envelopes in reader.read(ends_at):
        yield await _frames(envelopes, versions) if envelopes else HEARTBEAT


async def sse_after_waiting(
    started: Callable[[], Awaitable[AsyncIterator[bytes] | None]],
    settings: StreamSettings,
    *,
    drained: Callable[[float], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Yield heartbeats while a run waits behind another, then its stream; ends when its thread is deleted.

    Args:
        started: Returns the run's stream once it has its place in the log.
        settings: Heartbeat and patrol times.
        drained: Rests for some seconds; True when the process drains.
    """
    loop = asyncio.get_running_loop()
    yield retry_line(settings.retry_milliseconds)
    beat_at = loop.time() + settings.heartbeat_seconds
    while True:
        try:
            stream = await started()
        except NotFound:
            return
        if stream is not None:
            break
        if await drained(settings.patrol_seconds / 2):
            return
        if loop.time() >= beat_at:
            beat_at = loop.time() + settings.heartbeat_seconds
            yield HEARTBEAT
    async for chunk in stream:
        yield chunk


async def _frames(envelopes: Sequence[Envelope], versions: PeerVersions) -> bytes:
    return b"".join([frame(await versions.fit(envelope)) for envelope in envelopes])
