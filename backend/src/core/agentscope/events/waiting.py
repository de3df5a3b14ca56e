"""The stream of a run that waits behind another run of its thread.

A waiting run has no place in the log. It gets one when its turn comes, as a later run of the thread. So the stream
rests until the hub hears of a later run, and only then asks Postgres. A thread where nothing happens costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from core.agentscope.events.hub import Tail, ThreadHub
from core.agentscope.events.reader import STORE_PATIENCE_SECONDS, may_pass
from core.agentscope.events.sse import HEARTBEAT, StreamEnd, last_words, retry_line, stream_ends_at
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings
from core.errors import NotFound

log = structlog.get_logger(__name__)


async def sse_after_waiting(
    started: Callable[[], Awaitable[AsyncIterator[bytes] | None]],
    settings: StreamSettings,
    *,
    hub: ThreadHub,
    session_id: int,
    head: Cursor,
) -> AsyncIterator[bytes]:
    """Yield heartbeats while a run waits behind another, then its stream.

    Ends when the thread is deleted, at the greatest age of a stream, and when the process drains: it then says so.

    Args:
        started: Returns the run's stream once it has its place in the log.
        settings: Heartbeat and age.
        hub: Follows the thread.
        session_id: The thread.
        head: The newest place of the thread before the run was seen to wait.
    """
    loop = asyncio.get_running_loop()
    yield retry_line(hub.return_milliseconds())
    ends_at, lost_at = stream_ends_at(settings), None
    async with hub.follow(session_id) as tail:
        while True:
            # Before the look: a run that is heard of during it is a reason to look again.
            later = Cursor(max(head, tail.head).ordinal + 1, 0)
            try:
                stream = await started()
            except NotFound:
                yield last_words(StreamEnd.THREAD_DELETED, settings.retry_milliseconds)
                return
            except Exception as exc:
                if not may_pass(exc):
                    raise
                log.warning("waiting_unknown", error=type(exc).__name__)
                lost_at = lost_at or loop.time()
                if loop.time() - lost_at > STORE_PATIENCE_SECONDS:
                    yield last_words(StreamEnd.STORE_UNAVAILABLE, settings.retry_milliseconds)
                    return
                yield HEARTBEAT
                await hub.rest(1.0)
            else:
                if stream is not None:
                    break
                lost_at = None
                async for beat in _beats(hub, tail, later, settings, ends_at):
                    yield beat
            if hub.draining.is_set():
                yield last_words(StreamEnd.DRAIN, hub.return_milliseconds())
                return
            if loop.time() >= ends_at:
                yield last_words(StreamEnd.MAX_AGE, settings.retry_milliseconds)
                return
    async for chunk in stream:
        yield chunk


async def _beats(
    hub: ThreadHub, tail: Tail, later: Cursor, settings: StreamSettings, ends_at: float
) -> AsyncIterator[bytes]:
    """Yield heartbeats until something after ``later`` exists, or nothing more can come."""
    loop = asyncio.get_running_loop()
    while not (tail.gone or tail.head > later or hub.draining.is_set() or loop.time() >= ends_at):
        silence = min(settings.heartbeat_seconds, ends_at - loop.time())
        if not await tail.wait(later, silence) and loop.time() < ends_at:
            yield HEARTBEAT
