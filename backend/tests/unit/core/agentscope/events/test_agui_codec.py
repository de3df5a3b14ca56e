"""The codec as a table, and its promise for everything the runtime can say."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import orjson
import pytest
from ag_ui.core import Event
from ag_ui_validate.pytest_plugin import validate_agui
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from tests.support import internal_event_strategies as any_of
from tests.support.agui_verifier import nulls, verify
from tests.support.recorded_streams import state_from_log

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.event_types import TERMINAL_TYPES
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.text import clean_text

AT = 1795363125074
OFFICIAL: TypeAdapter[Any] = TypeAdapter(Event)
STARTED = {"type": "RUN_STARTED", "threadId": "t-1", "runId": "r-1", "protocolVersion": "1.0"}
FINISHED = {"type": "RUN_FINISHED", "threadId": "t-1", "runId": "r-1", "outcome": {"type": "success"}}


def fresh(*, started: bool = False) -> RunWireState:
    return RunWireState("t-1", "r-1", started=started)


def encode(events: Iterable[InternalRuntimeEvent], state: RunWireState) -> list[AgUiWireEvent]:
    return [wire for event in events for wire in to_agui_wire(event, state, timestamp_ms=AT)]


def bodies(wire: Iterable[AgUiWireEvent]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.body.items() if key != "timestamp"} for item in wire]


# --- the table ------------------------------------------------------------------------

USAGE = internal.ModelUsage(
    call_id="c-1", stage="execution", provider="here", model="small", input_tokens=10, output_tokens=5
)
INTERRUPT = internal.InterruptRequested(
    interrupt_id="int-1",
    reason="tool_approval",
    message="Allow the tool pay?",
    tool_call_id="call-1",
    tool_name="pay",
    arguments='{"euros":5}',
    response_schema={"type": "object"},
    expires_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
)
QUESTION = internal.InterruptRequested(
    interrupt_id="int-2",
    reason="budget_exhausted",
    message="Go on?",
    response_schema={"type": "object"},
    expires_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
)
TEXT_OPEN = {"type": "TEXT_MESSAGE_START", "messageId": "m-1", "role": "assistant"}
TEXT_END = {"type": "TEXT_MESSAGE_END", "messageId": "m-1"}
REASONING_OPEN = [
    {"type": "REASONING_START", "messageId": "s-1"},
    {"type": "REASONING_MESSAGE_START", "messageId": "s-1", "role": "reasoning"},
]
REASONING_END = [
    {"type": "REASONING_MESSAGE_END", "messageId": "s-1"},
    {"type": "REASONING_END", "messageId": "s-1"},
]
CALL_OPEN = {"type": "TOOL_CALL_START", "toolCallId": "call-1", "toolCallName": "pay"}
CALL_END = {"type": "TOOL_CALL_END", "toolCallId": "call-1"}
RESULT = {
    "type": "TOOL_CALL_RESULT",
    "messageId": "res-1",
    "toolCallId": "call-1",
    "content": "ok",
    "role": "tool",
}
BY_SCOUT: dict[str, Any] = {"subagent_run_id": "sub-1"}
SCOUT = {"subagentRunId": "sub-1"}
CALL = internal.ToolCallStarted(tool_call_id="call-1", name="pay")
ARGUMENTS = internal.ToolCallArguments(tool_call_id="call-1", delta='{"euros":')
CALL_DONE = internal.ToolCallEnded(tool_call_id="call-1")
ANSWER = internal.ToolResult(message_id="res-1", tool_call_id="call-1", content="ok")
STARTED_RUN = internal.RunStarted(thread_id="t-1", run_id="r-1")


def arguments(delta: str) -> dict[str, Any]:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": "call-1", "delta": delta}


def content(delta: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m-1", "delta": delta}


TABLE: dict[str, tuple[list[InternalRuntimeEvent], list[dict[str, Any]]]] = {
    "a run": ([STARTED_RUN], [STARTED]),
    "a run of a run": (
        [internal.RunStarted(thread_id="t-1", run_id="r-1", parent_run_id="r-0")],
        [STARTED | {"parentRunId": "r-0"}],
    ),
    "a run that starts again": ([STARTED_RUN, STARTED_RUN], [STARTED]),
    "an end without a start": ([internal.RunFinished()], [STARTED, FINISHED]),
    "an event without a start": (
        [internal.StepStarted(name="intent")],
        [STARTED, {"type": "STEP_STARTED", "stepName": "intent"}],
    ),
    "a step": (
        [STARTED_RUN, internal.StepStarted(name="intent"), internal.StepFinished(name="intent")],
        [
            STARTED,
            {"type": "STEP_STARTED", "stepName": "intent"},
            {"type": "STEP_FINISHED", "stepName": "intent"},
        ],
    ),
    "a step that is open already, and one that is not open": (
        [
            STARTED_RUN,
            internal.StepStarted(name="intent"),
            internal.StepStarted(name="intent"),
            internal.StepFinished(name="report"),
        ],
        [STARTED, {"type": "STEP_STARTED", "stepName": "intent"}],
    ),
    "a text": (
        [
            STARTED_RUN,
            internal.TextStarted(message_id="m-1"),
            internal.TextDelta(message_id="m-1", delta="Hel"),
            internal.TextDelta(message_id="m-1", delta="lo"),
            internal.TextEnded(message_id="m-1", metadata={"model": "small", "cost": float("nan")}),
        ],
        [
            STARTED,
            TEXT_OPEN,
            content("Hel"),
            content("lo"),
            TEXT_END | {"metadata": {"model": "small", "cost": None}},
        ],
    ),
    "a text that nobody opened": (
        [STARTED_RUN, internal.TextDelta(message_id="m-1", delta="Hi"), internal.TextEnded(message_id="m-1")],
        [STARTED, TEXT_OPEN, content("Hi"), TEXT_END],
    ),
    "a text without anything in it": (
        [
            STARTED_RUN,
            internal.TextStarted(message_id="m-1"),
            internal.TextDelta(message_id="m-1", delta=""),
            internal.TextEnded(message_id="m-1", metadata={}),
        ],
        [STARTED, TEXT_OPEN, TEXT_END],
    ),
    "an empty delta opens nothing": (
        [STARTED_RUN, internal.TextDelta(message_id="m-1", delta="")],
        [STARTED],
    ),
    "a text that goes on after its end": (
        [
            STARTED_RUN,
            internal.TextDelta(message_id="m-1", delta="Hi"),
            internal.TextEnded(message_id="m-1"),
            internal.TextDelta(message_id="m-1", delta="again"),
            internal.TextStarted(message_id="m-1"),
            internal.TextEnded(message_id="m-1"),
        ],
        [STARTED, TEXT_OPEN, content("Hi"), TEXT_END],
    ),
    "characters that cannot be stored": (
        [STARTED_RUN, internal.TextDelta(message_id="m-1", delta="a\x00b\ud83dc")],
        [STARTED, TEXT_OPEN, content("a\ufffdb\ufffdc")],
    ),
    "a reasoning": (
        [
            STARTED_RUN,
            internal.ReasoningStarted(message_id="s-1"),
            internal.ReasoningDelta(message_id="s-1", delta="Hm"),
            internal.ReasoningEnded(message_id="s-1"),
        ],
        [
            STARTED,
            *REASONING_OPEN,
            {"type": "REASONING_MESSAGE_CONTENT", "messageId": "s-1", "delta": "Hm"},
            *REASONING_END,
        ],
    ),
    "a reasoning that nobody opened or closed": (
        [STARTED_RUN, internal.ReasoningDelta(message_id="s-1", delta="Hm"), internal.RunFinished()],
        [
            STARTED,
            *REASONING_OPEN,
            {"type": "REASONING_MESSAGE_CONTENT", "messageId": "s-1", "delta": "Hm"},
            *REASONING_END,
            FINISHED,
        ],
    ),
    "a tool call and its result": (
        [
            STARTED_RUN,
            internal.ToolCallStarted(tool_call_id="call-1", name="pay", parent_message_id="m-1"),
            ARGUMENTS,
            internal.ToolCallArguments(tool_call_id="call-1", delta="5}"),
            CALL_DONE,
            ANSWER,
        ],
        [
            STARTED,
            CALL_OPEN | {"parentMessageId": "m-1"},
            arguments('{"euros":'),
            arguments("5}"),
            CALL_END,
            RESULT,
        ],
    ),
    "a tool call without arguments": ([STARTED_RUN, CALL, CALL_DONE], [STARTED, CALL_OPEN, CALL_END]),
    "a tool call cut in its arguments": (
        [STARTED_RUN, CALL, ARGUMENTS, CALL_DONE],
        [STARTED, CALL_OPEN, arguments('{"euros":'), arguments("null}"), CALL_END],
    ),
    "arguments that no ending can mend": (
        [STARTED_RUN, CALL, internal.ToolCallArguments(tool_call_id="call-1", delta="five"), CALL_DONE],
        [STARTED, CALL_OPEN, arguments("five"), CALL_END],
    ),
    "arguments and an end for no call": ([STARTED_RUN, ARGUMENTS, CALL_DONE], [STARTED]),
    "a result for an open call closes it": (
        [STARTED_RUN, CALL, ANSWER],
        [STARTED, CALL_OPEN, CALL_END, RESULT],
    ),
    "a result for a call of an earlier run": ([STARTED_RUN, ANSWER], [STARTED, RESULT]),
    "a second result for a call": (
        [STARTED_RUN, ANSWER, internal.ToolResult(message_id="res-2", tool_call_id="call-1", content="no")],
        [STARTED, RESULT],
    ),
    "a result that is no success": (
        [
            STARTED_RUN,
            internal.ToolResult(message_id="res-1", tool_call_id="call-1", content="ok", state="denied"),
        ],
        [STARTED, RESULT | {"metadata": {"state": "denied"}}],
    ),
    "an approval": (
        [STARTED_RUN, CALL, CALL_DONE, INTERRUPT, internal.RunFinished(outcome="interrupt")],
        [
            STARTED,
            CALL_OPEN,
            CALL_END,
            FINISHED
            | {
                "outcome": {
                    "type": "interrupt",
                    "interrupts": [
                        {
                            "id": "int-1",
                            "reason": "tool_approval",
                            "message": "Allow the tool pay?",
                            "toolCallId": "call-1",
                            "responseSchema": {"type": "object"},
                            "expiresAt": "2026-11-23T08:30:00Z",
                        }
                    ],
                }
            },
        ],
    ),
    "a question about the run": (
        [STARTED_RUN, QUESTION, internal.RunFinished(outcome="interrupt")],
        [
            STARTED,
            FINISHED
            | {
                "outcome": {
                    "type": "interrupt",
                    "interrupts": [
                        {
                            "id": "int-2",
                            "reason": "budget_exhausted",
                            "message": "Go on?",
                            "responseSchema": {"type": "object"},
                            "expiresAt": "2026-11-23T08:30:00Z",
                        }
                    ],
                }
            },
        ],
    ),
    "an approval without a question is a success": (
        [STARTED_RUN, internal.RunFinished(outcome="interrupt")],
        [STARTED, FINISHED],
    ),
    "a question is no question when the run ends otherwise": (
        [STARTED_RUN, INTERRUPT, internal.RunFinished()],
        [STARTED, FINISHED],
    ),
    "a call that the client executes": (
        [STARTED_RUN, CALL, CALL_DONE, internal.RunFinished(pending_tool_call_ids=("call-1",))],
        [
            STARTED,
            CALL_OPEN,
            CALL_END,
            FINISHED | {"outcome": {"type": "success", "pendingToolCallIds": ["call-1"]}},
        ],
    ),
    "a cancelled run closes what is open and says that it was cut": (
        [
            STARTED_RUN,
            internal.StepStarted(name="execution"),
            internal.ReasoningStarted(message_id="s-1"),
            internal.TextDelta(message_id="m-1", delta="Hel"),
            CALL,
            ARGUMENTS,
            internal.RunFinished(outcome="cancelled"),
        ],
        [
            STARTED,
            {"type": "STEP_STARTED", "stepName": "execution"},
            *REASONING_OPEN,
            TEXT_OPEN,
            content("Hel"),
            CALL_OPEN,
            arguments('{"euros":'),
            *REASONING_END,
            arguments("null}"),
            CALL_END,
            TEXT_END | {"metadata": {"incomplete": True}},
            {"type": "STEP_FINISHED", "stepName": "execution"},
            FINISHED | {"outcome": {"type": "cancelled"}},
        ],
    ),
    "a failed run closes what is open too": (
        [
            STARTED_RUN,
            internal.TextDelta(message_id="m-1", delta="Hel"),
            internal.RunFailed(code="model-timeout", message="Too slow."),
        ],
        [
            STARTED,
            TEXT_OPEN,
            content("Hel"),
            TEXT_END | {"metadata": {"incomplete": True}},
            {"type": "RUN_ERROR", "message": "Too slow.", "code": "model-timeout"},
        ],
    ),
    "nothing comes after the end": (
        [
            STARTED_RUN,
            internal.RunFinished(),
            internal.TextDelta(message_id="m-1", delta="late"),
            internal.RunFailed(code="x", message="late"),
        ],
        [STARTED, FINISHED],
    ),
    "usage is summed by model, and the parts only when there are any": (
        [
            STARTED_RUN,
            USAGE,
            USAGE.model_copy(
                update={
                    "call_id": "c-2",
                    "cached_input_tokens": 3,
                    "reasoning_tokens": 2,
                    "cache_write_tokens": 1,
                }
            ),
            USAGE.model_copy(
                update={"call_id": "c-3", "model": "large", "input_tokens": 0, "output_tokens": 0}
            ),
            internal.RunFinished(),
        ],
        [
            STARTED,
            FINISHED
            | {
                "usage": [
                    {
                        "provider": "here",
                        "model": "small",
                        "inputTokens": 20,
                        "outputTokens": 10,
                        "totalTokens": 30,
                        "cachedInputTokens": 3,
                        "reasoningTokens": 2,
                        "cacheWriteInputTokens": 1,
                    },
                    {
                        "provider": "here",
                        "model": "large",
                        "inputTokens": 0,
                        "outputTokens": 0,
                        "totalTokens": 0,
                    },
                ]
            },
        ],
    ),
    "what the provider wants back is shown with what it belongs to": (
        [
            STARTED_RUN,
            internal.ReasoningStarted(message_id="s-1"),
            internal.ReasoningEnded(message_id="s-1"),
            CALL,
            internal.ReasoningEncrypted(subtype="message", entity_id="s-1", value='{"a":1}'),
            internal.ReasoningEncrypted(subtype="tool-call", entity_id="call-1", value='{"b":2}'),
            internal.ReasoningEncrypted(subtype="message", entity_id="never-shown", value="{}"),
        ],
        [
            STARTED,
            *REASONING_OPEN,
            *REASONING_END,
            CALL_OPEN,
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "message",
                "entityId": "s-1",
                "encryptedValue": '{"a":1}',
            },
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "tool-call",
                "entityId": "call-1",
                "encryptedValue": '{"b":2}',
            },
        ],
    ),
    "what a subagent's provider wants back carries the subagent's id": (
        [
            STARTED_RUN,
            internal.SubagentStarted(name="scout", **BY_SCOUT),
            internal.ReasoningStarted(message_id="s-1", **BY_SCOUT),
            internal.ReasoningEncrypted(subtype="message", entity_id="s-1", value="{}", **BY_SCOUT),
        ],
        [
            STARTED,
            {"type": "SUBAGENT_STARTED", "name": "scout", **SCOUT},
            *(event | SCOUT for event in REASONING_OPEN),
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "message",
                "entityId": "s-1",
                "encryptedValue": "{}",
                **SCOUT,
            },
        ],
    ),
    "usage of a failed run": (
        [STARTED_RUN, USAGE, internal.RunFailed(code="x", message="y")],
        [
            STARTED,
            {
                "type": "RUN_ERROR",
                "message": "y",
                "code": "x",
                "usage": [
                    {
                        "provider": "here",
                        "model": "small",
                        "inputTokens": 10,
                        "outputTokens": 5,
                        "totalTokens": 15,
                    }
                ],
            },
        ],
    ),
    "a state, its change and no change": (
        [
            STARTED_RUN,
            internal.StateSnapshot(snapshot=None),
            internal.StateDelta(delta=[{"op": "add", "path": "/a", "value": None}]),
            internal.StateDelta(delta=[]),
        ],
        [
            STARTED,
            {"type": "STATE_SNAPSHOT", "snapshot": None},
            {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a", "value": None}]},
        ],
    ),
    "the thread's messages": (
        [STARTED_RUN, internal.MessagesSnapshot(messages=({"id": "u-1", "role": "user", "content": "Hi"},))],
        [
            STARTED,
            {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "u-1", "role": "user", "content": "Hi"}]},
        ],
    ),
    "a subagent, and what it says": (
        [
            STARTED_RUN,
            internal.SubagentStarted(
                name="scout", description="Looks.", parent_tool_call_id="call-1", **BY_SCOUT
            ),
            internal.TextDelta(message_id="m-1", delta="Hi", **BY_SCOUT),
            internal.ToolCallStarted(tool_call_id="call-2", name="pay", parent_message_id="m-1", **BY_SCOUT),
            internal.ToolResult(message_id="res-1", tool_call_id="call-2", content="ok", **BY_SCOUT),
            internal.SubagentFinished(**BY_SCOUT),
        ],
        [
            STARTED,
            {
                "type": "SUBAGENT_STARTED",
                "subagentRunId": "sub-1",
                "name": "scout",
                "description": "Looks.",
                "parentToolCallId": "call-1",
            },
            TEXT_OPEN | SCOUT,
            content("Hi") | SCOUT,
            CALL_OPEN | {"toolCallId": "call-2", "parentMessageId": "m-1"} | SCOUT,
            CALL_END | {"toolCallId": "call-2"} | SCOUT,
            RESULT | {"toolCallId": "call-2"} | SCOUT,
            TEXT_END | SCOUT,
            {"type": "SUBAGENT_FINISHED", "subagentRunId": "sub-1", "outcome": {"type": "success"}},
        ],
    ),
    "a subagent that fails leaves nothing open": (
        [
            STARTED_RUN,
            internal.SubagentStarted(name="scout", **BY_SCOUT),
            internal.TextDelta(message_id="m-1", delta="Hi", **BY_SCOUT),
            internal.SubagentFailed(code="model-timeout", message="Too slow.", **BY_SCOUT),
        ],
        [
            STARTED,
            {"type": "SUBAGENT_STARTED", "subagentRunId": "sub-1", "name": "scout"},
            TEXT_OPEN | SCOUT,
            content("Hi") | SCOUT,
            TEXT_END | SCOUT | {"metadata": {"incomplete": True}},
            {
                "type": "SUBAGENT_ERROR",
                "subagentRunId": "sub-1",
                "message": "Too slow.",
                "code": "model-timeout",
            },
        ],
    ),
    "a subagent that runs when the run is cancelled": (
        [
            STARTED_RUN,
            internal.SubagentStarted(name="scout", **BY_SCOUT),
            internal.RunFinished(outcome="cancelled"),
        ],
        [
            STARTED,
            {"type": "SUBAGENT_STARTED", "subagentRunId": "sub-1", "name": "scout"},
            {
                "type": "SUBAGENT_ERROR",
                "subagentRunId": "sub-1",
                "message": "The subagent was interrupted.",
                "code": "interrupted",
            },
            FINISHED | {"outcome": {"type": "cancelled"}},
        ],
    ),
    "a subagent without a name tag, and one that nobody started": (
        [STARTED_RUN, internal.SubagentStarted(name="scout"), internal.SubagentFinished(**BY_SCOUT)],
        [STARTED],
    ),
    "a call of a subagent in a message of the agent stands alone": (
        [
            STARTED_RUN,
            internal.TextStarted(message_id="m-1"),
            internal.ToolCallStarted(tool_call_id="call-1", name="pay", parent_message_id="m-1", **BY_SCOUT),
        ],
        [STARTED, TEXT_OPEN, CALL_OPEN | SCOUT],
    ),
    "a step of the agent that a subagent had before": (
        [
            STARTED_RUN,
            internal.StepStarted(name="intent", **BY_SCOUT),
            internal.StepFinished(name="intent", **BY_SCOUT),
            internal.StepStarted(name="intent"),
            internal.StepFinished(name="intent"),
        ],
        [
            STARTED,
            {"type": "STEP_STARTED", "stepName": "intent"} | SCOUT,
            {"type": "STEP_FINISHED", "stepName": "intent"} | SCOUT,
            {"type": "STEP_STARTED", "stepName": "intent"},
            {"type": "STEP_FINISHED", "stepName": "intent"},
        ],
    ),
    "a model call that is tried again": (
        [STARTED_RUN, internal.ModelRetrying(attempt=2, delay_ms=500, code="model-unavailable")],
        [
            STARTED,
            {
                "type": "CUSTOM",
                "name": "agentroute.retrying",
                "value": {"attempt": 2, "delayMs": 500, "code": "model-unavailable"},
            },
        ],
    ),
    "the progress of a tool, until its result": (
        [
            STARTED_RUN,
            internal.ToolProgress(tool_call_id="c1", message="half\x00", progress=1, total=2),
            internal.ToolProgress(tool_call_id="c1"),
            internal.ToolResult(message_id="m1", tool_call_id="c1", content="done"),
            internal.ToolProgress(tool_call_id="c1", message="late"),
        ],
        [
            STARTED,
            {
                "type": "CUSTOM",
                "name": "agentroute.tool-progress",
                "value": {"toolCallId": "c1", "message": "half\ufffd", "progress": 1, "total": 2},
            },
            {"type": "CUSTOM", "name": "agentroute.tool-progress", "value": {"toolCallId": "c1"}},
            {
                "type": "TOOL_CALL_RESULT",
                "messageId": "m1",
                "toolCallId": "c1",
                "content": "done",
                "role": "tool",
            },
        ],
    ),
    "an event of our own": (
        [STARTED_RUN, internal.CustomEvent(name="agentroute.x", value={"a": (1, float("inf")), 2: "\x00"})],
        [STARTED, {"type": "CUSTOM", "name": "agentroute.x", "value": {"a": [1, None], "2": "\ufffd"}}],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_the_runtime_says_becomes_these_events(case: str) -> None:
    events, expected = TABLE[case]

    assert bodies(encode(events, fresh())) == expected


def test_the_table_has_every_kind_of_internal_event() -> None:
    (union, _) = get_args(InternalRuntimeEvent)
    kinds = {member.model_fields["kind"].default for member in get_args(union)}

    assert kinds == {event.kind for events, _ in TABLE.values() for event in events}


def test_every_event_carries_the_time_in_whole_milliseconds() -> None:
    wire = encode([*TABLE["a tool call and its result"][0], internal.RunFinished()], fresh())

    assert [item.body["timestamp"] for item in wire] == [AT] * len(wire)


def test_an_expiry_in_another_time_zone_keeps_its_instant() -> None:
    berlin = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=1)))
    interrupt = INTERRUPT.model_copy(update={"expires_at": berlin})
    end = encode([interrupt, internal.RunFinished(outcome="interrupt")], fresh())[-1]

    assert end.body["outcome"]["interrupts"][0]["expiresAt"] == "2026-11-23T09:30:00+01:00"


def test_an_interrupt_that_is_requested_twice_is_asked_once() -> None:
    end = encode([INTERRUPT, INTERRUPT, internal.RunFinished(outcome="interrupt")], fresh())[-1]

    assert [interrupt["id"] for interrupt in end.body["outcome"]["interrupts"]] == ["int-1"]


def test_a_run_that_was_started_by_an_earlier_attempt_is_not_started_again() -> None:
    assert bodies(encode([STARTED_RUN, internal.RunFinished()], fresh(started=True))) == [FINISHED]


# --- the official rules, for anything the runtime can say ---------------------------------


def assert_official(wire: Sequence[AgUiWireEvent], **overrides: str) -> None:
    """Check a whole stream against the official models, the client's rules and the validator."""
    events = [orjson.loads(item.to_json()) for item in wire]
    for event, item in zip(events, wire, strict=True):
        parsed = OFFICIAL.validate_python(event)
        # Equal after a round trip: no null that means nothing, no other spelling, nothing coerced.
        assert OFFICIAL.dump_python(parsed, mode="json", by_alias=True) == event
        assert unknown_members(parsed) == []
        assert list(nulls(event)) == []
        assert type(event["timestamp"]) is int
        assert item.to_json().startswith(f'{{"type":"{item.type}"')
    verify(events)
    assert [item.type in TERMINAL_TYPES for item in wire] == [False] * (len(wire) - 1) + [True]
    interrupts = events[-1].get("outcome", {}).get("interrupts", [])
    assert len({interrupt["id"] for interrupt in interrupts}) == len(interrupts)
    report = validate_agui(list(events), severity_overrides=overrides)
    assert (report.summary.errors, report.summary.warnings, report.internal_errors) == (0, 0, []), (
        report.diagnostics
    )


