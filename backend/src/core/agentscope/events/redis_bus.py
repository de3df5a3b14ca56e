"""The tail of threads in Redis: one stream per thread, and a doorbell channel.

The tail may lose events: readers take missing events from Postgres. Entry ids are cursors, so Redis itself refuses
repeated events and events of fenced writers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings
from core.crash_points import crash_point

log = structlog.get_logger(__name__)

_PUBLISH = """
local first = tonumber(ARGV[5])
for i = 6, #ARGV do
  -- An id that is not above the newest is a repeat or comes from a fenced writer: skipped.
  redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[4] .. '-' .. string.format('%d', first + i - 6), 'p', ARGV[i])
end
redis.pcall('EXPIRE', KEYS[1], ARGV[3])
return redis.call('PUBLISH', ARGV[1], ARGV[4] .. ' ' .. ARGV[5] .. '\\n' .. table.concat(ARGV, '\\n', 6))
"""

_HIGHEST_ID = f"{2**64 - 1}-{2**64 - 1}"
MAX_QUEUED_BATCHES = 20_000
"""Maximum unpublished batches that a worker keeps for a slow Redis; the oldest are dropped first."""
PAUSE_SECONDS = 0.5
"""Pause after a failed publish, so that an unavailable Redis does not cost one attempt per flush."""


def stream_key(prefix: str, session_id: int) -> str:
    return f"{prefix}:thread:{session_id}"


def channel_name(prefix: str, session_id: int) -> str:
    return f"{prefix}:bell:{session_id}"


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
        self._queue: list[StreamBatch] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._sha = ""

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        """Queue durable events to be shown; order within a thread is kept."""
        self._queue.extend(batches)
        if (excess := len(self._queue) - MAX_QUEUED_BATCHES) > 0:
            del self._queue[:excess]
        self._wake.set()

    async def run(self) -> None:
        """Publish until closed; events that Redis does not accept are dropped."""
        while not (self._closing and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            batches, self._queue = self._queue, []
            if not batches:
                continue
            try:
                await self._send(batches)
            except Exception as exc:  # noqa: BLE001  top of a background loop: readers have Postgres meanwhile
                log.warning("publish_failed", batches=len(batches), error=type(exc).__name__)
                self._sha = ""
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
                stream_key(self._settings.key_prefix, session_id), min=f"({after}", count=count
            )
            return [_entry(entry_id, fields) for entry_id, fields in entries]
        return []

    async def forget(self, session_id: int) -> None:
        """Drop a deleted thread's tail for good: a late writer's events are refused, not kept."""
        key = stream_key(self._settings.key_prefix, session_id)
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                # The stream stays empty, and no id is above the highest one.
                pipe.xadd(key, {"p": b""}, id=_HIGHEST_ID, maxlen=0, approximate=False)
                pipe.expire(key, self._settings.tail_seconds)
                await pipe.execute()

    async def _send(self, batches: list[StreamBatch]) -> None:
        if not self._sha:
            self._sha = await self._redis.script_load(_PUBLISH)
        pipe = self._redis.pipeline(transaction=False)
        for batch in batches:
            pipe.evalsha(
                self._sha,
                1,
                stream_key(self._settings.key_prefix, batch.session_id),
                channel_name(self._settings.key_prefix, batch.session_id),
                str(self._settings.tail_entries),
                str(self._settings.tail_seconds),
                str(batch.ordinal),
                str(batch.first_seq),
                *batch.payloads,
            )
        try:
            await pipe.execute()
            crash_point("published")
        except NoScriptError:
            # Redis was restarted or flushed since the script was loaded; ids make the repeat harmless.
            self._sha = ""
            await self._send(batches)


def _entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Envelope:
    ordinal, seq = entry_id.split(b"-")
    return Envelope(int(ordinal), int(seq), fields[b"p"])
