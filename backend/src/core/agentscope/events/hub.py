"""One hub per API process: a single shared subscription serves all readers.

Each followed thread has a short window of its newest events. A reader behind the window, or after a gap, reads from
Redis and then from Postgres. Readers pull at their own pace; there is no queue per reader. Pub/sub may lose messages,
so a patrol asks Postgres which followed threads have moved on, in one query. See docs/adr/0010.

A stream that has nothing to send rests: it has no task, and the hub's rounds serve it (docs/adr/0037).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import Redis

from core.agentscope.events.envelope import Envelope
from core.agentscope.events.epoch_watch import Epoch
from core.agentscope.events.redis_bus import channel_name, parse_bell
from core.agentscope.events.rounds import Rounds, Served
from core.agentscope.schemas.cursor import Cursor
from core.config import RedisSettings, StreamSettings
from core.flag import Flag
from core.outage import report_failure
from core.redis_kinds.channels import Channels

log = structlog.get_logger(__name__)

WINDOW_EVENTS = 512
WINDOW_BYTES = 1 << 20
"""Maximum size of a window. The newest event stays, whatever its size."""
HUB_BYTES = 64 << 20
"""Maximum size of all windows. The threads that were silent for the longest time lose theirs."""
SUBSCRIBE_WAIT_SECONDS = 0.25
"""How long a new reader waits for its subscription. After this time it relies on the patrol."""
RETURNS_PER_SECOND = 200
"""How many streams of a drained process come back in a second. Opening one costs about 5 ms of an API process."""
MAX_RETURN_SECONDS = 30.0
"""Nobody is sent away for longer."""
STILL_ROUNDS = 30
"""After so many rounds of the patrol without a new event, a thread is still: it is not asked about in every round."""
STILL_EVERY = 5
"""A still thread is asked about in each fifth round, as long as its subscription stands."""
_CROWD_SECONDS = 0.1
"""Streams that can all be opened within this time may come back together."""

Moved = Callable[[Mapping[int, Cursor]], Awaitable[dict[int, Cursor | None]]]
"""From the places that are known, returns the threads that have moved on, and ``None`` for deleted ones."""


class Tail:
    """The newest events of one followed thread, without gaps inside."""

    __slots__ = (
        "_rounds",
        "_waiters",
        "_window",
        "gone",
        "head",
        "readers",
        "resting",
        "session_id",
        "size",
        "still",
        "subscribed",
    )

    def __init__(self, session_id: int = 0, rounds: Rounds | None = None) -> None:
        self.session_id = session_id
        self._rounds = rounds
        self.readers = 0
        self.resting: dict[Served, None] = {}
        """Streams without a task, which are served as soon as something happens here."""
        self.subscribed = Flag()
        self.gone = False
        """True if the thread was deleted: no more events arrive."""
        self.head: Cursor = Cursor.START
        """The newest place known to exist, whether its event is in the window or not."""
        self.still = 0
        """Rounds of the patrol since something happened here."""
        self.size = 0
        """Bytes of the window."""
        self._window: list[Envelope] = []
        self._waiters: dict[asyncio.Future[bool], Cursor] = {}
        """Who waits, and after which place."""

    def after(self, position: Cursor, *, at_end_of_run: bool) -> list[Envelope]:
        """Return the events that come right after ``position``; empty when there are none here."""
        window = self._window
        if not window:
            return []
        start = bisect_right(window, (position.ordinal, position.seq), key=_place)
        if start == len(window):
            return []
        first = window[start]
        follows = (first.ordinal, first.seq) == (position.ordinal, position.seq + 1) or (
            at_end_of_run and (first.ordinal, first.seq) == (position.ordinal + 1, 1)
        )
        return window[start:] if follows else []

    def add(self, envelopes: list[Envelope]) -> None:
        """Take in a doorbell message: extends the window, or replaces it after a gap."""
        window = self._window
        if window:
            last = window[-1]
            envelopes = [item for item in envelopes if _place(item) > _place(last)]
            if not envelopes:
                return
            if not _continues(last, envelopes[0]):
                self.empty()
        window.extend(envelopes)
        self.size += _size(envelopes)
        if len(window) > 2 * WINDOW_EVENTS:
            self._drop(len(window) - WINDOW_EVENTS)
        if self.size > 2 * WINDOW_BYTES:
            count, left = 0, self.size
            while left > WINDOW_BYTES and count < len(window) - 1:
                left -= len(window[count].payload)
                count += 1
            self._drop(count)
        self.see(window[-1].cursor)

    def empty(self) -> None:
        """Forget the window; readers take its events from Redis or Postgres."""
        self._drop(len(self._window))

    def _drop(self, count: int) -> None:
        self.size -= _size(self._window[:count])
        del self._window[:count]

    def see(self, head: Cursor) -> None:
        """Note that an event at ``head`` exists and wake the readers that wait for it."""
        if head > self.head:
            self.head = head
            self.still = 0
            self._serve()
            for waiter in [waiter for waiter, position in self._waiters.items() if head > position]:
                self._wake(waiter)

    def end(self) -> None:
        """Note that the thread was deleted."""
        self.gone = True
        self.wake()

    def wake(self) -> None:
        """Wake every reader."""
        self._serve()
        for waiter in list(self._waiters):
            self._wake(waiter)

    async def wait(self, position: Cursor, timeout_seconds: float) -> bool:
        """Return True once something after ``position`` exists or the hub wakes everybody."""
        if self.gone or self.head > position:
            return True
        loop = asyncio.get_running_loop()
        # A future and a timer, and no task: thousands of readers wait here.
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout_seconds, _settle, waiter, False)
        self._waiters[waiter] = position
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def _serve(self) -> None:
        if self._rounds is not None and self.resting:
            self._rounds.serve(self.resting)

    def _wake(self, waiter: asyncio.Future[bool]) -> None:
        del self._waiters[waiter]
        _settle(waiter, True)


def _settle(waiter: asyncio.Future[bool], heard: bool) -> None:
    if not waiter.done():
        waiter.set_result(heard)


def _size(envelopes: Sequence[Envelope]) -> int:
    return sum(len(envelope.payload) for envelope in envelopes)


def _place(envelope: Envelope) -> tuple[int, int]:
    return envelope.ordinal, envelope.seq


def _continues(last: Envelope, first: Envelope) -> bool:
    if first.ordinal == last.ordinal:
        return first.seq == last.seq + 1
    return last.is_terminal and (first.ordinal, first.seq) == (last.ordinal + 1, 1)


class ThreadHub:
    """Follows threads for all readers of a process."""

    def __init__(
        self,
        redis: Redis,
        moved: Moved,
        floor: Callable[[], Awaitable[int]],
        redis_settings: RedisSettings,
        stream: StreamSettings,
    ) -> None:
        self._moved = moved
        self._floor = floor
        self._redis_settings = redis_settings
        self._stream = stream
        self._tails: dict[int, Tail] = {}
        self._by_channel: dict[bytes, Tail] = {}
        self._rung: dict[Tail, None] = {}
        """Tails with a window, the one that was silent for the longest time first."""
        self._window_bytes = 0
        # The patrol serves the readers of threads whose doorbell does not stand.
        self._bells = Channels(
            redis, f"{redis_settings.key_prefix}:bell", heard=self._hear, stands=self._note_standing
        )
        self._round = 0
        self.readers = 0
        """How many streams of this process follow a thread now."""
        self._leaving = 0
        """How many readers the drain has sent away."""
        self.rounds = Rounds(stream.heartbeat_seconds)
        self._left: dict[int, None] = {}
        """Threads whose last reader left while it rested."""
        self._unsubscribing: asyncio.Task[None] | None = None
        self.epoch = Epoch()
        self.draining = asyncio.Event()
        """Set when the process drains: every stream ends by itself."""

    @asynccontextmanager
    async def follow(self, session_id: int, *, kept: bool = False) -> AsyncIterator[Tail]:
        """Keep a thread followed while the context is open.

        Args:
            session_id: The thread.
            kept: The reader has rested, with its place kept by :meth:`keep`: it goes on without waiting.
        """
        tail = self._tails.get(session_id)
        if tail is None:
            tail = self._tails[session_id] = Tail(session_id, self.rounds)
            self._by_channel[self._channel(session_id)] = tail
        self.keep(tail)
        try:
            if tail.readers == 1:
                await self._subscribe(session_id)
            if not kept and not tail.subscribed.is_set():
                # Not `wait_for`: in Python 3.11 it swallows a cancellation that arrives together with the result. The
                # stream of a client that disconnected at once then stayed open for ever.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SUBSCRIBE_WAIT_SECONDS):
                        await tail.subscribed.wait()
            yield tail
        finally:
            if self._forget(tail):
                await self._unsubscribe(session_id)

    def keep(self, tail: Tail) -> None:
        """Count a reader more: its thread stays followed until :meth:`release`."""
        tail.readers += 1
        self.readers += 1

    def release(self, tail: Tail) -> None:
        """Count a reader less. The subscription of a thread without readers ends soon after."""
        if self._forget(tail):
            self._left[tail.session_id] = None
            if self._unsubscribing is None:
                self._unsubscribing = asyncio.create_task(self._unsubscribe_left())

    def _forget(self, tail: Tail) -> bool:
        """Count a reader less; True if it was the thread's last."""
        tail.readers -= 1
        self.readers -= 1
        if tail.readers:
            return False
        self._tails.pop(tail.session_id, None)
        self._rung.pop(tail, None)
        self._window_bytes -= tail.size
        self._by_channel.pop(self._channel(tail.session_id), None)
        return True

    def drain(self) -> None:
        """End every stream; the clients reconnect with their cursors."""
        self._leaving = self.readers
        self.draining.set()
        self.wake()

    def wake(self) -> None:
        """Wake every reader."""
        for tail in self._tails.values():
            tail.wake()

    @property
    def crowded(self) -> bool:
        """Whether the streams of this process have to come back one after the other when it is gone."""
        return self._streams > RETURNS_PER_SECOND * _CROWD_SECONDS

    def return_milliseconds(self) -> int:
        """Return after which time the client of a stream that was cut off shall come back: its turn among all streams."""
        usual = self._stream.retry_milliseconds
        if not self.crowded:
            return usual
        seconds = min(self._streams / RETURNS_PER_SECOND, MAX_RETURN_SECONDS)
        return usual + int(1000 * random.uniform(0, seconds))  # noqa: S311  not for security

    @property
    def _streams(self) -> int:
        return max(self.readers, self._leaving)

    async def rest(self, seconds: float) -> bool:
        """Sleep, but not through a drain; True when the process drains."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.draining.wait()
        return self.draining.is_set()

    async def run(self) -> None:
        """Listen and patrol until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._bells.run())
            tasks.create_task(self._patrol())

    def _hear(self, channel: bytes, data: bytes) -> None:
        if (tail := self._by_channel.get(channel)) is not None:
            self.ring(tail, parse_bell(data))

    def _note_standing(self, channel: bytes, stands: bool) -> None:
        if (tail := self._by_channel.get(channel)) is not None:
            tail.subscribed.set() if stands else tail.subscribed.clear()

    def ring(self, tail: Tail, envelopes: list[Envelope]) -> None:
        """Take in a doorbell message of a followed thread."""
        before = tail.size
        tail.add(envelopes)
        self._window_bytes += tail.size - before
        self._rung.pop(tail, None)
        self._rung[tail] = None
        while self._window_bytes > HUB_BYTES and len(self._rung) > 1:
            silent = next(iter(self._rung))
            del self._rung[silent]
            self._window_bytes -= silent.size
            silent.empty()

    async def _patrol(self) -> None:
        while True:
            await asyncio.sleep(self._stream.patrol_seconds)
            known = self.begin_round()
            if not self._tails:
                continue
            try:
                # First: what is told of a thread next may be of another epoch.
                if self.epoch.see(await self._floor()):
                    self.wake()
                moved = await self._moved(known) if known else {}
            except Exception as exc:  # noqa: BLE001  top of a background loop: Postgres may be away
                report_failure("patrol_failed", exc)
                continue
            for session_id, head in moved.items():
                if (tail := self._tails.get(session_id)) is None:
                    continue
                if head is None:
                    tail.end()
                else:
                    tail.see(head)

    def begin_round(self) -> dict[int, Cursor]:
        """Begin a round of the patrol; return the threads that it asks about (of still ones a part), and their places."""
        self._round += 1
        known: dict[int, Cursor] = {}
        for session_id, tail in self._tails.items():
            tail.still += 1
            turn = (session_id + self._round) % STILL_EVERY == 0
            if turn or tail.still <= STILL_ROUNDS or not tail.subscribed.is_set():
                known[session_id] = tail.head
        return known

    async def _subscribe(self, session_id: int) -> None:
        await self._bells.listen_to(self._channel(session_id))

    async def _unsubscribe(self, *session_ids: int) -> None:
        await self._bells.leave(*map(self._channel, session_ids))

    async def _unsubscribe_left(self) -> None:
        try:
            while self._left:
                # Of a thread that is followed again meanwhile, the subscription stays.
                left = [session_id for session_id in self._left if session_id not in self._tails]
                self._left.clear()
                if left:
                    await self._unsubscribe(*left)
        finally:
            self._unsubscribing = None

    def _channel(self, session_id: int) -> bytes:
        return channel_name(self._redis_settings, session_id).encode()
