"""Codec, store and bus in one order, and an end that has everything in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from tests.support import internal_event_strategies as any_of
from tests.support.agui_verifier import verify
from tests.support.memory_append_store import MemoryAppendStore, RecordingPublisher

from core.agentscope.events.append_writer import GroupCommitWriter
from core.agentscope.events.checkpoints import Checkpoint
from core.agentscope.events.history_fold import fold
from core.agentscope.events.pipeline import AgentScopeEventPipeline
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.state_parts import StoredState
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.config import WorkerSettings
from core.errors import LeaseLost, OutputTooLarge, StoreUnavailable

SETTINGS = WorkerSettings(flush_interval_seconds=1, outage_seconds=10, max_pending_bytes=1 << 16)
STARTED = internal.RunStarted(thread_id="t-1", run_id="r-1")
USAGE = internal.ModelUsage(call_id="c-1", stage="execution", provider="here", model="small", input_tokens=3)
INTERRUPT = internal.InterruptRequested(
    interrupt_id="int-1",
    reason="tool_approval",
    message="Allow?",
    tool_call_id="call-1",
    tool_name="pay",
    arguments="{}",
    response_schema={},
    expires_at=datetime(2026, 11, 23, tzinfo=UTC),
)


class Run:
    """One run's pipeline over a real writer, and all that came out of it."""

    def __init__(self) -> None:
        self.store = MemoryAppendStore()
        self.publisher = RecordingPublisher(self.store)
        self.writer = GroupCommitWriter(self.store, self.publisher, SETTINGS)
        self.stops = 0
        self.ends: list[RunEnd] = []
        self.ledger: list[internal.ModelUsage] = []
        self.ledger_failure: Exception | None = None
        self.ledger_open = asyncio.Event()
        self.ledger_open.set()
        self.pipeline = AgentScopeEventPipeline(
            RunWireState("t-1", "r-1"),
            self.writer.open(self.store.owned(), self._stop),
            end_run=self._end,
            record_calls=self._record,
            clock=lambda: 12.3456,
        )

    def _stop(self) -> None:
        self.stops += 1

    async def _end(self, end: RunEnd) -> None:
        row = self.store.rows[1]
        if row.attempt != 1:
            raise LeaseLost
        self.ends.append(end)
        row.log += [event.to_json() for event in end.events]
        row.running = False

    async def _record(self, usages: Sequence[internal.ModelUsage]) -> None:
        await self.ledger_open.wait()
        if self.ledger_failure is not None:
            raise self.ledger_failure
        self.ledger += usages

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[AgentScopeEventPipeline]:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run())
            yield self.pipeline
            await self.writer.close()

    @property
    def log(self) -> list[dict[str, Any]]:
        return self.store.rows[1].events

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.log]


@pytest.fixture
def run() -> Run:
    return Run()


def wire(run: Run) -> list[AgUiWireEvent]:
    return [AgUiWireEvent.from_json(payload) for payload in run.store.rows[1].log]


