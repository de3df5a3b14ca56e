"""The stream of one reader, as SSE frames: by a task while there is much to send, and without one while it rests.

Rules:

1. The stream is an iterator of frames. Where it may rest (:meth:`ThreadStream.attach`), it yields ``RESTS`` as soon as
   nothing is left to read, and the iterator is not asked again until the outlet is told to go on.
2. A stream that rests is served by the hub's rounds. They write live events and heartbeats straight to the outlet. The
   bytes of an event are made once for all streams of the thread that rest at the same place.
3. Whatever is not that simple ends the rest, and a task reads on: a gap, the last event of the run, the first one of a
   run whose input is told, an event whose form depends on an unknown client, a client that is behind, a deleted thread,
   the drain, the age of the stream.

So what is exact about a reader is in ``reader.py`` alone. A rest changes who writes, never what is written.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol, Self

import structlog

from core.agentscope.events.envelope import Envelope, first_bytes
from core.agentscope.events.hub import Tail
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reader import ThreadReader
from core.agentscope.events.sse import (
    HEARTBEAT,
    NO_WORKER,
    StreamEnd,
    frame,
    last_words,
    no_worker_unknown,
    sse_opening,
    stream_ends_at,
)
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings

log = structlog.get_logger(__name__)

RESTS = b""
"""What an iterator of frames yields that has come to rest."""


class Outlet(Protocol):
    """Where a stream that rests is written."""

    def write(self, data: bytes) -> bool:
        """Send complete frames without waiting; False if the client is behind."""
        ...

    def go_on(self) -> None:
        """Ask the iterator again, in a task."""
        ...


class _Batch(NamedTuple):
    """Live events of one run, for all streams that rest before them."""

    ordinal: int
    last: Cursor
    starts_run: bool
    ends_run: bool
    depends_on_client: bool
    frames: bytes


class ThreadStream:
    """Yields a reader's events as frames, several at a time, with heartbeats in the silences.

    Ends when the reader does: after a run's terminal event, at the stream's greatest age, or when the process drains.
    A stream that ends before its run says why, and when to come back. Never ends a run.

    Args:
        reader: Reads the events.
        versions: Fits the events to the client.
        settings: Times of the stream.
        opening: Frames that come before the reader's.
        no_worker: Says whether no worker is running. Asked while the run has shown nothing.
        input_of: Returns the frame that tells what a run was asked, by the run's ordinal. It is sent behind the run's
            first event.
    """

    __slots__ = (
        "_alarm",
        "_closed",
        "_ends_at",
        "_input_of",
        "_no_worker",
        "_opening",
        "_outlet",
        "_reader",
        "_settings",
        "_steps",
        "_tail",
        "_versions",
        "_wake_at",
    )

    def __init__(
        self,
        reader: ThreadReader,
        versions: PeerVersions,
        settings: StreamSettings,
        *,
        opening: bytes = b"",
        no_worker: Callable[[], Awaitable[bool]] = no_worker_unknown,
        input_of: Callable[[int], Awaitable[bytes]] | None = None,
    ) -> None:
        self._reader = reader
        self._versions = versions
        self._settings = settings
        self._opening: bytes | None = opening
        self._no_worker = no_worker
        self._input_of = input_of
        self._steps: AsyncIterator[bytes] | None = None
        self._outlet: Outlet | None = None
        self._tail: Tail | None = None
        """Where the stream rests."""
        self._ends_at = self._wake_at = math.inf
        self._alarm = 0.0
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    def attach(self, outlet: Outlet, wake_at: float = math.inf) -> bool:
        """Let the stream rest; True, because it can. A stream that rests already is served anew by what is said now.

        Args:
            outlet: Where it is written meanwhile.
            wake_at: Event loop time at which a rest ends at the latest.
        """
        self._outlet, self._wake_at = outlet, wake_at
        if self._tail is not None:
            self._reader.hub.rounds.serve((self,))
        return True

    async def __anext__(self) -> bytes:
        if self._closed:
            raise StopAsyncIteration
        if self._steps is None:
            self._steps = self._frames()
        try:
            return await anext(self._steps)
        except StopAsyncIteration:
            self._steps = None
            if self._tail is not None:
                return RESTS
            raise

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed = True
        self._leave_rest()
        # The alarm still knows the stream for a while, and outlet and stream know each other: without this line, the
        # connection and everything of it would wait for the garbage collector.
        self._outlet = None
        steps, self._steps = self._steps, None
        if (close := getattr(steps, "aclose", None)) is not None:
            await close()
        self._reader.release()

    async def _frames(self) -> AsyncIterator[bytes]:
        reader = self._reader
        if (opening := self._opening) is not None:
            self._opening = None
            self._ends_at = stream_ends_at(self._settings)
            async for piece in sse_opening(opening, reader.hub.return_milliseconds()):
                yield piece
        rest = self._rest if self._outlet is not None else None
        async for envelopes in reader.read(self._ends_at, rest=rest):
            if envelopes:
                yield b"".join([await self._told(envelope) for envelope in envelopes])
            else:
                yield NO_WORKER if reader.awaits_start and await self._no_worker() else HEARTBEAT
        if not reader.rests and (why := reader.cut) is not None:
            # The usual time, unless all streams of the process end together.
            drains = why is StreamEnd.DRAIN
            usual = self._settings.retry_milliseconds
            yield last_words(why, reader.hub.return_milliseconds() if drains else usual)

    async def _told(self, envelope: Envelope) -> bytes:
        told = frame(await self._versions.fit(envelope))
        if envelope.seq == 1 and self._input_of is not None:
            told += await self._input_of(envelope.ordinal)
        return told

    # --- at rest -------------------------------------------------------------

    def _rest(self, tail: Tail) -> bool:
        """Begin to rest in a thread; False if it is not worth it."""
        now, rounds = asyncio.get_running_loop().time(), self._reader.hub.rounds
        # A slot may be served early: the iterator waits for the exact time.
        if min(self._wake_at, self._ends_at) - now < 2 * rounds.slot_seconds:
            return False
        self._tail = tail
        tail.resting[self] = None
        # As in `serve`: an alarm that came a moment early does not come again.
        if self._alarm <= now + rounds.slot_seconds / 2:
            self._set_alarm()
        return True

    def _leave_rest(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.resting.pop(self, None)

    def _set_alarm(self) -> None:
        beat_at = self._reader.quiet_since + self._settings.heartbeat_seconds
        at = min(beat_at, self._wake_at, self._ends_at)
        self._alarm = self._reader.hub.rounds.set_alarm(self, at)

    def serve(self, now: float) -> None:
        """Write what there is to write, or end the rest."""
        tail, outlet = self._tail, self._outlet
        if tail is None or outlet is None:
            return
        try:
            stays = self._write(tail, outlet, now)
        except Exception:
            # What was not written is still to be read. A task meets the same fault, or does without.
            log.exception("stream_not_served")
            stays = False
        if not stays:
            self._leave_rest()
            outlet.go_on()
        elif self._alarm <= now + self._reader.hub.rounds.slot_seconds / 2:
            # Half a slot: a timer may fire a moment before its time.
            self._set_alarm()

    def _write(self, tail: Tail, outlet: Outlet, now: float) -> bool:
        """Write the events that follow, or a heartbeat that is due; False if a task has to go on."""
        reader, slot_seconds = self._reader, self._reader.hub.rounds.slot_seconds
        if tail.gone or reader.closing or min(self._wake_at, self._ends_at) - now < slot_seconds:
            return False
        if tail.head > reader.position:
            if (batch := self._live(tail)) is None:
                return False
            keeps_up = outlet.write(batch.frames)
            # Not before it is written: after a fault, a task reads from here.
            reader.move(batch.last, at_end_of_run=batch.ends_run)
        elif now >= reader.quiet_since + self._settings.heartbeat_seconds - slot_seconds:
            keeps_up = outlet.write(HEARTBEAT)
        else:
            return True
        reader.quiet_since = now
        return keeps_up

    def _live(self, tail: Tail) -> _Batch | None:
        """Return the events that follow; ``None`` if a task has to read them."""
        reader, shared = self._reader, self._reader.hub.rounds.shared
        older = self._versions.is_older(tail.head.ordinal)
        key = (tail, reader.position, reader.at_end_of_run, older is True)
        if key not in shared:
            events = tail.after(reader.position, at_end_of_run=reader.at_end_of_run)
            shared[key] = _batch(first_bytes(events, self._settings.page_bytes), older=older is True)
        batch: _Batch | None = shared[key]
        if (
            batch is None
            or batch.last != tail.head
            or (batch.depends_on_client and older is None)
            or (batch.starts_run and self._input_of is not None)
            or not reader.passes_on(batch.ordinal, ends_run=batch.ends_run)
        ):
            return None
        return batch


def _batch(events: list[Envelope], *, older: bool) -> _Batch | None:
    """Return events of one run as frames; ``None`` if there are none, or of several runs."""
    if not events or events[0].ordinal != events[-1].ordinal:
        return None
    last = events[-1]
    return _Batch(
        last.ordinal,
        last.cursor,
        events[0].seq == 1,
        last.is_terminal,
        any(map(PeerVersions.depends_on_client, events)),
        b"".join([frame(PeerVersions.fitted(event) if older else event) for event in events]),
    )
