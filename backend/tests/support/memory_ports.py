"""The two ports in memory: for tests of the routes, without Postgres, Redis or an agent.

Keeps the promises that callers can see: idempotency, one live run a thread,
foreign looks like absent, exact suffixes from any cursor. Loses everything at
the end of the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from core.agentscope.events.run_status import LIVE, QUEUED, RUNNING, SUCCEEDED
from core.agentscope.schemas.accepted import AcceptedRun
from core.agentscope.schemas.agent_runtime import (
    ActiveRun,
    HistorySnapshotResponse,
    RunCommand,
    RunStatus,
    RunStatusResponse,
    ThreadUsage,
)
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.links import events_url
from core.errors import CursorAhead, IdempotencyMismatch, NotFound, RunActive, RunAlreadyFinished
from core.identity import Principal


@dataclass
class MemoryRun:
    """One run and what it has said."""

    run_id: str
    ordinal: int
    command: RunCommand
    status: RunStatus = QUEUED
    events: list[bytes] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.status in LIVE


@dataclass
class MemoryThread:
    """The runs of a thread, by their ordinals from 1."""

    thread_id: str
    runs: list[MemoryRun] = field(default_factory=list)


class MemoryRuns:
    """``RunGateway``, ``EventsFacade``, ``ThreadHistory`` and ``RunDirectory`` over dictionaries."""

    def __init__(self, draining: asyncio.Event | None = None) -> None:
        self._threads: dict[tuple[Principal, str], MemoryThread] = {}
        self._accepted: dict[tuple[Principal, str], tuple[bytes, AcceptedRun]] = {}
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
        """Append events to the thread's newest run."""
        run = self._thread(principal, thread_id).runs[-1]
        run.status = RUNNING
        for body in bodies:
            event_id = f"id: {run.ordinal}-{len(run.events) + 1}\n".encode()
            run.events.append(event_id + b"data: " + orjson.dumps(body) + b"\n\n")
        self._announce()

    def end(self, principal: Principal, thread_id: str, status: RunStatus = SUCCEEDED) -> None:
        """End the thread's newest run with its terminal event."""
        self.say(principal, thread_id, {"type": "RUN_FINISHED"})
        self._thread(principal, thread_id).runs[-1].status = status
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
        return self._thread(principal, thread_id)

    def drop(self, principal: Principal, thread_id: str) -> None:
        """Forget a thread."""
        del self._threads[principal, thread_id]

    # --- RunGateway ---

    async def accept(
        self, principal: Principal, command: RunCommand, *, idempotency_key: str, request_hash: bytes
    ) -> AcceptedRun:
        known = self._accepted.get((principal, idempotency_key))
        if known is not None and not command.resume:
            first_hash, first = known
            if first_hash != request_hash:
                raise IdempotencyMismatch("The key belongs to another body.")
            return AcceptedRun(
                first.task_id, first.thread_id, first.run_id, first.status, first.ordinal, created=False
            )
        thread_id, run_id = command.thread_id or "", command.run_id or ""
        thread = self._threads.setdefault((principal, thread_id), MemoryThread(thread_id))
        if thread.runs and thread.runs[-1].live:
            live = thread.runs[-1]
            raise RunActive("A run is live.", runId=live.run_id, eventsUrl=events_url(thread_id, live.run_id))
        run = MemoryRun(run_id, len(thread.runs) + 1, command)
        thread.runs.append(run)
        self._announce()
        accepted = AcceptedRun(f"task-{run_id}", thread_id, run_id, QUEUED, run.ordinal, created=True)
        self._accepted[principal, idempotency_key] = request_hash, accepted
        return accepted

    async def cancel(
        self, principal: Principal, thread_id: str, run_id: str, *, withdraw: bool = True
    ) -> RunStatus:
        self.cancelled.append(run_id)
        run = self._run(principal, thread_id, run_id)
        if not run.live:
            raise RunAlreadyFinished("The run has ended.")
        return run.status

    # --- EventsFacade ---

    async def follow(
        self, principal: Principal, thread_id: str, *, run_id: str | None, cursor: Cursor | None
    ) -> AsyncIterator[bytes] | None:
        thread = self._thread(principal, thread_id)
        run = thread.runs[-1] if run_id is None else self._run(principal, thread_id, run_id)
        start = cursor or Cursor(run.ordinal, 0)
        if start > Cursor(len(thread.runs), len(thread.runs[-1].events)):
            raise CursorAhead("No event has this cursor.")
        if run_id is not None and not run.live and start >= Cursor(run.ordinal, len(run.events)):
            return None
        return self._frames(thread, start, run if run_id else None)

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int, before: str | None
    ) -> HistorySnapshotResponse:
        thread = self._thread(principal, thread_id)
        newest = thread.runs[-1]
        messages = [message.wire() for run in thread.runs for message in run.command.messages]
        return HistorySnapshotResponse(
            thread_id=thread_id,
            messages=messages[-limit:],
            pending_interrupts=[],
            active_run=ActiveRun(
                run_id=newest.run_id,
                status=newest.status,
                events_url=events_url(thread_id, newest.run_id),
            )
            if newest.live
            else None,
            cursor=str(Cursor(newest.ordinal, len(newest.events))),
            usage=ThreadUsage(),
        )

    async def get_run(self, principal: Principal, thread_id: str, run_id: str) -> RunStatusResponse:
        run = self._run(principal, thread_id, run_id)
        return RunStatusResponse(
            thread_id=thread_id,
            run_id=run_id,
            task_id=f"task-{run_id}",
            status=run.status,
            attempt=1,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            usage=ThreadUsage(),
            events_url=events_url(thread_id, run_id),
        )

    def _announce(self) -> None:
        # A fresh event each time: whoever took the old one before looking misses nothing.
        self._changed.set()
        self._changed = asyncio.Event()

    def _thread(self, principal: Principal, thread_id: str) -> MemoryThread:
        thread = self._threads.get((principal, thread_id))
        if thread is None:
            raise NotFound("No such thread.")
        return thread

    def _run(self, principal: Principal, thread_id: str, run_id: str) -> MemoryRun:
        for run in self._thread(principal, thread_id).runs:
            if run.run_id == run_id:
                return run
        raise NotFound("No such run in this thread.")

    async def _frames(
        self, thread: MemoryThread, start: Cursor, only: MemoryRun | None
    ) -> AsyncIterator[bytes]:
        ordinal, seq = start.ordinal, start.seq
        self.open_streams += 1
        self.opened.set()
        try:
            yield b"retry: 2000\n\n"
            while not self.draining.is_set():
                changed = self._changed
                run = thread.runs[ordinal - 1]
                for event in run.events[seq:]:
                    seq += 1
                    yield event
                if not run.live and seq == len(run.events):
                    if run is only:
                        return
                    if ordinal < len(thread.runs):
                        ordinal, seq = ordinal + 1, 0
                        continue
                await _either(changed, self.draining)
        finally:
            self.open_streams -= 1


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
