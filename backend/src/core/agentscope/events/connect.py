"""The opening of a connect stream: what a client that holds nothing needs before it can take the live tail.

Rules:

1. The events are ``RUN_STARTED``, ``STATE_SNAPSHOT`` if the thread has a state, ``MESSAGES_SNAPSHOT`` up to a cursor.
   Then what is open at the cursor is opened again, and the tail after the cursor follows. Stages of the run that have
   ended are told, too, and so are its subagents: a later one may name them.
2. An open text, reasoning or tool call is in the snapshot, in its place, but empty. The stored event that opened it is
   told again, then one delta with everything so far. So the deltas add up, also for a client that reads no snapshots.
3. The run is the live one; otherwise the one whose questions are open; otherwise the last one. If it has ended, its
   terminal event closes the opening, with the questions that are open now.
4. A thread without a run, or without a row, is an empty run that has ended.
5. A queued run has no event yet. Its ``RUN_STARTED`` is told ahead, so the tail begins with its second event.
6. The ids count down to the cursor (``ConnectCursor``). A reader that was cut off inside the opening gets the rest. If
   its snapshot was still to come and the log has moved on, it gets the rest of a new opening.

Source: AG-UI 1.0, ``apply/default.ts`` and ``verify.ts`` of ``@ag-ui/client`` 1.0.0 and 0.0.59; docs/adr/0019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from core.agentscope.events.agui_codec import PROTOCOL_VERSION
from core.agentscope.events.event_types import TERMINAL_TYPES, prefixes
from core.agentscope.events.reopening import RunStructure, Said, emptied, reopened
from core.agentscope.events.run_status import CANCELLED, ENDED, FAILED, INTERRUPTED, SUCCEEDED
from core.agentscope.schemas.agent_runtime import (
    HistorySnapshotResponse,
    RunStatus,
    ThreadUsage,
)
from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.errors import CursorAhead, NotFound

HISTORY_EVENT = "agentroute.history"
"""``CUSTOM`` event of an opening whose snapshot does not reach back to the first message."""

_STARTED = prefixes(frozenset({"RUN_STARTED"}))
_TERMINAL = prefixes(TERMINAL_TYPES)


@dataclass(frozen=True, slots=True)
class Peer:
    """A client that says which protocol version it understands; ``None`` is one before 1.0."""

    protocol_version: str | None


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """What a client asks for when it connects to a thread."""

    thread_id: str
    run_id: str | None = None
    """Name of the empty run that stands for a thread without any."""
    after: ConnectCursor | None = None
    """The last event it has seen of an earlier connect stream."""
    limit: int = 200
    """How many of the newest messages."""
    peer: Peer | None = None
    """``None``: events are told in the vocabulary of the client that started their run."""


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run with a place in the log."""

    ordinal: int
    run_id: str
    status: RunStatus
    last_seq: int
    error_code: str | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class ConnectSource(Protocol):
    """What the opening of one thread is made of."""

    async def history(self, limit: int) -> HistorySnapshotResponse | None:
        """Return the thread's history; ``None`` when the caller has no such thread."""
        ...

    async def find_run(self, ordinal: int) -> LoggedRun | None:
        """Return the run of an ordinal."""
        ...

    async def find_asking_run(self) -> LoggedRun | None:
        """Return the newest run whose questions are open."""
        ...

    async def structure(self, upto: Cursor) -> RunStructure:
        """Return the structure of a run up to a cursor; it is empty if retention has deleted the events."""
        ...

    async def messages(self, upto: Cursor) -> list[dict[str, Any]]:
        """Return what a run has said up to a cursor, as messages of its history."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """How a connect stream starts: frames, then the tail of a run."""

    events: tuple[bytes, ...]
    cursor: Cursor
    """Where the opening ends and the tail begins."""
    ordinal: int
    """The run of the tail, and of the opening's vocabulary."""
    follows: bool
    """Whether there is a tail."""

    def ids(self) -> list[ConnectCursor]:
        """Return the id of each event."""
        return [ConnectCursor(self.cursor, left) for left in range(len(self.events) - 1, -1, -1)]


