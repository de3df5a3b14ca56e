"""One thread in memory: its runs, messages and interrupts, and the rules by which a run's turn comes and a run ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.event_types import AFFECTED_BEFORE_1_0, EVENT_TYPES
from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.interrupt_body import interrupt_body
from core.agentscope.events.peer_version import downgrade
from core.agentscope.events.run_status import ENDED, LIVE, OUTCOME_STATUS
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas.agent_runtime import (
    ActiveRun,
    AgUiWireEvent,
    InternalRuntimeEvent,
    RunCommand,
    RunStatus,
)
from core.agentscope.schemas.internal_events import InterruptRequested, RunFailed, RunFinished, RunStarted
from core.agentscope.schemas.links import events_url

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Ticks:
    """A clock that goes on by a second whenever it is read: no two things happen at once."""

    def __init__(self) -> None:
        self._seconds = 0

    def __call__(self) -> datetime:
        self._seconds += 1
        return BEGINNING + timedelta(seconds=self._seconds)


@dataclass(eq=False)
class MemoryRun:
    """One run, or one segment of it, and what it has said."""

    run_id: str
    thread_id: str
    command: RunCommand
    messages: list[dict[str, Any]]
    """What it is asked."""
    created_at: datetime
    status: RunStatus = "queued"
    ordinal: int | None = None
    segment: int = 0
    front: bool = False
    cancel_requested: bool = False
    error_code: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    events: list[bytes] = field(default_factory=list)
    """Frames, in the vocabulary that the client of this run understands."""
    fold: HistoryFold = field(default_factory=HistoryFold)
    wire: RunWireState = field(init=False)

    def __post_init__(self) -> None:
        self.wire = RunWireState(self.thread_id, self.run_id)

    @property
    def task_id(self) -> str:
        return f"task-{self.run_id}"

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def append(self, bodies: Iterable[dict[str, Any]]) -> None:
        """Append events in wire form to its log."""
        for body in bodies:
            event_id = f"id: {self.ordinal}-{len(self.events) + 1}\n".encode()
            payload = orjson.dumps(body)
            if self.command.protocol_version is None and body["type"] in AFFECTED_BEFORE_1_0:
                payload = downgrade(payload)
            self.events.append(event_id + b"data: " + payload + b"\n\n")
            if body["type"] in EVENT_TYPES:
                self.fold.apply(AgUiWireEvent(body["type"], body))

    def encode(self, events: Iterable[InternalRuntimeEvent]) -> list[dict[str, Any]]:
        """Return the wire form of what a worker says."""
        return [item.body for event in events for item in to_agui_wire(event, self.wire, timestamp_ms=1)]


@dataclass(eq=False)
class MemoryInterrupt:
    """A question and what became of it: ``open``, ``resolved`` or ``cancelled``."""

    asked: InterruptRequested
    run: MemoryRun
    status: str = "open"
    resolved_by: MemoryRun | None = None
    """The run that brought the answer; none when the question was withdrawn."""

    def close(self, status: str, run: MemoryRun | None) -> None:
        self.status, self.resolved_by = status, run


@dataclass(eq=False)
class MemoryThread:
    """A thread; its place in lists is that of its newest activity."""

    thread_id: str
    number: int
    clock: Ticks
    runs: list[MemoryRun] = field(default_factory=list)
    """In the order they were accepted."""
    placed: list[MemoryRun] = field(default_factory=list)
    """In the order of their ordinals, from 1."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    interrupts: list[MemoryInterrupt] = field(default_factory=list)
    title: str | None = None
    state: Any = None
    created_at: datetime = BEGINNING
    updated_at: datetime = BEGINNING
    gone: bool = False
    """Deleted: its streams end."""

    @property
    def live(self) -> MemoryRun | None:
        return next((run for run in self.placed if run.live), None)

    @property
    def open_interrupts(self) -> list[MemoryInterrupt]:
        return [interrupt for interrupt in self.interrupts if interrupt.status == "open"]

    @property
    def waiting(self) -> list[MemoryRun]:
        return [run for run in self.runs if run.status == "waiting"]

    def segments(self, run_id: str) -> list[MemoryRun]:
        return [run for run in self.runs if run.run_id == run_id]

    def active_run(self) -> ActiveRun | None:
        live = self.live
        if live is None:
            return None
        return ActiveRun(
            run_id=live.run_id, status=live.status, events_url=events_url(self.thread_id, live.run_id)
        )

    def pending(self) -> list[dict[str, Any]]:
        """Return the open interrupts as AG-UI shows them."""
        return [
            interrupt_body(**interrupt.asked.model_dump(exclude={"kind", "tool_name", "arguments"}))
            for interrupt in self.open_interrupts
        ]

    def place(self, run: MemoryRun) -> None:
        """Give a run the next ordinal, and its messages their place in history."""
        self.placed.append(run)
        run.ordinal, run.status = len(self.placed), "queued"
        if not run.cancel_requested:
            known = {message["id"] for message in self.messages}
            self.messages += [message for message in run.messages if message["id"] not in known]

    def promote(self) -> None:
        """Let the next waiting run have its turn; those that were cancelled end on the way."""
        while self.live is None and self.waiting:
            turn = min(self.waiting, key=lambda run: (not run.cancel_requested, not run.front))
            if self.open_interrupts and not turn.cancel_requested:
                return
            self.place(turn)
            if turn.cancel_requested:
                self.finish(turn, RunFinished(outcome="cancelled"))

    def start(self, run: MemoryRun) -> None:
        """A worker takes a run."""
        if run.status == "queued":
            run.status, run.started_at = "running", self.clock()

    def finish(self, run: MemoryRun, event: RunFinished | RunFailed) -> None:
        """End a run with everything that an end means."""
        if not run.wire.started:
            started = RunStarted(thread_id=self.thread_id, run_id=run.run_id)
            run.append(run.encode([started]))
        closing = run.encode([event])
        run.append(closing)
        failed = isinstance(event, RunFailed)
        outcome = closing[-1].get("outcome", {}).get("type", "")
        run.error_code = event.code if failed else None
        self.close(run, "failed" if failed else OUTCOME_STATUS[outcome])

    def close(self, run: MemoryRun, status: RunStatus) -> None:
        """Give a run its last status, keep what it said, and go on with the next one."""
        run.status, run.ended_at = status, self.clock()
        self.updated_at = run.ended_at
        self.messages += run.fold.snapshot()
        if status == "interrupted":
            self.interrupts += [MemoryInterrupt(asked, run) for asked in run.wire.interrupts]
        self.promote()

    def stop(self, run: MemoryRun) -> RunStatus:
        """End a queued run at once; ask the worker of a running one; note it for a waiting one."""
        if run.status == "queued":
            self.finish(run, RunFinished(outcome="cancelled"))
            return "cancelled"
        run.cancel_requested = True
        if run.status == "running":
            return "running"
        self.promote()
        return "waiting" if run in self.waiting else "cancelled"


def said_from(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Return the texts of messages."""
    return [message["content"] for message in messages if isinstance(message.get("content"), str)]