async def test_an_event_that_cannot_be_logged_breaks_the_run_which_then_ends_from_its_log(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(STARTED)
        await pipeline.emit(internal.TextDelta(message_id="m-1", delta="Hi"))
        with pytest.raises(OutputTooLarge):
            await pipeline.emit(internal.CustomEvent(name="big", value="x" * SETTINGS.max_event_bytes))
        with pytest.raises(OutputTooLarge):
            await pipeline.emit(internal.TextDelta(message_id="m-1", delta="more"))
        with pytest.raises(OutputTooLarge):
            await pipeline.emit(USAGE)
        with pytest.raises(OutputTooLarge):
            await pipeline.finish(internal.RunFailed(code="output-too-large", message="Too large."))

    assert run.types == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert (run.ends, run.ledger) == ([], [USAGE])


# --- order and durability --------------------------------------------------------------------


async def test_what_is_shown_is_durable_first_and_carries_the_time(run: Run) -> None:
    async with run.at_work() as pipeline:
        # The publisher refuses what the store does not have.
        await pipeline.emit(STARTED)
        await pipeline.emit(internal.TextDelta(message_id="m", delta="Hi"))
        await pipeline.durable()
        assert run.publisher.shown[1] == run.store.rows[1].log

    assert run.types == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert {event["timestamp"] for event in run.log} == {12345}


@pytest.mark.parametrize(
    "event",
    [
        internal.ToolCallEnded(tool_call_id="call-1"),
        internal.ToolResult(message_id="res-1", tool_call_id="call-1", content="ok"),
    ],
    ids=lambda event: event.kind,
)
async def test_what_the_runtime_acts_on_is_durable_before_emit_returns(
    run: Run, event: InternalRuntimeEvent
) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(internal.ToolCallStarted(tool_call_id="call-1", name="pay"))
        await pipeline.durable()
        run.store.hold.clear()
        emitting = asyncio.create_task(pipeline.emit(event))
        await run.store.held.wait()
        await asyncio.sleep(60)
        assert not emitting.done()
        run.store.hold.set()
        await emitting

        assert run.types[-1] in ("TOOL_CALL_END", "TOOL_CALL_RESULT")


async def test_other_events_do_not_make_the_runtime_wait(run: Run) -> None:
    async with run.at_work() as pipeline:
        run.store.hold.clear()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await pipeline.emit(STARTED)
        await run.store.held.wait()
        await pipeline.emit(internal.TextDelta(message_id="m", delta="Hi"))
        await pipeline.emit(internal.ToolCallStarted(tool_call_id="call-1", name="pay"))
        assert loop.time() == began
        run.store.hold.set()


async def test_a_run_that_writes_faster_than_postgres_waits(run: Run) -> None:
    async with run.at_work() as pipeline:
        run.store.hold.clear()
        await pipeline.emit(STARTED)
        await run.store.held.wait()
        emitting = asyncio.create_task(
            pipeline.emit(internal.TextDelta(message_id="m", delta="x" * SETTINGS.max_pending_bytes))
        )
        await asyncio.sleep(60)
        assert not emitting.done()
        run.store.hold.set()
        await emitting


@pytest.mark.parametrize(
    ("event", "at_once"),
    [
        (internal.TextDelta(message_id="new", delta="Hi"), True),
        (internal.TextDelta(message_id="m", delta="more"), False),
        (internal.ReasoningDelta(message_id="new", delta="Hm"), True),
        (internal.ReasoningDelta(message_id="s", delta="more"), False),
        (internal.ToolCallArguments(tool_call_id="call-1", delta="1"), False),
        (internal.ToolCallStarted(tool_call_id="new", name="pay"), True),
        (internal.StepStarted(name="report"), True),
        (internal.TextEnded(message_id="m"), True),
    ],
    ids=lambda value: value if isinstance(value, bool) else value.kind,
)
async def test_the_first_delta_of_a_message_is_urgent_and_the_next_ones_are_not(
    run: Run, event: InternalRuntimeEvent, at_once: bool
) -> None:
    async with run.at_work() as pipeline:
        for before in (
            internal.TextDelta(message_id="m", delta="Hi"),
            internal.ReasoningDelta(message_id="s", delta="Hm"),
            internal.ToolCallStarted(tool_call_id="call-1", name="pay"),
            internal.ToolCallArguments(tool_call_id="call-1", delta="["),
        ):
            await pipeline.emit(before)
        await pipeline.durable()
        before_it = len(run.log)
        await pipeline.emit(event)
        await asyncio.sleep(SETTINGS.flush_interval_seconds / 2)

        assert (len(run.log) > before_it) is at_once


# --- the end ------------------------------------------------------------------------------------


async def test_the_end_has_the_waiting_events_the_closing_ones_and_the_terminal_one(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(STARTED)
        await pipeline.emit(internal.StepStarted(name="execution"))
        await pipeline.durable()
        await pipeline.emit(internal.TextDelta(message_id="m", delta="Hel"))
        await pipeline.emit(internal.TextDelta(message_id="m", delta="lo"))
        checkpoint = Checkpoint("2.0.10", StoredState("{}", b""))
        await pipeline.finish(internal.RunFinished(), checkpoint)

    (end,) = run.ends
    assert [event.type for event in end.events] == [
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "RUN_FINISHED",
    ]
    assert (end.status, end.error_code, end.checkpoint) == ("succeeded", None, checkpoint)
    assert end.messages == fold(wire(run)) == [{"id": "m", "role": "assistant", "content": "Hello"}]


async def test_the_end_waits_for_the_flush_under_way_and_does_not_write_it_again(run: Run) -> None:
    async with run.at_work() as pipeline:
        run.store.hold.clear()
        await pipeline.emit(STARTED)
        await run.store.held.wait()
        ending = asyncio.create_task(pipeline.finish(internal.RunFinished()))
        await asyncio.sleep(60)
        assert run.ends == []
        run.store.hold.set()
        await ending

    assert run.types == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (internal.RunFinished(), "succeeded", None),
        (internal.RunFinished(outcome="cancelled"), "cancelled", None),
        (internal.RunFinished(outcome="interrupt"), "interrupted", None),
        (internal.RunFailed(code="model-timeout", message="Too slow."), "failed", "model-timeout"),
    ],
)
async def test_the_status_says_how_it_ended(
    run: Run, event: internal.RunFinished | internal.RunFailed, status: str, code: str | None
) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(INTERRUPT)
        await pipeline.finish(event)

    (end,) = run.ends
    assert (end.status, end.error_code) == (status, code)
    assert end.interrupts == ((INTERRUPT,) if status == "interrupted" else ())


