"""History is what a stock client holds after it saw every event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import internal_event_strategies as any_of
from tests.support.agui_reducer import AguiClient

from core.agentscope.events.agui_codec import to_agui_wire
from core.agentscope.events.history_fold import HistoryFold, fold, leading_results
from core.agentscope.events.wire_state import RunWireState
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import AgUiWireEvent, InternalRuntimeEvent
from core.text import clean_text

EARLIER: list[dict[str, Any]] = [
    {"id": "earlier-question", "role": "user", "content": "Pay twice."},
    {"id": "earlier-answer", "role": "assistant", "toolCalls": any_of.EARLIER_TOOL_CALLS},
]
"""What a client holds before the run: the calls it answers are in there."""


def wire(*bodies: dict[str, Any]) -> list[AgUiWireEvent]:
    return [AgUiWireEvent(body["type"], body) for body in bodies]


def encode(events: list[InternalRuntimeEvent]) -> list[AgUiWireEvent]:
    """Return the log of a run that answers only calls that somebody has made."""
    state = RunWireState("t-1", "r-1")
    made = set(any_of.EARLIER_CALLS)
    log: list[AgUiWireEvent] = []
    for event in events:
        if event.kind == "messages_snapshot":
            continue  # It restates the whole thread, at a run's start; a client begins from that then.
        for item in to_agui_wire(_with_a_call_id_of_its_own(event), state, timestamp_ms=1):
            if item.type == "TOOL_CALL_START":
                made.add(item.body["toolCallId"])
            if item.type != "TOOL_CALL_RESULT" or item.body["toolCallId"] in made:
                log.append(item)
    return log


def _with_a_call_id_of_its_own(event: InternalRuntimeEvent) -> InternalRuntimeEvent:
    """Return the event with an id that no message has: models name calls, we name messages."""
    call_id = getattr(event, "tool_call_id", None)
    if call_id is None or call_id in any_of.EARLIER_CALLS:
        return event
    return event.model_copy(update={"tool_call_id": f"call-{call_id}"})


def start(message_id: str, **more: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_START", "messageId": message_id, **more}


def content(message_id: str, delta: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": delta}


def end(message_id: str, **metadata: Any) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_END", "messageId": message_id} | (
        {"metadata": metadata} if metadata else {}
    )


def call(call_id: str, **more: str) -> dict[str, Any]:
    return {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": "pay", **more}


def arguments(call_id: str, delta: str) -> dict[str, Any]:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": delta}


def result(call_id: str, message_id: str, **metadata: Any) -> dict[str, Any]:
    body = {"type": "TOOL_CALL_RESULT", "toolCallId": call_id, "messageId": message_id, "content": "ok"}
    return body | ({"metadata": metadata} if metadata else {})


def held_call(call_id: str, text: str = "") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "pay", "arguments": text}}


def held_result(call_id: str, message_id: str) -> dict[str, Any]:
    return {"id": message_id, "toolCallId": call_id, "role": "tool", "content": "ok"}


REASONING = [
    {"type": "REASONING_START", "messageId": "s"},
    {"type": "REASONING_MESSAGE_START", "messageId": "s", "role": "reasoning"},
    {"type": "REASONING_MESSAGE_CONTENT", "messageId": "s", "delta": "Hm"},
    {"type": "REASONING_MESSAGE_END", "messageId": "s"},
    {"type": "REASONING_END", "messageId": "s"},
]

TABLE: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "a text grows": (
        [start("m"), content("m", "Hel"), content("m", "lo"), end("m")],
        [{"id": "m", "role": "assistant", "content": "Hello"}],
    ),
    "a text without content is an empty message": (
        [start("m", role="assistant")],
        [{"id": "m", "role": "assistant", "content": ""}],
    ),
    "texts that interleave keep the order of their starts": (
        [start("m"), start("n"), content("n", "2"), content("m", "1")],
        [{"id": "m", "role": "assistant", "content": "1"}, {"id": "n", "role": "assistant", "content": "2"}],
    ),
    "what the provider wants back stays with what it belongs to": (
        [
            *REASONING,
            start("m"),
            call("c", parentMessageId="m"),
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "message",
                "entityId": "s",
                "encryptedValue": "1",
            },
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "tool-call",
                "entityId": "c",
                "encryptedValue": "2",
            },
            {
                "type": "REASONING_ENCRYPTED_VALUE",
                "subtype": "tool-call",
                "entityId": "x",
                "encryptedValue": "3",
            },
        ],
        [
            {"id": "s", "role": "reasoning", "content": "Hm", "encryptedValue": "1"},
            {
                "id": "m",
                "role": "assistant",
                "content": "",
                "toolCalls": [held_call("c") | {"encryptedValue": "2"}],
            },
        ],
    ),
    "the end brings metadata": (
        [start("m"), end("m", model="small", cost=None)],
        [{"id": "m", "role": "assistant", "content": "", "metadata": {"model": "small", "cost": None}}],
    ),
    "reasoning is a message of its own": (REASONING, [{"id": "s", "role": "reasoning", "content": "Hm"}]),
    "a call joins the message it names": (
        [
            start("m"),
            content("m", "Paying."),
            call("c", parentMessageId="m"),
            arguments("c", '{"a":'),
            arguments("c", "1}"),
        ],
        [{"id": "m", "role": "assistant", "content": "Paying.", "toolCalls": [held_call("c", '{"a":1}')]}],
    ),
    "a call without a message makes one under its own id": (
        [call("c")],
        [{"id": "c", "role": "assistant", "toolCalls": [held_call("c")]}],
    ),
    "a call of an unknown message makes it": (
        [call("c", parentMessageId="m")],
        [{"id": "m", "role": "assistant", "toolCalls": [held_call("c")]}],
    ),
    "a call of a message that is not an assistant's stands alone": (
        [*REASONING, call("c", parentMessageId="s")],
        [
            {"id": "s", "role": "reasoning", "content": "Hm"},
            {"id": "c", "role": "assistant", "toolCalls": [held_call("c")]},
        ],
    ),
    "a text that begins in a message a call has made": (
        [call("c", parentMessageId="m"), start("m"), content("m", "Paid."), end("m")],
        [{"id": "m", "role": "assistant", "content": "Paid.", "toolCalls": [held_call("c")]}],
    ),
    "a text that begins there and says nothing": (
        [call("c", parentMessageId="m"), start("m"), end("m")],
        [{"id": "m", "role": "assistant", "toolCalls": [held_call("c")]}],
    ),
    "parallel calls share a message, and their arguments do not mix": (
        [
            start("m"),
            call("c", parentMessageId="m"),
            call("d", parentMessageId="m"),
            arguments("d", "2"),
            arguments("c", "1"),
        ],
        [
            {
                "id": "m",
                "role": "assistant",
                "content": "",
                "toolCalls": [held_call("c", "1"), held_call("d", "2")],
            }
        ],
    ),
    "a result goes right behind its call, not to the end": (
        [call("c"), start("m"), content("m", "Later."), result("c", "r")],
        [
            {"id": "c", "role": "assistant", "toolCalls": [held_call("c")]},
            held_result("c", "r"),
            {"id": "m", "role": "assistant", "content": "Later."},
        ],
    ),
    "results of parallel calls keep the order they came in": (
        [
            start("m"),
            call("c", parentMessageId="m"),
            call("d", parentMessageId="m"),
            result("d", "r-d"),
            result("c", "r-c", state="denied"),
        ],
        [
            {"id": "m", "role": "assistant", "content": "", "toolCalls": [held_call("c"), held_call("d")]},
            held_result("d", "r-d"),
            held_result("c", "r-c") | {"metadata": {"state": "denied"}},
        ],
    ),
    "results of an earlier run's calls come before all this run says": (
        [start("m"), result("earlier-2", "r-2"), result("earlier-1", "r-1")],
        [
            held_result("earlier-2", "r-2"),
            held_result("earlier-1", "r-1"),
            {"id": "m", "role": "assistant", "content": ""},
        ],
    ),
    "what a subagent says is marked as its own": (
        [
            start("m", subagentRunId="s-1"),
            call("c", subagentRunId="s-1"),
            result("c", "r") | {"subagentRunId": "s-1"},
        ],
        [
            {"id": "m", "role": "assistant", "content": "", "subagentRunId": "s-1"},
            {"id": "c", "role": "assistant", "toolCalls": [held_call("c")], "subagentRunId": "s-1"},
            held_result("c", "r") | {"subagentRunId": "s-1"},
        ],
    ),
    "what builds no message is passed over": (
        [
            {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
            {"type": "STEP_STARTED", "stepName": "intent"},
            {"type": "CUSTOM", "name": "x", "value": 1},
            {"type": "AN_EVENT_OF_TOMORROW"},
            {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
        ],
        [],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_these_events_make_these_messages(case: str) -> None:
    events, messages = TABLE[case]

    assert fold(wire(*events)) == messages


@pytest.mark.parametrize("case", TABLE)
def test_a_client_that_knows_the_earlier_run_holds_the_same(case: str) -> None:
    events, messages = TABLE[case]
    client = AguiClient(EARLIER)
    for event in events:
        client.see(event)

    assert client.messages == [*EARLIER, *messages]


@pytest.mark.parametrize(
    ("events", "state", "changed"),
    [
        ([], None, False),
        ([{"type": "STATE_SNAPSHOT", "snapshot": None}], None, True),
        ([{"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}}], {"a": 1}, True),
        (
            [
                {"type": "STATE_SNAPSHOT", "snapshot": {"a": [1]}},
                {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a/-", "value": 2}]},
            ],
            {"a": [1, 2]},
            True,
        ),
        (
            [
                {"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}},
                {"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/b"}]},
            ],
            {"a": 1},
            True,
        ),
        ([{"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/b"}]}], None, False),
    ],
)
def test_state_is_the_last_snapshot_with_the_patches_that_fit(
    events: list[dict[str, Any]], state: Any, changed: bool
) -> None:
    folding = HistoryFold()
    for event in wire(*events):
        folding.apply(event)

    assert (folding.state, folding.state_changed) == (state, changed)


def test_a_patch_changes_neither_the_log_nor_an_earlier_state() -> None:
    snapshot, delta = wire(
        {"type": "STATE_SNAPSHOT", "snapshot": {"a": [1]}},
        {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a/-", "value": 2}]},
    )
    folding = HistoryFold()
    folding.apply(snapshot)
    before = folding.state
    folding.apply(delta)

    assert (before, snapshot.body["snapshot"]) == ({"a": [1]}, {"a": [1]})


def test_leading_results_are_those_of_earlier_calls_only() -> None:
    messages = fold(wire(call("c"), result("c", "r"), result("earlier-1", "r-1"), result("earlier-2", "r-2")))

    assert [message["id"] for message in leading_results(messages)] == ["r-1", "r-2"]


def test_a_result_never_takes_the_id_of_a_message_that_a_call_has_made() -> None:
    # The client would hold two messages of one id, and the next call would belong to the first one.
    log = encode(
        [
            internal.ToolCallStarted(tool_call_id="b", name="f", parent_message_id="c"),
            internal.ToolResult(message_id="c", tool_call_id="b", content="", state="success"),
            internal.ToolCallStarted(tool_call_id="c", name="f", parent_message_id="c"),
        ]
    )
    assert [message["id"] for message in fold(log)] == ["c"]


@settings(max_examples=200, deadline=None)
@given(any_of.runs)
def test_history_equals_what_a_client_holds_at_every_moment(events: list[InternalRuntimeEvent]) -> None:
    folding, client = HistoryFold(), AguiClient(EARLIER)
    log = encode(events)
    for place, event in enumerate(log, start=1):
        folding.apply(event)
        client.see(AgUiWireEvent.from_json(event.to_json()).body)
        # Asked for in the middle, for a run that streams, and at the end: always the same.
        assert folding.snapshot() == client.messages[len(EARLIER) :] == fold(log[:place])
        assert folding.state == client.state


def test_a_snapshot_belongs_to_its_taker() -> None:
    folding = HistoryFold()
    for event in wire(start("m"), call("c", parentMessageId="m"), arguments("c", "1")):
        folding.apply(event)
    taken = folding.snapshot()
    for event in wire(arguments("c", "2"), content("m", "Paid."), end("m", model="small")):
        folding.apply(event)
    folding.snapshot()[0]["toolCalls"].clear()

    assert taken == [{"id": "m", "role": "assistant", "content": "", "toolCalls": [held_call("c", "1")]}]
    assert folding.snapshot()[0]["toolCalls"] == [held_call("c", "12")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(any_of.ids, any_of.texts), max_size=30))
def test_deltas_join_again(deltas: list[tuple[str, str]]) -> None:
    log = encode([internal.TextDelta(message_id=message_id, delta=delta) for message_id, delta in deltas])
    texts: dict[str, str] = {}
    for message_id, delta in deltas:
        if delta:
            texts[message_id] = texts.get(message_id, "") + clean_text(delta)

    assert {message["id"]: message["content"] for message in fold(log)} == texts
