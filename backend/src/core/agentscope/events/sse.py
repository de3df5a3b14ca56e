"""Server-sent event frames from stored bytes, and what surrounds them in a stream.

LF only (CRLF breaks the official AG-UI parser), one ``data:`` line, no
``event:`` line, an ``id:`` on every event.

Source: WHATWG HTML, server-sent events; AG-UI 1.0, SSE binding.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from enum import Enum

from core.agentscope.events.connect import Start
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.peer_version import PeerVersions
from core.config import StreamSettings

HEARTBEAT = b": hb\n\n"
NO_WORKER = b": waiting: no worker is running\n\n"
"""The heartbeat of a run that cannot begin. A comment, because a run's first event must be ``RUN_STARTED``."""
_PIECE_BYTES = 1 << 16


class StreamEnd(Enum):
    """Why a stream ends although its run may go on. Told in a comment: a parser skips it, a developer reads it."""

    MAX_AGE = b"max-age: the stream has reached its maximum age; reconnect with the last id"
    DRAIN = b"drain: the process is stopping; reconnect with the last id"
    TOKEN_EXPIRED = b"token-expired: the token has expired; reconnect with a new one and the last id"
    KEY_REVOKED = (
        b"key-revoked: the API key was revoked or replaced; reconnect with another one and the last id"
    )
    SIGNER_WITHDRAWN = b"signing-key-withdrawn: the issuer has withdrawn the key of the token; reconnect with a new token and the last id"
    TAKEN_OVER = b"taken-over: another connection with this ticket follows the stream"
    THREAD_DELETED = b"thread-deleted: the thread was deleted"
    EVENTS_EXPIRED = b"events-expired: the events that follow were deleted; load the history"
    EPOCH = b"epoch: the database has begun an epoch; reconnect with the last id"
    STORE_UNAVAILABLE = b"store-unavailable: the database does not answer; reconnect with the last id"


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


def last_words(why: StreamEnd, retry_milliseconds: int) -> bytes:
    """Return how a stream ends before its run: the reason, and after which time to come back.

    Two blocks, each of a form that every stream has from its beginning.
    """
    return b": %b\n\n" % why.value + retry_line(retry_milliseconds)


async def no_worker_unknown() -> bool:
    """Say that nothing is known against the workers."""
    return False


def stream_ends_at(settings: StreamSettings) -> float:
    """Return the event loop's time at which a stream that begins now has its greatest age."""
    # Varied by 20 %: otherwise all streams of a restarted process would end at the same time again.
    age = settings.max_age_seconds * random.uniform(0.8, 1.2)  # noqa: S311  not for security
    return asyncio.get_running_loop().time() + age


async def sse_opening(frames: bytes, retry_milliseconds: int) -> AsyncIterator[bytes]:
    """Yield the retry line and ready frames, in pieces that a slow line takes within the write timeout."""
    yield retry_line(retry_milliseconds)
    for place in range(0, len(frames), _PIECE_BYTES):
        yield frames[place : place + _PIECE_BYTES]


async def frames_of(start: Start, versions: PeerVersions) -> bytes:
    """Return the frames of the opening of a connect stream, as its client understands them."""
    frames: list[bytes] = []
    for place, payload in zip(start.ids(), start.events, strict=True):
        fitted = await versions.fit(Envelope(start.ordinal, start.cursor.seq, payload))
        frames.append(b"id: %b\ndata: %b\n\n" % (str(place).encode(), fitted.payload))
    return b"".join(frames)