async def start_of(source: ConnectSource, request: ConnectRequest, *, timestamp_ms: int) -> Start:
    """Return what a client is told first.

    Raises:
        NotFound: The client was connected to a thread that no longer exists.
        CursorAhead: No event has the client's cursor.
    """
    after = request.after
    if after is not None and after.cursor.ordinal and not after.remaining:
        # It has seen the whole opening.
        return Start((), after.cursor, after.cursor.ordinal, follows=True)
    opening = await _opening(source, request, timestamp_ms)
    if after is None:
        return opening.whole()
    if after.cursor == opening.cursor:
        return opening.last(after.remaining)
    if after.cursor.ordinal == 0:
        return opening.without_start() if after.remaining else opening.whole()
    return await _overtaken(source, after, opening, request, timestamp_ms)


@dataclass(frozen=True, slots=True)
class _Opening:
    cursor: Cursor
    ordinal: int
    started: bytes
    snapshots: tuple[bytes, ...]
    finale: tuple[bytes, ...]
    """What is opened again, or the terminal event."""
    live: bool

    def whole(self) -> Start:
        return self._start((self.started, *self.snapshots, *self.finale))

    def without_start(self) -> Start:
        return self._start((*self.snapshots, *self.finale))

    def last(self, count: int) -> Start:
        events = self.whole().events
        return self._start(events[max(len(events) - count, 0) :])

    def _start(self, events: tuple[bytes, ...]) -> Start:
        return Start(events, self.cursor, self.ordinal, follows=self.live)


async def _opening(source: ConnectSource, request: ConnectRequest, timestamp_ms: int) -> _Opening:
    history = await source.history(request.limit)
    if history is None:
        if request.after is not None and request.after.cursor.ordinal:
            raise NotFound("No such thread.")
        history = _empty_history(request.thread_id)
    head = Cursor.parse(history.cursor)
    live = history.active_run is not None
    run = await _shown_run(source, history, head)
    if run is None:
        run = LoggedRun(0, request.run_id or f"connect-{timestamp_ms}", SUCCEEDED, 0, None)
    # RUN_STARTED of a queued run is told before it is in the log.
    cursor = max(head, Cursor(run.ordinal, 1)) if live else head
    log = RunStructure()
    if run.ordinal:
        log = await source.structure(cursor if live else Cursor(run.ordinal, run.last_seq))
    place = _Place(request.thread_id, run, timestamp_ms)
    told = history.wire()
    said: Said = {}
    if live:
        told["messages"], said = emptied(told["messages"], log)
    return _Opening(
        cursor=cursor,
        ordinal=run.ordinal,
        started=_started(place, log),
        snapshots=_snapshots(told, timestamp_ms),
        finale=reopened(log, said, timestamp_ms)
        if live
        else (_terminal(place, log, told["pendingInterrupts"]),),
        live=live,
    )


def _empty_history(thread_id: str) -> HistorySnapshotResponse:
    return HistorySnapshotResponse(
        thread_id=thread_id,
        messages=[],
        pending_interrupts=[],
        cursor=str(Cursor.START),
        usage=ThreadUsage(),
    )


async def _shown_run(
    source: ConnectSource, history: HistorySnapshotResponse, head: Cursor
) -> LoggedRun | None:
    if not head.ordinal:
        return None
    # Not always the last one: a run that was cancelled while it waited has ended after it.
    asks = history.active_run is None and history.pending_interrupts
    asking = await source.find_asking_run() if asks else None
    return asking or await source.find_run(head.ordinal)


