"""The ports of runs in memory: for tests of the routes, without Postgres, Redis or an agent.

``tests/integration/v1/agent/test_ports_contract.py`` runs the same tests against
these and the real ones, so they keep the same promises: idempotency, one live run
a thread, runs that wait, interrupts, exact suffixes from any cursor, foreign looks
like absent. Not modelled: limits and budgets, regeneration, client tools, a
client's copy of the thread, retention. Everything is lost with the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests.support.memory_answers import check_answers
from tests.support.memory_connect import once, open_connect
from tests.support.memory_thread import MemoryRun, MemoryThread, Ticks

from core.agentscope.events.connect import ConnectRequest
from core.agentscope.runtime.accept.new_messages import select_new_messages
from core.agentscope.runtime.accept.refusals import MAX_WAITING
from core.agentscope.runtime.profile.agents import DEFAULT_ID
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    HistorySnapshotResponse,
    InternalRuntimeEvent,
    RunCommand,
    RunStatus,
    RunStatusResponse,
    ThreadUsage,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.internal_events import RunFailed, RunFinished
from core.agentscope.schemas.links import events_url, history_url
from core.agentscope.schemas.messages import ToolMessage, UserMessage
from core.agentscope.schemas.page_place import NumberPlace
from core.agentscope.schemas.runs import RunListResponse
from core.agentscope.schemas.titles import title_of
from core.errors import (
    CursorAhead,
    IdempotencyMismatch,
    InterruptOpen,
    InvalidRequest,
    NotFound,
    QueueFull,
    RunActive,
    RunAlreadyFinished,
)
from core.identity import Principal
from core.validation import read_parameter
from core.webhooks.run_webhook import RunWebhook


class MemoryRuns:
    """``RunGateway``, ``EventsFacade``, ``ThreadHistory`` and ``RunDirectory`` over dictionaries."""

    def __init__(self, draining: asyncio.Event | None = None) -> None:
        self._threads: dict[tuple[Principal, str], MemoryThread] = {}
        self._accepted: dict[tuple[Principal, str], list[tuple[bytes, MemoryRun]]] = {}
        self._clock = Ticks()
        self._numbers = 0
        self.draining: asyncio.Event = draining or asyncio.Event()
        """Ends every open stream once set."""
        self._changed = asyncio.Event()
        self.opened = asyncio.Event()
        """Set once a stream has been opened."""
        self.open_streams: int = 0
        self.cancelled: list[str] = []
        """Runs asked to stop, once for each time."""

    # --- what a worker would do ---

    def say(self, principal: Principal, thread_id: str, *bodies: dict[str, Any]) -> None:
        """Append events in wire form to the thread's live run."""
        thread, run = self._live(principal, thread_id)
        thread.start(run)
        run.append(bodies)
        self._announce()

    def end(self, principal: Principal, thread_id: str, status: RunStatus = "succeeded") -> None:
        """End the thread's live run with a bare terminal event."""
        thread, run = self._live(principal, thread_id)
        self.say(principal, thread_id, {"type": "RUN_FINISHED"})
        thread.close(run, status)
        self._announce()

    def work(self, principal: Principal, thread_id: str, *events: InternalRuntimeEvent) -> None:
        """Let the thread's live run say something, also its end."""
        thread, run = self._live(principal, thread_id)
        thread.start(run)
        for event in events:
            if isinstance(event, RunFinished | RunFailed):
                thread.finish(run, event)
            else:
                run.append(run.encode([event]))
        self._announce()

    # --- what the threads are made of ---

    def threads_of(self, principal: Principal) -> list[MemoryThread]:
        """Return a user's threads, in the order they began."""
        return [thread for (owner, _), thread in self._threads.items() if owner == principal]

    def thread_of(self, principal: Principal, thread_id: str) -> MemoryThread:
        """Return a user's thread.

        Raises:
            NotFound: The user has no such thread.
        """
        thread = self._threads.get((principal, thread_id))
        if thread is None:
            raise NotFound("No such thread.")
        return thread

    def drop(self, principal: Principal, thread_id: str) -> None:
        """End what is unended, then forget a thread and the keys of its runs."""
        thread = self.thread_of(principal, thread_id)
        for interrupt in thread.open_interrupts:
            interrupt.close("cancelled", None)
        for run in thread.waiting:
            run.cancel_requested = True
        if (live := thread.live) is not None:
            thread.finish(live, RunFinished(outcome="cancelled"))
        thread.promote()
        thread.gone = True
        del self._threads[principal, thread_id]
        self._accepted = {
            key: left
            for key, found in self._accepted.items()
            if (left := [entry for entry in found if entry[1] not in thread.runs])
        }
        self._announce()

    # --- RunGateway ---

    async def accept(
        self,
        principal: Principal,
        command: RunCommand,
        *,
        idempotency_key: str,
        request_hash: bytes,
        webhook: RunWebhook | None = None,
    ) -> AcceptedRun:
        repeat = await self.find_accepted(
            principal, command, idempotency_key=idempotency_key, request_hash=request_hash
        )
        if repeat is not None:
            return repeat
        known = self._accepted.get((principal, idempotency_key), [])
        thread_id = command.thread_id or ""
        thread = self._threads.get((principal, thread_id)) or MemoryThread(
            thread_id, self._numbers + 1, self._clock
        )
        segment = _segment(thread, command, known)
        live = _live_run_in_the_way(thread, command)
        now = self._clock()
        answers = []
        if live is None and command.resume:
            answers = check_answers(thread, command.resume)
        elif live is None and command.options().on_interrupt != "cancel" and thread.open_interrupts:
            ids = [interrupt.asked.interrupt_id for interrupt in thread.open_interrupts]
            raise InterruptOpen("The thread waits for an answer.", interruptIds=ids)
        messages = _messages(thread, command)
        if live is not None and any(message["role"] == "tool" for message in messages):
            raise _run_active(thread, live)
        run = MemoryRun(command.run_id or "", thread_id, command, messages, now, segment=segment)
        self._keep(principal, thread)
        thread.runs.append(run)
        self._accepted.setdefault((principal, idempotency_key), []).append((request_hash, run))
        if live is None:
            for interrupt, status in answers:
                interrupt.close(status, run)
            for interrupt in thread.open_interrupts:
                interrupt.close("cancelled", run)
            thread.place(run)
            thread.updated_at = now
        else:
            run.status, run.front = "waiting", command.options().on_busy == "supersede"
            if run.front:
                thread.stop(live)
        if thread.title is None:
            asked = (message for message in command.messages if isinstance(message, UserMessage))
            thread.title = next((title for message in asked if (title := title_of(message))), None)
        self._announce()
        return _accepted(run, created=True)

    async def find_accepted(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun | None:
        known = self._accepted.get((principal, idempotency_key), [])
        for first_hash, run in known:
            if first_hash == request_hash:
                return _accepted(run, created=False)
        if known and not command.resume:
            raise IdempotencyMismatch("The key belongs to another body.")
        return None

    async def cancel(
        self, principal: Principal, thread_id: str, run_id: str, *, withdraw: bool = True
    ) -> RunStatus:
        self.cancelled.append(run_id)
        thread, run = self._newest(principal, thread_id, run_id)
        if withdraw and run.status == "interrupted" and _withdraw(thread, run):
            self._announce()
            return "cancelled"
        if run.ended:
            if run.status == "cancelled":
                return "cancelled"
            raise RunAlreadyFinished("The run has ended.")
        status = thread.stop(run)
        self._announce()
        return status

    # --- EventsFacade ---

    async def follow(
        self, principal: Principal, thread_id: str, *, run_id: str | None, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        thread = self.thread_of(principal, thread_id)
        segments = None if run_id is None else thread.segments(run_id)
        if segments == []:
            raise NotFound("No such run in this thread.")
        if segments and any(run.ordinal is None for run in segments):
            return self._frames(thread, cursor, segments)
        newest = Cursor(len(thread.placed), len(thread.placed[-1].events) if thread.placed else 0)
        start = _start(thread, segments, cursor)
        if start > newest:
            raise CursorAhead("No event has this cursor.", historyUrl=history_url(thread_id))
        if segments and all(run.ended for run in segments):
            last = segments[-1]
            if start >= Cursor(last.ordinal or 0, len(last.events)):
                return None
        return self._frames(thread, start, segments)

    def follow_new(
        self, principal: Principal, run: AcceptedRun, *, protocol_version: str | None
    ) -> AsyncIterator[bytes]:
        thread = self.thread_of(principal, run.thread_id)
        start = None if run.ordinal is None else Cursor(run.ordinal, 0)
        return self._frames(thread, start, thread.segments(run.run_id))

    async def connect(self, principal: Principal, request: ConnectRequest) -> AsyncIterator[bytes] | None:
        thread = self._threads.get((principal, request.thread_id))
        history = thread and await self.history(
            principal, request.thread_id, limit=request.limit, before=None
        )
        start, opening = await open_connect(thread, history, request)
        if thread is not None and start.follows:
            run = thread.placed[start.ordinal - 1]
            if not run.ended or start.cursor.seq < len(run.events):
                return self._frames(thread, start.cursor, [run], opening)
        return once(opening) if opening else None

    # --- ThreadHistory, RunDirectory ---

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> HistorySnapshotResponse:
        thread = self.thread_of(principal, thread_id)
        older = thread.messages
        if before is not None:
            places = [place for place, message in enumerate(older) if message["id"] == before]
            if not places:
                raise InvalidRequest(
                    "'before' is not in this thread's history.",
                    errors=[{"pointer": "/query/before", "message": "not a message of this thread"}],
                )
            older = older[: places[0]]
        page = older[-limit:]
        more = len(older) > limit
        live = thread.live
        said = [] if live is None or before is not None else live.fold.snapshot()
        newest = thread.placed[-1] if thread.placed else None
        return HistorySnapshotResponse(
            thread_id=thread_id,
            agent_id=DEFAULT_ID,
            title=thread.title,
            messages=[*page, *said],
            state=thread.state,
            pending_interrupts=thread.pending(),
            active_run=thread.active_run(),
            cursor=str(Cursor(len(thread.placed), len(newest.events) if newest else 0)),
            has_more=more,
            next_before=page[0]["id"] if more else None,
            usage=ThreadUsage(),
        )

    async def get_run(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        thread, run = self._newest(principal, thread_id, run_id)
        return _status(thread, run)

    async def list_runs(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> RunListResponse:
        thread = self.thread_of(principal, thread_id)
        newest = {run.run_id: (number, run) for number, run in enumerate(thread.runs, start=1)}
        found = sorted(newest.values(), key=lambda entry: entry[0], reverse=True)
        if (place := read_parameter("before", before, NumberPlace.parse)) is not None:
            found = [(number, run) for number, run in found if number < place.number]
        page = found[:limit]
        return RunListResponse(
            runs=[_status(thread, run) for _, run in page],
            next_before=str(NumberPlace(page[-1][0])) if len(found) > limit else None,
        )

    def _announce(self) -> None:
        # A fresh event each time: whoever took the old one before looking misses nothing.
        self._changed.set()
        self._changed = asyncio.Event()

    def _keep(self, principal: Principal, thread: MemoryThread) -> None:
        if (principal, thread.thread_id) not in self._threads:
            self._numbers += 1
            thread.created_at = thread.updated_at = self._clock()
            self._threads[principal, thread.thread_id] = thread

    def _live(self, principal: Principal, thread_id: str) -> tuple[MemoryThread, MemoryRun]:
        thread = self.thread_of(principal, thread_id)
        live = thread.live
        assert live is not None, f"no run of {thread_id} is live"
        return thread, live

    def _newest(self, principal: Principal, thread_id: str, run_id: str) -> tuple[MemoryThread, MemoryRun]:
        thread = self.thread_of(principal, thread_id)
        segments = thread.segments(run_id)
        if not segments:
            raise NotFound("No such run in this thread.")
        return thread, segments[-1]

    async def _frames(
        self,
        thread: MemoryThread,
        start: Cursor | None,
        only: list[MemoryRun] | None,
        opening: bytes = b"",
    ) -> AsyncIterator[bytes]:
        """Yield what follows ``start``: of some segments of a run until they have ended, or of the whole thread."""
        self.open_streams += 1
        self.opened.set()
        try:
            yield b"retry: 2000\n\n" + opening
            at = start
            while not self.draining.is_set():
                changed = self._changed
                if at is None and only and all(run.ordinal is not None for run in only):
                    at = _start(thread, only, None)
                for run in thread.placed if at is not None else ():
                    ordinal = run.ordinal or 0
                    if (only and run not in only) or (at is not None and ordinal < at.ordinal):
                        continue
                    while at is not None and len(run.events) > (at.seq if at.ordinal == ordinal else 0):
                        seq = at.seq if at.ordinal == ordinal else 0
                        at = Cursor(ordinal, seq + 1)
                        yield run.events[seq]
                if thread.gone or (only and all(run.ended for run in only)):
                    return
                await _either(changed, self.draining)
        finally:
            self.open_streams -= 1


def _segment(thread: MemoryThread, command: RunCommand, known: list[tuple[bytes, MemoryRun]]) -> int:
    named = thread.segments(command.run_id or "") + [run for _, run in known]
    if not named:
        return 0
    if not command.resume or any(run not in thread.runs for run in named):
        raise IdempotencyMismatch("This run id was already used for another request.")
    return max(run.segment for run in named) + 1


def _live_run_in_the_way(thread: MemoryThread, command: RunCommand) -> MemoryRun | None:
    """Return the live run this one will wait behind; ``None`` when it can start at once."""
    live = thread.live
    if live is None:
        return None
    options = command.options()
    if command.resume or options.regenerate_from or options.on_busy == "reject":
        raise _run_active(thread, live)
    if sum(not run.cancel_requested for run in thread.waiting) >= MAX_WAITING:
        raise QueueFull("Too many runs wait on this thread.", retry_after_seconds=5.0)
    return live


def _messages(thread: MemoryThread, command: RunCommand) -> list[dict[str, Any]]:
    """Return the messages that count, by the rules of the real acceptance."""
    known = {message["id"] for message in thread.messages}
    found = select_new_messages(
        command.messages,
        known_ids=known,
        open_tool_calls=(),
        thread_is_new=not thread.placed,
        strict_tool_results=not command.resume,
        run_id=None if command.resume else command.run_id,
    )
    if not found.fresh and not command.resume:
        errors = [{"pointer": "/messages", "message": "no new user message"}]
        raise InvalidRequest("Nothing to answer.", errors=errors)
    messages: list[UserMessage | ToolMessage | Any] = [*found.imported, *found.fresh]
    return [message.wire() for message in messages]


def _run_active(thread: MemoryThread, live: MemoryRun) -> RunActive:
    return RunActive("A run is live.", runId=live.run_id, eventsUrl=events_url(thread.thread_id, live.run_id))


def _withdraw(thread: MemoryThread, run: MemoryRun) -> bool:
    """Take a run's questions back; True when there were any, or they were taken back before."""
    for interrupt in thread.open_interrupts:
        if interrupt.run is run:
            interrupt.close("cancelled", None)
    return any(
        interrupt.run is run and interrupt.status == "cancelled" and interrupt.resolved_by is None
        for interrupt in thread.interrupts
    )


def _start(thread: MemoryThread, segments: list[MemoryRun] | None, cursor: Cursor | None) -> Cursor:
    if segments is not None:
        first = Cursor(min(run.ordinal or 0 for run in segments), 0)
        return first if cursor is None else max(first, cursor)
    return Cursor(len(thread.placed), 0) if cursor is None else cursor


def _accepted(run: MemoryRun, *, created: bool) -> AcceptedRun:
    return AcceptedRun(
        run.task_id, run.thread_id, run.run_id, run.status, run.ordinal, created=created, session_id=0
    )


def _status(thread: MemoryThread, run: MemoryRun) -> RunStatusResponse:
    waits_for = {"queued": "worker", "waiting": "earlier-run", "interrupted": "approval"}.get(run.status)
    if run.status == "waiting" and thread.open_interrupts:
        waits_for = "approval"
    if run.status == "interrupted" and all(asked.run is not run for asked in thread.open_interrupts):
        waits_for = None
    return RunStatusResponse.model_validate(
        {
            "thread_id": run.thread_id,
            "run_id": run.run_id,
            "task_id": run.task_id,
            "agent_id": DEFAULT_ID,
            "status": run.status,
            "waits_for": waits_for,
            "attempt": 0 if run.started_at is None else 1,
            "error_code": run.error_code,
            "cancel_requested": run.cancel_requested,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "usage": ThreadUsage(),
            "events_url": events_url(run.thread_id, run.run_id),
        }
    )


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
