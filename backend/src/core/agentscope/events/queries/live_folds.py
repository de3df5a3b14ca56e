"""The folds of live runs in an API process: every event is folded once, whoever asks and however often.

Rules:

* The log of a run only grows, so the fold of its first events stays true. The next reader folds only what is new.
* Events are read and folded in pages, and the event loop goes on between two pages.
* One caller at a time holds the fold of a run. Meanwhile no other caller can move the fold beyond the snapshot that this
  caller reads. A caller that waits holds no database connection.
* The folds of all runs together have a limit in bytes. Those that nobody asked for lately are dropped first.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.log_fold import PAGE_BYTES, PAGE_EVENTS, LogFold, log_page

MAX_BYTES = 64 << 20
"""Maximum size of the events of all kept folds, as stored."""
IDLE_SECONDS = 60.0
"""A fold is dropped if nobody has asked for it for this time."""


@dataclass(slots=True)
class _Kept:
    ordinal: int
    log: LogFold = field(default_factory=LogFold)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    used_at: float = 0.0


class LiveFolds:
    """Keeps at most one fold per thread: that of its live run."""

    def __init__(
        self, engine: AsyncEngine, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        """By thread, the ones used last at the end."""

    @asynccontextmanager
    async def held(self, session_id: int, ordinal: int) -> AsyncIterator[LogFold]:
        """Hold the fold of a run while the context is open; it has everything that was committed before."""
        kept = self._kept.get(session_id)
        if kept is None or kept.ordinal != ordinal:
            kept = self._kept[session_id] = _Kept(ordinal)
        kept.users += 1
        try:
            async with kept.lock:
                await self._catch_up(session_id, ordinal, kept.log)
                yield kept.log
        except Exception:
            # An event may have been taken in by half.
            self._drop(session_id, kept)
            raise
        finally:
            kept.users -= 1
            kept.used_at = self._clock()
            self._tidy(session_id, kept)

    def forget(self, session_id: int) -> None:
        """Drop the fold of a thread that has no live run."""
        if (kept := self._kept.get(session_id)) is not None and not kept.users:
            del self._kept[session_id]

    @property
    def size(self) -> int:
        """Bytes of the events in all kept folds."""
        return sum(kept.log.size for kept in self._kept.values())

    async def _catch_up(self, session_id: int, ordinal: int, log: LogFold) -> None:
        while True:
            before = log.size
            async with self._engine.connect() as connection:
                page = await log_page(connection, session_id, ordinal, after=log.seq)
            log.extend(page)
            if len(page) < PAGE_EVENTS and log.size - before < PAGE_BYTES:
                return
            # Streams and other requests go on in between.
            await asyncio.sleep(0)

    def _drop(self, session_id: int, kept: _Kept) -> None:
        if self._kept.get(session_id) is kept:
            del self._kept[session_id]

    def _tidy(self, session_id: int, used: _Kept) -> None:
        if self._kept.get(session_id) is used:
            self._kept.move_to_end(session_id)
        size, long_ago = self.size, self._clock() - IDLE_SECONDS
        for oldest, kept in list(self._kept.items()):
            if size <= self._max_bytes and kept.used_at > long_ago:
                return
            if not kept.users:
                size -= kept.log.size
                del self._kept[oldest]
