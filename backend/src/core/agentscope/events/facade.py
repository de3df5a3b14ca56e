"""Event streams of threads for the routes. Runs in the API process, which never imports AgentScope."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from core.agentscope.events.connect import ConnectRequest, Peer, start_of
from core.agentscope.events.hub import ThreadHub
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.queries.opening import OpeningReader
from core.agentscope.events.reader import ThreadReader
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.run_inputs import RunInputs
from core.agentscope.events.sse import frames_of, no_worker_unknown, sse_opening
from core.agentscope.events.store import EventStore, RunSegment, ThreadHead
from core.agentscope.events.thread_stream import ThreadStream
from core.agentscope.events.waiting import sse_after_waiting
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.links import history_url
from core.config import StreamSettings
from core.errors import CursorAhead, CursorExpired, NotFound
from core.identity import Principal


class AgentScopeEventsFacade:
    """Follows the events of threads for their owners; authorises before it touches an event.

    Despite its name it may not import AgentScope: import-linter holds that. What is
    read once has readers of its own, in ``events.queries``.
    """

    def __init__(
        self,
        store: EventStore,
        bus: RedisBus,
        hub: ThreadHub,
        settings: StreamSettings,
        openings: OpeningReader,
        *,
        no_worker: Callable[[], Awaitable[bool]] = no_worker_unknown,
    ) -> None:
        self._store = store
        self._bus = bus
        self._hub = hub
        self._settings = settings
        self._openings = openings
        self._no_worker = no_worker
        self._inputs = RunInputs(store)

    async def follow(
        self, principal: Principal, thread_id: str, *, run_id: str | None, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        """Return the frames after a cursor, of one run or of the whole thread.

        With ``run_id`` the stream ends after the run's terminal event; without,
        it follows every run of the thread, and tells what each was asked (see
        ``events/run_inputs.py``). No cursor is the first event of the run, or of
        the live or latest run.

        Returns:
            Complete SSE frames, or ``None`` if the run has ended and has no more events.

        Raises:
            NotFound: The caller has no such thread, or the thread no such run.
            Overloaded: Too many streams are being opened.
            CursorAhead: No event has this cursor yet.
            CursorExpired: The events after this cursor are past their retention.
        """
        thread = await self._store.find_thread(principal, thread_id)
        if thread is None:
            raise NotFound("No such thread.")
        segments: list[RunSegment] | None = None
        if run_id is not None:
            segments = await self._store.list_segments(thread.session_id, run_id)
            if not segments:
                raise NotFound("No such run in this thread.")
            if any(segment.ordinal is None for segment in segments):
                return self._after_waiting(
                    lambda: self._once_started(principal, thread_id, run_id, cursor),
                    thread.session_id,
                    thread.head,
                )
        start = _start(thread, segments, cursor)
        known = {segment.ordinal: segment.last_seq for segment in segments or () if segment.ordinal}
        await self._check(thread, start, newest=_head(thread, segments), known=known)
        if segments is not None and _nothing_left(segments, start):
            return None
        versions = PeerVersions(
            lambda ordinal: self._protocol_version(thread.session_id, ordinal),
            {segment.ordinal: segment.protocol_version for segment in segments or () if segment.ordinal},
        )
        if segments is None:
            return await self._whole_thread(thread, start, versions)
        ordinals = frozenset(segment.ordinal for segment in segments if segment.ordinal)
        return self._stream(self._reader(thread.session_id, start, ordinals, head=thread.head), versions)

    async def _whole_thread(
        self, thread: ThreadHead, start: Cursor, versions: PeerVersions
    ) -> AsyncIterator[bytes]:
        session_id = thread.session_id

        def input_of(ordinal: int) -> Awaitable[bytes]:
            return self._inputs.frame(session_id, ordinal)

        # The client may have been cut off between the run's first event and what is told behind it.
        opening = await input_of(start.ordinal) if start.seq == 1 else b""
        reader = self._reader(session_id, start, None, head=thread.head)
        return self._stream(reader, versions, opening, input_of=input_of)

    def follow_new(
        self, principal: Principal, run: AcceptedRun, *, protocol_version: str | None
    ) -> AsyncIterator[bytes]:
        """Return the frames of a run that was created just now, from its first event.

        The caller has just made the run for its owner, so nothing is authorised or looked up again. And nothing is
        refused: the run exists, and a client that was told of an overload would send it once more.
        """
        ordinal = run.ordinal
        if ordinal is None:
            return self._after_waiting(
                lambda: self._once_started(principal, run.thread_id, run.run_id, None),
                run.session_id,
                Cursor.START,
            )
        versions = PeerVersions(
            lambda other: self._protocol_version(run.session_id, other), {ordinal: protocol_version}
        )
        reader = self._reader(run.session_id, Cursor(ordinal, 0), frozenset({ordinal}), is_new=True)
        return self._stream(reader, versions)

    async def connect(self, principal: Principal, request: ConnectRequest) -> AsyncIterator[bytes] | None:
        """Return the frames for a client that holds nothing: see ``events/connect.py``.

        The stream ends after the terminal event of the run that is live, or that was the last.

        Returns:
            Complete SSE frames, or ``None`` if the client has seen everything of the run.

        Raises:
            NotFound: The client was connected to a thread that no longer exists.
            Overloaded: Too many streams are being opened.
            CursorAhead: No event has the client's cursor.
            CursorExpired: The events after the client's cursor are past their retention.
        """
        thread = await self._store.find_thread(principal, request.thread_id)
        if thread is None and request.after is not None and request.after.cursor.ordinal:
            raise NotFound("No such thread.")
        session_id = None if thread is None else thread.session_id
        source = self._openings.of_thread(principal, request.thread_id, session_id)
        start = await start_of(source, request, timestamp_ms=int(time.time() * 1000))
        versions = self._versions_of(request.peer, session_id)
        opening = await frames_of(start, versions)
        if thread is not None and start.follows:
            run = await self._store.find_run_at(thread.session_id, start.ordinal)
            segments = [] if run is None else [run]
            # The opening of a queued run tells its first event before it is in the log.
            newest = max(_head(thread, segments), Cursor(start.ordinal if run else 0, 1))
            await self._check(thread, start.cursor, newest=newest)
            if segments and not _nothing_left(segments, start.cursor):
                reader = self._reader(
                    thread.session_id, start.cursor, frozenset({start.ordinal}), head=thread.head
                )
                return self._stream(reader, versions, opening)
        return sse_opening(opening, self._hub.return_milliseconds()) if opening else None

    def _stream(
        self,
        reader: ThreadReader,
        versions: PeerVersions,
        opening: bytes = b"",
        *,
        input_of: Callable[[int], Awaitable[bytes]] | None = None,
    ) -> AsyncIterator[bytes]:
        return ThreadStream(
            reader,
            versions,
            self._settings,
            opening=opening,
            no_worker=self._no_worker,
            input_of=input_of,
        )

    def _reader(
        self,
        session_id: int,
        start: Cursor,
        ordinals: frozenset[int] | None,
        *,
        head: Cursor = Cursor.START,
        is_new: bool = False,
    ) -> ThreadReader:
        return ThreadReader(
            session_id,
            start,
            store=self._store,
            bus=self._bus,
            hub=self._hub,
            settings=self._settings,
            ordinals=ordinals,
            head=head,
            is_new=is_new,
        )

    def _versions_of(self, peer: Peer | None, session_id: int | None) -> PeerVersions:
        async def version_of(ordinal: int) -> str | None:
            if peer is not None:
                return peer.protocol_version
            # Without a run there is no older client either.
            return await self._protocol_version(session_id, ordinal) if session_id and ordinal else "1.0"

        return PeerVersions(version_of)

    def _after_waiting(
        self, started: Callable[[], Awaitable[AsyncIterator[bytes] | None]], session_id: int, head: Cursor
    ) -> AsyncIterator[bytes]:
        return sse_after_waiting(started, self._settings, hub=self._hub, session_id=session_id, head=head)

    async def _once_started(
        self, principal: Principal, thread_id: str, run_id: str, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        thread = await self._store.find_thread(principal, thread_id)
        segments = [] if thread is None else await self._store.list_segments(thread.session_id, run_id)
        if any(segment.ordinal is None for segment in segments):
            return None
        return await self.follow(principal, thread_id, run_id=run_id, cursor=cursor)

    async def _protocol_version(self, session_id: int, ordinal: int) -> str | None:
        run = await self._store.find_run_at(session_id, ordinal)
        return None if run is None else run.protocol_version

    async def _check(
        self, thread: ThreadHead, start: Cursor, *, newest: Cursor, known: Mapping[int, int] | None = None
    ) -> None:
        """Refuse a cursor from which the reader would miss something. ``known``: runs that exist, and their events."""
        if start > newest:
            raise _ahead(thread)
        if start.begins_after_restore:
            return
        is_older = (
            0 < start.ordinal < thread.head.ordinal and (known or {}).get(start.ordinal, -1) < start.seq
        )
        is_pruned = 0 < thread.pruned_ordinal >= start.ordinal
        if not is_older and not is_pruned:
            return
        run = await self._store.find_run_at(thread.session_id, start.ordinal)
        if is_older and (run is None or start.seq > run.last_seq):
            # The row of a run stays as long as its thread: this one, or its end, was lost with a server.
            raise _ahead(thread)
        if is_pruned and (start.ordinal < thread.pruned_ordinal or run is None or start.seq < run.last_seq):
            raise CursorExpired(
                "The events after this cursor are no longer kept. The history still has every message.",
                historyUrl=history_url(thread.thread_id),
            )


def _ahead(thread: ThreadHead) -> CursorAhead:
    return CursorAhead(
        "No event has this cursor. Load the history again and follow from its cursor.",
        historyUrl=history_url(thread.thread_id),
    )


def _head(thread: ThreadHead, segments: list[RunSegment] | None) -> Cursor:
    """Return the newest place seen: the run was read after the thread, and its turn may have come between."""
    return max([thread.head, *(Cursor(run.ordinal or 0, run.last_seq) for run in segments or ())])


def _ordinals(segments: list[RunSegment]) -> list[int]:
    return [segment.ordinal for segment in segments if segment.ordinal] or [0]


def _start(thread: ThreadHead, segments: list[RunSegment] | None, cursor: Cursor | None) -> Cursor:
    if segments is not None:
        first = Cursor(min(_ordinals(segments)), 0)
        return first if cursor is None else max(first, cursor)
    return Cursor(thread.head.ordinal, 0) if cursor is None else cursor


def _nothing_left(segments: list[RunSegment], start: Cursor) -> bool:
    if not all(segment.ended for segment in segments):
        return False
    last = max(segments, key=lambda segment: segment.ordinal or 0)
    return start >= Cursor(last.ordinal or 0, last.last_seq)
