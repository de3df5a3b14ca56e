"""Codec, store and bus in one stated order: turns internal events into durable AG-UI events.

Store before bus: a reader that reconnects must find every event that it was shown before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.append_writer import RunAppender
from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.events.event_types import EVENT_TYPES
from core.agentscope.events.history_fold import HistoryFold
from core.agentscope.events.ledger.counted_calls import note_call
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.run_status import FAILED, OUTCOME_STATUS
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ModelUsage, RunFailed, RunFinished, ToolResult
from core.errors import RunFailure
from core.outage import report_failure

EndRun = Callable[[RunEnd], Awaitable[None]]
RecordCalls = Callable[[Sequence[ModelUsage]], Awaitable[None]]


class AgentScopeEventPipeline:
    """The way of one run's events: codec → store → bus.

    Despite its name it may not import AgentScope: import-linter holds that.

    Args:
        state: What the run's stream has open.
        appender: The run's place in the process' group commit.
        end_run: T-end, in one transaction; raises ``LeaseLost``.
        record_calls: Puts model calls into the ledger as they end, so that a
            crash later in the run loses none.
    """

    def __init__(
        self,
        state: RunWireState,
        appender: RunAppender,
        *,
        end_run: EndRun,
        record_calls: RecordCalls,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._appender = appender
        self._end_run = end_run
        self._record_calls = record_calls
        self._clock = clock
        self._visible = False
        self._fold = HistoryFold()
        self._usages: list[ModelUsage] = []
        self._tool_ms = 0
        self._recording: set[asyncio.Task[None]] = set()
        self._deltas_seen: set[str] = set()
        self._broken: RunFailure | None = None
        """Why an event could not be logged: what the pipeline knows is then ahead of the log."""

    @property
    def visible(self) -> bool:
        """Whether readers were shown more than ``RUN_STARTED``."""
        return self._visible

    @property
    def message_ids(self) -> tuple[str, ...]:
        """Ids of the messages emitted so far, oldest first."""
        return tuple(message["id"] for message in self._fold.messages)

    async def emit(self, event: InternalRuntimeEvent) -> None:
        """Turn an internal event into AG-UI events and put them on their way.

        Returns at once for most events. Returns after the commit for the end
        and the result of a tool call: a tool starts only after its call is
        durable. Waits while the run holds more undurable bytes than it may.

        Raises:
            LeaseLost: Another worker owns the run now; nothing more is written.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
            OutputTooLarge, OutputNotStorable: The event cannot be logged; nothing more is written.
            ValueError: ``event`` is terminal; use ``finish``.
        """
        if isinstance(event, RunFinished | RunFailed):
            raise ValueError("a terminal event ends the run: use finish()")
        if isinstance(event, ModelUsage):
            self._keep(event)
        if isinstance(event, ToolResult) and event.subagent_run_id is None:
            # A subagent's tools ran within the call that it answers.
            self._tool_ms += event.duration_ms or 0
        if self._broken is not None:
            raise self._broken
        wire = self._encode(event)
        try:
            self._appender.append(wire, urgent=self._is_urgent(wire))
        except RunFailure as exc:
            self._broken = exc
            raise
        if event.durable_first:
            await self._appender.durable()
        else:
            await self._appender.room()

    async def durable(self) -> None:
        """Return when everything emitted so far is committed."""
        await self._appender.durable()

    async def finish(self, event: RunFinished | RunFailed, checkpoint: Checkpoint | None = None) -> None:
        """End the run: what is not committed yet, the closing events and the terminal one, together.

        Raises:
            LeaseLost: Another worker owns the run now; nothing was written.
            StoreUnavailable: Postgres was unavailable for longer than a run may wait.
            OutputTooLarge, OutputNotStorable: An event could not be logged. The log has everything before it, and the
                run has to be ended from its log.
        """
        if self._broken is not None:
            await self._appender.durable()
            await self.settle()
            raise self._broken
        pending = await self._appender.take()
        closing = self._encode(event)
        await self.settle()
        failed = isinstance(event, RunFailed)
        await self._end_run(
            RunEnd(
                status=FAILED if failed else OUTCOME_STATUS[_outcome(closing, event.outcome)],
                events=[*pending, *closing],
                messages=self._fold.snapshot(),
                error_code=event.code if failed else None,
                interrupts=() if failed or event.outcome != "interrupt" else tuple(self._state.interrupts),
                usages=tuple(self._usages),
                tool_ms=self._tool_ms,
                checkpoint=checkpoint,
                state=self._fold.state,
                state_changed=self._fold.state_changed,
                base=self._appender.last_seq,
            )
        )

    def _encode(self, event: InternalRuntimeEvent) -> list[AgUiWireEvent]:
        wire = to_agui_wire(event, self._state, timestamp_ms=int(self._clock() * 1000))
        for item in wire:
            self._fold.apply(item)
            self._visible = self._visible or item.type != "RUN_STARTED"
        return wire

    def _is_urgent(self, wire: Sequence[AgUiWireEvent]) -> bool:
        """Tell whether events go out at once: all but the deltas that continue what is shown already."""
        first = bool(wire) and self._is_first_delta(wire[-1])
        return first or any(not EVENT_TYPES[item.type].growing for item in wire)

    def _is_first_delta(self, event: AgUiWireEvent) -> bool:
        """Tell whether a message or a call begins to show: the moment a user waits for."""
        row = EVENT_TYPES[event.type]
        item = row.item_of(event.body)
        if not row.growing or item in self._deltas_seen:
            return False
        self._deltas_seen.add(item)
        return True

    async def settle(self) -> None:
        """Return when every model call emitted is in the ledger or could not be written."""
        if self._recording:
            await asyncio.wait(self._recording)

    def _keep(self, usage: ModelUsage) -> None:
        self._usages.append(usage)
        note_call(usage)
        task = asyncio.create_task(self._record(usage))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _record(self, usage: ModelUsage) -> None:
        try:
            await self._record_calls([usage])
        except Exception as exc:  # noqa: BLE001  T-end writes the same rows again; this one only saves them from a crash
            report_failure("model_call_not_recorded_yet", exc)


def _outcome(closing: Sequence[AgUiWireEvent], asked: str) -> str:
    """Return the outcome the codec wrote; an interrupt without a question is a success."""
    body: dict[str, Any] = closing[-1].body if closing else {}
    return body.get("outcome", {}).get("type", asked)
