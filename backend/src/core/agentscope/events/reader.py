"""One reader of a thread: reads Postgres to the end of the log, then live events, and Postgres again after any doubt.

From any cursor the reader yields exactly the later events: in order, without gap or repeat, the same bytes for every
reader. While it waits, the reader holds no database connection. It has no queue of its own. Where nothing is left to
read, it can rest: its iterator ends, its place in the hub is kept, and the next iterator goes on there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from core.agentscope.events.envelope import Envelope, first_bytes
from core.agentscope.events.epoch_watch import crosses_epoch
from core.agentscope.events.hub import Tail, ThreadHub
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.sse import StreamEnd
from core.agentscope.events.store import EventStore
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings
from core.errors import Overloaded
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

STORE_PATIENCE_SECONDS = 60.0
"""How long a stream stays open with heartbeats while Postgres is away."""
_FIRST_BEAT_SECONDS = 2.0
"""The first heartbeat of a run that shows nothing yet: early, because it may say why the run waits."""


def may_pass(error: Exception) -> bool:
    """Say whether a read may succeed if it is tried again: Postgres is away, or too many streams read."""
    return isinstance(error, Overloaded) or is_store_failure(error)


class ThreadReader:
    """Follows a thread from a cursor, or only some of its runs.

    Args:
        ordinals: The runs to yield; ``None`` for every run of the thread.
            The reader ends after the terminal event of the last of them.
        head: A place of the thread that exists, if one is known. Up to there, a replica may answer.
        is_new: The run after the cursor was accepted just now. What it has shown so far is in Redis or comes live, so
            Postgres is asked only after a doubt.
    """

    __slots__ = (
        "_at_end_of_run",
        "_bus",
        "_cut",
        "_done",
        "_head",
        "_is_new",
        "_kept",
        "_last_ordinal",
        "_opened_in",
        "_ordinals",
        "_position",
        "_session_id",
        "_settings",
        "_store",
        "_within_run",
        "hub",
        "quiet_since",
    )

    def __init__(
        self,
        session_id: int,
        cursor: Cursor,
        *,
        store: EventStore,
        bus: RedisBus,
        hub: ThreadHub,
        settings: StreamSettings,
        ordinals: frozenset[int] | None = None,
        head: Cursor = Cursor.START,
        is_new: bool = False,
    ) -> None:
        self._session_id = session_id
        self._head = head
        self._position = cursor
        self._at_end_of_run = False
        self._within_run = False
        """Whether the newest event read is known not to be its run's last."""
        self._store = store
        self._bus = bus
        self.hub = hub
        self._settings = settings
        self._opened_in = hub.epoch.begun
        self._ordinals = ordinals
        self._last_ordinal = max(ordinals) if ordinals else None
        self._done = False
        self._cut: StreamEnd | None = None
        self._is_new = is_new
        self._kept: Tail | None = None
        """Where the reader rests."""
        self.quiet_since = 0.0
        """Event loop time since which the reader has had no event and no heartbeat's turn."""

    @property
    def position(self) -> Cursor:
        """The place of the newest event read."""
        return self._position

    @property
    def at_end_of_run(self) -> bool:
        """Whether the newest event read was its run's last."""
        return self._at_end_of_run

    @property
    def rests(self) -> bool:
        """Whether the iterator has ended only because nothing is left to read."""
        return self._kept is not None

    def passes_on(self, ordinal: int, *, ends_run: bool) -> bool:
        """Say whether the reader wants events of a run, and does not end after them."""
        return self._ordinals is None or (ordinal in self._ordinals and not ends_run)

    def move(self, position: Cursor, *, at_end_of_run: bool) -> None:
        """Move on over events that were read for several readers at once."""
        self._position, self._at_end_of_run, self._within_run = position, at_end_of_run, not at_end_of_run

    def release(self) -> None:
        """Give up the place that is kept while the reader rests."""
        if (kept := self._kept) is not None:
            self._kept = None
            self.hub.release(kept)

    @property
    def awaits_start(self) -> bool:
        """Whether the run that comes next has shown nothing yet."""
        return self._position.seq == 0

    @property
    def cut(self) -> StreamEnd | None:
        """Why the reader has ended before there was nothing left to read; ``None`` if it has not."""
        if self._cut is None and not self._done and self.closing:
            return StreamEnd.DRAIN if self.hub.draining.is_set() else StreamEnd.EPOCH
        return self._cut

    @property
    def closing(self) -> bool:
        """Whether every stream that was opened when this one was has to end now."""
        return self.hub.draining.is_set() or self.hub.epoch.begun != self._opened_in

    def _end(self, why: StreamEnd) -> None:
        self._done, self._cut = True, why

    async def read(
        self, ends_at: float, *, rest: Callable[[Tail], bool] | None = None
    ) -> AsyncIterator[list[Envelope]]:
        """Yield batches of events; an empty batch is a heartbeat's turn.

        Args:
            ends_at: Event loop time after which a quiet moment ends the stream.
            rest: Asked when nothing is left to read. True ends the iterator and keeps the reader's place: whoever said
                so is told by the hub when to read on, or moves the reader itself.
        """
        loop = asyncio.get_running_loop()
        has_rested = self.rests
        async with self.hub.follow(self._session_id, kept=has_rested) as tail:
            self.release()
            store_lost_at: float | None = None
            if has_rested:
                async for batch in self._from_tail(tail, ends_at, rest):
                    yield batch
            # After the subscription: whatever was published before it is in Redis.
            elif self._is_new and tail.subscribed.is_set():
                if batch := self._accept(await self._from_redis()):
                    yield batch
                self._begin_to_wait()
                async for batch in self._from_tail(tail, ends_at, rest):
                    yield batch
            while not self._done and not self.rests and not self.closing:
                # What is heard of during the read may be missing in it, and comes from the tail.
                before, known = self._position, tail.head
                try:
                    async for batch in self._from_store(max(known, self._head)):
                        yield batch
                    store_lost_at = None
                    moved = self._position != before or known <= before
                    if not (moved or self._done or self.closing):
                        # Retention deleted these events while the reader was reading. Others may follow.
                        seconds = min(self._settings.heartbeat_seconds, ends_at - loop.time())
                        await tail.wait(known, seconds)
                        if loop.time() >= ends_at:
                            self._end(StreamEnd.MAX_AGE)
                            return
                        yield []
                except Exception as exc:
                    if not may_pass(exc):
                        raise
                    log.warning("replay_interrupted", error=type(exc).__name__)
                    store_lost_at = store_lost_at or loop.time()
                    if loop.time() - store_lost_at > STORE_PATIENCE_SECONDS:
                        self._end(StreamEnd.STORE_UNAVAILABLE)
                        return
                    yield []
                    await self.hub.rest(1.0)
                self._begin_to_wait()
                async for batch in self._from_tail(tail, ends_at, rest):
                    yield batch

    def _begin_to_wait(self) -> None:
        self.quiet_since = asyncio.get_running_loop().time()
        if self.awaits_start:
            self.quiet_since -= max(self._settings.heartbeat_seconds - _FIRST_BEAT_SECONDS, 0.0)

    async def _from_store(self, upto: Cursor) -> AsyncIterator[list[Envelope]]:
        """Yield what the log has, to its end. ``upto``: a place that is known to exist."""
        limit, max_bytes = self._settings.page_events, self._settings.page_bytes
        while not self._done:
            page = await self._store.replica_page(
                self._session_id, self._position, limit, max_bytes, upto=upto
            )
            # What is known to exist and is not there, is not there in a moment either.
            is_last, upto = not page, upto if page else Cursor.START
            page = page or await self._store.page(self._session_id, self._position, limit, max_bytes)
            if page and self._within_run and page[0].ordinal != self._position.ordinal:
                # Retention deleted the run's events meanwhile. The client reconnects and gets 410.
                self._end(StreamEnd.EVENTS_EXPIRED)
                return
            if (
                page
                and crosses_epoch(self._position, page[0].ordinal)
                and not await self._store.has(self._session_id, self._position)
            ):
                # What was shown was lost with a server. The client reconnects, and its cursor is refused.
                self._end(StreamEnd.EPOCH)
                return
            if batch := self._accept(page):
                yield batch
            if is_last and len(page) < limit and sum(len(item.payload) for item in page) < max_bytes:
                return

    async def _from_tail(
        self, tail: Tail, ends_at: float, rest: Callable[[Tail], bool] | None
    ) -> AsyncIterator[list[Envelope]]:
        """Yield live events and heartbeats; returns when the reader rests, or Postgres has to be asked."""
        loop = asyncio.get_running_loop()
        while not self._done and not self.closing:
            live = first_bytes(
                tail.after(self._position, at_end_of_run=self._at_end_of_run), self._settings.page_bytes
            )
            if not live and tail.gone:
                self._end(StreamEnd.THREAD_DELETED)
                return
            if not live and tail.head > self._position:
                live = await self._from_redis()
                if not live:
                    return
            if live:
                self.quiet_since = loop.time()
                if batch := self._accept(live):
                    yield batch
                continue
            if loop.time() >= ends_at:
                self._end(StreamEnd.MAX_AGE)
                return
            silence = self.quiet_since + self._settings.heartbeat_seconds - loop.time()
            if silence <= 0:
                self.quiet_since = loop.time()
                yield []
            elif rest is not None and not self.awaits_start and rest(tail):
                self.hub.keep(tail)
                self._kept = tail
                return
            else:
                await tail.wait(self._position, min(silence, max(ends_at - loop.time(), 0.01)))

    async def _from_redis(self) -> list[Envelope]:
        """Return the part of the Redis stream that follows without a gap."""
        entries = await self._bus.read(self._session_id, self._position, self._settings.page_events)
        following: list[Envelope] = []
        position, at_end = self._position, self._at_end_of_run
        for entry in entries:
            follows = (entry.ordinal, entry.seq) == (position.ordinal, position.seq + 1) or (
                at_end and (entry.ordinal, entry.seq) == (position.ordinal + 1, 1)
            )
            # Of an older epoch, Redis may know what the database has lost.
            if not follows or self.hub.epoch.is_older(entry.ordinal):
                break
            following.append(entry)
            position, at_end = entry.cursor, entry.is_terminal
        return first_bytes(following, self._settings.page_bytes)

    def _accept(self, envelopes: list[Envelope]) -> list[Envelope]:
        """Move on over these events and return the ones the reader wants."""
        if not envelopes:
            return []
        wanted = envelopes
        if self._ordinals is not None:
            wanted = [item for item in envelopes if item.ordinal in self._ordinals]
            if any(item.is_terminal and item.ordinal == self._last_ordinal for item in wanted):
                self._done = True
        last = envelopes[-1]
        self._position, self._at_end_of_run = last.cursor, last.is_terminal
        self._within_run = not last.is_terminal
        return wanted