async def test_an_interrupt_without_a_question_is_a_success(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.finish(internal.RunFinished(outcome="interrupt"))

    assert (run.ends[0].status, run.ends[0].interrupts) == ("succeeded", ())


async def test_the_last_state_of_the_run_belongs_to_its_end(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(internal.StateSnapshot(snapshot={"a": 1}))
        await pipeline.emit(internal.StateDelta(delta=[{"op": "replace", "path": "/a", "value": 2}]))
        await pipeline.finish(internal.RunFinished())

    assert (run.ends[0].state, run.ends[0].state_changed) == ({"a": 2}, True)


@pytest.mark.parametrize("event", [internal.RunFinished(), internal.RunFailed(code="x", message="y")])
async def test_a_terminal_event_is_refused_by_emit(
    run: Run, event: internal.RunFinished | internal.RunFailed
) -> None:
    async with run.at_work() as pipeline:
        with pytest.raises(ValueError, match="finish"):
            await pipeline.emit(event)
        await pipeline.finish(event)

    assert len(run.ends) == 1


@settings(max_examples=60, deadline=None)
@given(any_of.runs, any_of.terminals)
async def test_whatever_a_run_says_its_log_is_official_and_its_messages_are_the_fold(
    events: list[InternalRuntimeEvent], end: internal.RunFinished | internal.RunFailed
) -> None:
    run = Run()
    async with run.at_work() as pipeline:
        for event in events:
            await pipeline.emit(event)
        await pipeline.finish(end)

    verify(run.log)
    assert run.ends[0].messages == fold(wire(run))
    assert list(run.ends[0].usages) == [event for event in events if isinstance(event, internal.ModelUsage)]


# --- usage ----------------------------------------------------------------------------------------


async def test_a_model_call_is_in_the_ledger_before_the_run_ends_and_in_its_end(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(USAGE)
        await pipeline.durable()
        assert run.ledger == [USAGE]
        await pipeline.finish(internal.RunFinished())

    assert run.ends[0].usages == (USAGE,)
    assert run.log[-1]["usage"][0]["inputTokens"] == 3


async def test_the_end_comes_after_the_ledger_s_writes_under_way(run: Run) -> None:
    async with run.at_work() as pipeline:
        run.ledger_open.clear()
        await pipeline.emit(USAGE)
        ending = asyncio.create_task(pipeline.finish(internal.RunFinished()))
        await asyncio.sleep(60)
        assert run.ends == []
        run.ledger_open.set()
        await ending

    assert run.ledger == [USAGE]


async def test_a_ledger_that_fails_costs_the_run_nothing(run: Run) -> None:
    run.ledger_failure = OSError("gone")
    async with run.at_work() as pipeline:
        await pipeline.emit(USAGE)
        await pipeline.finish(internal.RunFinished())

    assert (run.ledger, run.ends[0].usages) == ([], (USAGE,))


# --- a run that is not ours any more -----------------------------------------------------------------


async def test_a_fenced_run_raises_and_shows_nothing_more(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(STARTED)
        await pipeline.durable()
        run.store.fence(1)
        await pipeline.emit(internal.TextDelta(message_id="m", delta="zombie"))
        with pytest.raises(LeaseLost):
            await pipeline.durable()
        with pytest.raises(LeaseLost):
            await pipeline.emit(internal.TextDelta(message_id="m", delta="again"))
        with pytest.raises(LeaseLost):
            await pipeline.finish(internal.RunFinished())

    assert run.types == ["RUN_STARTED"]
    assert run.publisher.shown[1] == run.store.rows[1].log
    assert (run.ends, run.stops) == ([], 1)


async def test_a_fence_that_only_the_end_meets_is_a_lost_lease_too(run: Run) -> None:
    async with run.at_work() as pipeline:
        await pipeline.emit(STARTED)
        await pipeline.durable()
        run.store.fence(1)
        with pytest.raises(LeaseLost):
            await pipeline.finish(internal.RunFinished())

    assert run.types == ["RUN_STARTED"]


async def test_a_long_outage_reaches_the_runtime(run: Run) -> None:
    run.store.go_away(calls=10_000)
    async with run.at_work() as pipeline:
        await pipeline.emit(STARTED)
        with pytest.raises(StoreUnavailable):
            await pipeline.durable()
        run.store.come_back()

    assert run.publisher.shown == {}


# --- what was shown ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "visible"),
    [
        ([], False),
        ([STARTED], False),
        ([STARTED, USAGE, INTERRUPT], False),
        ([STARTED, internal.StepStarted(name="intent")], True),
        ([STARTED, internal.StepStarted(name="intent"), internal.StepFinished(name="intent")], True),
        ([STARTED, internal.TextStarted(message_id="m")], True),
        ([STARTED, internal.ToolResult(message_id="r", tool_call_id="c", content="")], True),
        ([STARTED, internal.StateSnapshot(snapshot={})], True),
        ([STARTED, internal.CustomEvent(name="x", value=1)], True),
        ([STARTED, internal.TextDelta(message_id="m", delta="")], False),
    ],
)
async def test_a_run_is_visible_once_it_said_more_than_that_it_started(
    run: Run, events: list[InternalRuntimeEvent], visible: bool
) -> None:
    async with run.at_work() as pipeline:
        for event in events:
            await pipeline.emit(event)

        assert pipeline.visible is visible