def unknown_members(value: object) -> list[str]:
    """List what the official models have no field for; they keep it silently."""
    if isinstance(value, list):
        return [name for item in value for name in unknown_members(item)]
    if not isinstance(value, BaseModel):
        return []
    inside = [name for field in type(value).model_fields for name in unknown_members(getattr(value, field))]
    return [*(value.model_extra or {}), *inside]


LEGAL_HERE = {
    "AGUI204": "off",  # the arguments are noise here; they have a test of their own below
    "AGUI207": "off",  # a result for a call of the run before: how a resumed approval answers
}


@settings(max_examples=300, deadline=None)
@given(any_of.runs, any_of.terminals, any_of.runs)
def test_whatever_is_said_the_stream_is_official(
    events: list[InternalRuntimeEvent],
    end: internal.RunFinished | internal.RunFailed,
    late: list[InternalRuntimeEvent],
) -> None:
    wire = encode([*events, end, *late, end], fresh())

    assert_official(wire, **LEGAL_HERE)


@settings(max_examples=100, deadline=None)
@given(any_of.runs, any_of.terminals, st.data())
def test_a_run_cut_anywhere_is_closed_from_its_log_as_it_would_have_closed_itself(
    events: list[InternalRuntimeEvent], end: internal.RunFinished | internal.RunFailed, data: st.DataObject
) -> None:
    # What one internal event says is appended in one transaction, so a log is cut between two of them.
    cut = data.draw(st.integers(0, len(events)))
    state = fresh()
    log = encode(events[:cut], state)
    rebuilt = state_from_log("t-1", "r-1", [AgUiWireEvent.from_json(item.to_json()) for item in log])

    assert_official([*log, *encode([end], copy.deepcopy(rebuilt))], **LEGAL_HERE)
    # The log knows nothing of questions that were not asked yet, nor of usage: the ledger has that.
    rebuilt.interrupts, rebuilt.usage = state.interrupts, state.usage
    for same in (state, rebuilt):
        same.tool_calls = {call: ["".join(pieces)] for call, pieces in same.tool_calls.items()}
    assert rebuilt == state