async def _overtaken(
    source: ConnectSource,
    after: ConnectCursor,
    opening: _Opening,
    request: ConnectRequest,
    timestamp_ms: int,
) -> Start:
    """Return the rest of an opening that was made when the log ended at an earlier cursor."""
    run = await source.find_run(after.cursor.ordinal)
    if run is None or after.cursor > max(opening.cursor, Cursor(run.ordinal, run.last_seq)):
        raise CursorAhead("No event has this cursor. Connect again without Last-Event-ID.")
    place = _Place(request.thread_id, run, timestamp_ms)
    log = await source.structure(Cursor(run.ordinal, run.last_seq))
    closed = run.ended and after.cursor.seq >= run.last_seq
    finale = (
        (_terminal(place, log, []),) if closed else await _reopened_at(source, after.cursor, timestamp_ms)
    )
    if after.remaining <= len(finale):
        left = finale[len(finale) - after.remaining :]
        return Start(left, after.cursor, run.ordinal, follows=not closed)
    if run.ordinal == opening.ordinal:
        return opening.without_start()
    # The thread has gone on with another run. The client's run is closed; the client connects again for the other one.
    events = (*opening.snapshots, _terminal(place, log, []))
    return Start(events, Cursor(run.ordinal, run.last_seq), run.ordinal, follows=False)


async def _reopened_at(source: ConnectSource, cursor: Cursor, timestamp_ms: int) -> tuple[bytes, ...]:
    """Return what an opening at an earlier cursor opened again."""
    log = await source.structure(cursor)
    if not log.open:
        return reopened(log, {}, timestamp_ms)
    _, said = emptied(await source.messages(cursor), log)
    return reopened(log, said, timestamp_ms)


# --- the events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    thread_id: str
    run: LoggedRun
    timestamp_ms: int

    def of_run(self, type_: str) -> dict[str, Any]:
        return {"type": type_, "threadId": self.thread_id, "runId": self.run.run_id}

    def event(self, body: dict[str, Any]) -> bytes:
        return orjson.dumps(body | {"timestamp": self.timestamp_ms})


def _started(place: _Place, log: RunStructure) -> bytes:
    if log.first is not None and log.first.startswith(_STARTED):
        return log.first
    return place.event(place.of_run("RUN_STARTED") | {"protocolVersion": PROTOCOL_VERSION})


def _snapshots(told: dict[str, Any], timestamp_ms: int) -> tuple[bytes, ...]:
    """Return the snapshots of a history in wire form; the one of the messages is the last."""
    bodies: list[dict[str, Any]] = []
    if told.get("state") is not None:
        bodies.append({"type": "STATE_SNAPSHOT", "snapshot": told["state"]})
    if told.get("hasMore"):
        value = {"hasMore": True, "nextBefore": told["nextBefore"]}
        bodies.append({"type": "CUSTOM", "name": HISTORY_EVENT, "value": value})
    bodies.append({"type": "MESSAGES_SNAPSHOT", "messages": told["messages"]})
    return tuple(orjson.dumps(body | {"timestamp": timestamp_ms}) for body in bodies)


def _terminal(place: _Place, log: RunStructure, asked: list[Any]) -> bytes:
    """Return the last event of a run that has ended: the stored one, if it is there and still true.

    Args:
        place: The run.
        log: Its structure.
        asked: The open questions of the thread, as AG-UI's ``Interrupt``.
    """
    run = place.run
    stored = log.last if log.last is not None and log.last.startswith(_TERMINAL) else None
    if stored is not None and run.status != INTERRUPTED and not asked:
        return stored
    if run.status == FAILED and not asked:
        error = {
            "type": "RUN_ERROR",
            "message": "The run failed.",
            "code": run.error_code or "internal-error",
        }
        return place.event(error)
    outcome: dict[str, Any] = {"type": "success"}
    if asked:
        outcome = {"type": "interrupt", "interrupts": asked}
    elif run.status in (CANCELLED, INTERRUPTED):
        # Its questions were withdrawn, have expired, or were answered by a later run.
        outcome = {"type": "cancelled"}
    body = place.of_run("RUN_FINISHED")
    if stored is not None and run.status == INTERRUPTED:
        body = orjson.loads(stored)
    return place.event(body | {"outcome": outcome})
