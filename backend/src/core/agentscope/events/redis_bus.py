"""The tail of threads in Redis: one stream per thread, and a doorbell channel.

The tail may lose events: readers take missing events from Postgres. Entry ids are cursors, so Redis itself refuses
repeated events and events of fenced writers. Streams, doorbell messages and the queue have limits in bytes, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings
from core.crash_points import crash_point
from core.redis_kinds.scripts import Call, ManyCalls

log = structlog.get_logger(__name__)

_PUBLISH = """
local first = tonumber(ARGV[5])
for i = 6, #ARGV do
  -- An id that is not above the newest is a repeat or comes from a fenced writer: skipped.
  redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[4] .. '-' .. string.format('%d', first + i - 6), 'p', ARGV[i])
end
redis.pcall('EXPIRE', KEYS[1], ARGV[3])
return redis.call('<PUBLISH>', ARGV[1], ARGV[4] .. ' ' .. ARGV[5] .. '\\n' .. table.concat(ARGV, '\\n', 6))
"""

# The stream stays empty, and no id is above the highest one. In one script: in a cluster there are no transactions.
_DROP = f"""
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], 'MAXLEN', '0', '{2**64 - 1}-{2**64 - 1}', 'p', '')
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
MAX_QUEUED_BATCHES = 20_000
"""Maximum unpublished batches that a worker keeps for a slow Redis; the oldest are dropped first."""
MAX_QUEUED_BYTES = 32 << 20
"""Maximum size of the unpublished batches."""
MAX_EVENT_BYTES = 256 << 10
"""A larger event is not put into Redis: readers see the gap and take the event from Postgres."""
MESSAGE_BYTES = 256 << 10
"""A doorbell message ends with the event that reaches this size. Redis disconnects subscribers that fall 8 MiB behind."""
SEND_BYTES = 1 << 20
"""About as much is sent at once: the time limit of a command is for all of it."""
PAUSE_SECONDS = 0.5
"""Pause after a failed publish, so that an unavailable Redis does not cost one attempt per flush."""


def stream_key(settings: RedisSettings, session_id: int) -> str:
    return settings.key("thread", session_id)


def channel_name(settings: RedisSettings, session_id: int) -> str:
    """Return the doorbell of a thread; in a cluster, in the slot of its stream."""
    return settings.key("bell", session_id)


async def drop_tail(redis: Redis, settings: RedisSettings, session_id: int) -> None:
    """Drop a thread's tail for good: a late writer's events are refused, not kept.

    Raises:
        RedisError, OSError, TimeoutError: Redis did not answer.
    """
    drop = redis.register_script(_DROP)
    await drop([stream_key(settings, session_id)], [settings.tail_seconds])


def parse_bell(data: bytes) -> list[Envelope]:
    """Read a doorbell message: ``<ordinal> <first seq>`` and then a payload a line."""
    head, *payloads = data.split(b"\n")
    ordinal, first = head.split(b" ")
    return [Envelope(int(ordinal), int(first) + place, payload) for place, payload in enumerate(payloads)]


class RedisBus:
    """Publishes durable events in order, from one task; never makes a run wait."""

    def __init__(self, redis: Redis, settings: RedisSettings) -> None:
        self._redis = redis
        self._settings = settings
        self._queue: deque[StreamBatch] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        verb = "SPUBLISH" if settings.is_cluster else "PUBLISH"
        self._show = ManyCalls(redis, _PUBLISH.replace("<PUBLISH>", verb))

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        """Queue durable events to be shown; order within a thread is kept."""
        self._queue.extend(batches)
        self._queued_bytes += sum(_size(batch.payloads) for batch in batches)
        while len(self._queue) > MAX_QUEUED_BATCHES or self._queued_bytes > MAX_QUEUED_BYTES:
            self._queued_bytes -= _size(self._queue.popleft().payloads)
        self._wake.set()

    async def run(self) -> None:
        """Publish until closed; events that Redis does not accept are dropped."""
        while not (self._closing and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            batches, self._queue, self._queued_bytes = list(self._queue), deque(), 0
            if not batches:
                continue
            try:
                await self._send(batches)
            except Exception as exc:  # noqa: BLE001  top of a background loop: readers have Postgres meanwhile
                log.warning("publish_failed", batches=len(batches), error=type(exc).__name__)
                if not self._closing:
                    await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Make ``run`` return after a last attempt."""
        self._closing = True
        self._wake.set()

    async def read(self, session_id: int, after: Cursor, count: int) -> list[Envelope]:
        """Return the tail's events after a cursor; empty when Redis has none or is away."""
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            entries: Any = await self._redis.xrange(
                stream_key(self._settings, session_id), min=f"({after}", count=count
            )
            return [_entry(entry_id, fields) for entry_id, fields in entries]
        return []

    async def forget(self, session_id: int) -> None:
        """Drop a deleted thread's tail for good: a late writer's events are refused, not kept. Best effort."""
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            await drop_tail(self._redis, self._settings, session_id)

    async def _send(self, batches: list[StreamBatch]) -> None:
        messages = deque(message for batch in batches for message in _messages(batch))
        failed: list[Exception] = []
        while messages:
            calls: list[Call] = []
            size = 0
            while messages and size < SEND_BYTES:
                batch = messages.popleft()
                length = _size(batch.payloads)
                size += length
                calls.append(self._shown(batch, length))
            # Ids make it harmless that a script is called again.
            results = await self._show.run(calls)
            crash_point("published")
            failed += [result for result in results if isinstance(result, Exception)]
        if failed:
            # In a cluster, what belongs to other servers was shown.
            raise failed[0]

    def _shown(self, batch: StreamBatch, size: int) -> Call:
        """Return the call that shows a batch of so many bytes."""
        # Large events make the stream shorter, so that it has a size in bytes, too.
        entries = max(self._settings.tail_bytes * len(batch.payloads) // max(size, 1), 1)
        return (
            [stream_key(self._settings, batch.session_id)],
            [
                channel_name(self._settings, batch.session_id),
                str(min(entries, self._settings.tail_entries)),
                str(self._settings.tail_seconds),
                str(batch.ordinal),
                str(batch.first_seq),
                *batch.payloads,
            ],
        )


def _messages(batch: StreamBatch) -> Iterator[StreamBatch]:
    """Cut a batch into doorbell messages; leaves out what is too large for Redis."""
    first, size = 0, 0
    for place, payload in enumerate(batch.payloads):
        length = _size((payload,))
        if length > MAX_EVENT_BYTES or size >= MESSAGE_BYTES:
            if first < place:
                yield _part(batch, first, place)
            first, size = place, 0
        if length > MAX_EVENT_BYTES:
            first = place + 1
        else:
            size += length
    if first < len(batch.payloads):
        yield _part(batch, first, len(batch.payloads))


def _part(batch: StreamBatch, first: int, end: int) -> StreamBatch:
    return replace(batch, first_seq=batch.first_seq + first, payloads=batch.payloads[first:end])


def _size(payloads: Iterable[str]) -> int:
    """Return the bytes of texts in UTF-8."""
    return sum(len(text) if text.isascii() else len(text.encode()) for text in payloads)


def _entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Envelope:
    ordinal, seq = entry_id.split(b"-")
    return Envelope(int(ordinal), int(seq), fields[b"p"])