@settings(max_examples=60, deadline=None)
@given(any_of.runs, st.data())
def test_a_log_cut_between_any_two_wire_events_can_fail_in_order(
    events: list[InternalRuntimeEvent], data: st.DataObject
) -> None:
    log = encode(events, fresh())
    log = log[: data.draw(st.integers(0, len(log)))]
    state = state_from_log("t-1", "r-1", log)

    assert_official(
        [*log, *encode([internal.RunFailed(code="worker-lost", message="Lost.")], state)], **LEGAL_HERE
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(any_of.cut_json_objects(), min_size=1, max_size=3), any_of.terminals, st.data())
def test_arguments_are_valid_json_wherever_parallel_calls_are_cut(
    calls: list[list[str]], end: internal.RunFinished | internal.RunFailed, data: st.DataObject
) -> None:
    names = [f"call-{place}" for place in range(len(calls))]
    events: list[InternalRuntimeEvent] = [
        internal.ToolCallStarted(tool_call_id=name, name="pay") for name in names
    ]
    order = data.draw(st.permutations([place for place, pieces in enumerate(calls) for _ in pieces]))
    left = [iter(pieces) for pieces in calls]
    events += [
        internal.ToolCallArguments(tool_call_id=names[place], delta=next(left[place])) for place in order
    ]

    assert_official(encode([*events, end], fresh()), AGUI207="off")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(any_of.ids, any_of.texts), max_size=20))
def test_deltas_join_to_the_text(deltas: list[tuple[str, str]]) -> None:
    events = [internal.TextDelta(message_id=message_id, delta=delta) for message_id, delta in deltas]
    shown = [body for body in bodies(encode(events, fresh())) if body["type"] == "TEXT_MESSAGE_CONTENT"]

    assert [(body["messageId"], body["delta"]) for body in shown] == [
        (message_id, clean_text(delta)) for message_id, delta in deltas if delta
    ]
