"""What crosses HTTP and the log: read as AG-UI clients write it, written as they read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import orjson
import pytest
from ag_ui import core as official
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tests.support import internal_event_strategies as any_of

from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import (
    AcceptedTaskResponse,
    ActiveRun,
    AgUiWireEvent,
    Cursor,
    HistorySnapshotResponse,
    InternalRuntimeEvent,
    ResumeCommand,
    RunCommand,
    RunOptions,
    RunStatusResponse,
    ThreadUsage,
    internal_event_adapter,
)
from core.agentscope.schemas.messages import Message, TextPart, UserMessage

USER = {"id": "m-1", "role": "user", "content": "what time is it"}
ANSWER = {"interruptId": "int-1", "status": "resolved", "payload": {"approved": True}}
FULL: dict[str, Any] = {
    "threadId": "thread-1",
    "runId": "run-1",
    "protocolVersion": "1.0",
    "parentRunId": "run-0",
    "state": {"a": [1, None]},
    "messages": [
        USER,
        {
            "id": "m-2",
            "role": "assistant",
            "content": "Looking.",
            "toolCalls": [
                {"id": "c-1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            ],
            "metadata": {"cost": None},
        },
        {"id": "m-3", "role": "tool", "toolCallId": "c-1", "content": "noon"},
        {
            "id": "m-4",
            "role": "user",
            "content": [
                {"type": "text", "text": "and this?"},
                {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}},
                {"type": "document", "source": {"type": "url", "value": "https://example.org/a.pdf"}},
                {"type": "audio", "source": {"type": "file", "value": "file-1", "provider": "openai"}},
            ],
        },
    ],
    "tools": [{"name": "pick", "description": "Picks.", "parameters": {"type": "object"}}],
    "context": [{"description": "city", "value": "Berlin"}],
    "forwardedProps": {"onBusy": "enqueue", "theirs": {"x": 1}},
    "resume": [ANSWER | {"metadata": {"signed": True}}],
}


# --- commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [RunCommand, ResumeCommand])
def test_a_whole_command_comes_back_as_it_was_sent(command: type[RunCommand]) -> None:
    read = command.model_validate(FULL)

    assert read.wire() == FULL
    assert command.model_validate_json(json.dumps(read.wire())) == read


def test_a_run_needs_no_ids_and_the_rest_is_empty() -> None:
    command = RunCommand.model_validate({"messages": [USER]})

    assert (command.thread_id, command.run_id, command.protocol_version) == (None, None, None)
    assert (command.tools, command.context, command.resume, command.forwarded_props) == ([], [], [], {})


def test_unknown_members_are_ignored_wherever_they_are() -> None:
    unknown = {
        **FULL,
        "config": {"temperature": 1},
        "messages": [USER | {"subagentRunId": "s", "createdAt": 1}],
        "tools": [FULL["tools"][0] | {"metadata": {}}],
        "resume": [ANSWER | {"by": "Ada"}],
    }

    assert RunCommand.model_validate(unknown).wire() == FULL | {
        "messages": [USER],
        "resume": [ANSWER],
    }


def test_null_is_absent_as_older_clients_send_it() -> None:
    nulls = dict.fromkeys(name for name in FULL if name != "messages")

    assert RunCommand.model_validate({**nulls, "messages": [USER]}) == RunCommand.model_validate(
        {"messages": [USER]}
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("threadId", ""),
        ("threadId", "a b"),
        ("threadId", "x" * 129),
        ("threadId", "naïve"),
        ("threadId", "line\n"),
        ("threadId", 7),
        ("runId", "../etc"),
        ("parentRunId", "{}"),
        ("protocolVersion", "1"),
        ("protocolVersion", "1.0.0"),
        ("protocolVersion", "v1.0"),
        ("messages", USER),
        ("messages", ["hi"]),
        ("messages", [{"id": "m", "role": "user"}]),
        ("messages", [{"id": "m", "role": "robot", "content": ""}]),
        ("messages", [{"id": "m", "role": "user", "content": 5}]),
        ("messages", [{"id": "m", "role": "user", "content": [{"type": "image"}]}]),
        ("messages", [{"id": "m", "role": "user", "content": [{"type": "poem", "text": "x"}]}]),
        ("tools", {}),
        ("tools", [{"name": "has space"}]),
        ("tools", [{"name": "x" * 65}]),
        ("tools", [{"description": "nameless"}]),
        ("context", [{"description": "x"}]),
        ("forwardedProps", []),
        ("resume", [{"interruptId": "i"}]),
        ("resume", [{"interruptId": "i", "status": "maybe"}]),
    ],
)
def test_a_malformed_known_member_is_refused(member: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        RunCommand.model_validate({"messages": [USER], member: value})

    assert caught.value.errors()[0]["loc"][0] == member


@pytest.mark.parametrize("resume", [{}, {"resume": []}, {"resume": None}])
def test_a_resume_without_an_answer_is_refused(resume: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ResumeCommand.model_validate({"messages": [USER], **resume})

    assert caught.value.errors()[0]["loc"] == ("resume",)


def test_options_are_read_from_the_forwarded_props_and_the_rest_is_left_alone() -> None:
    props = {"onBusy": "supersede", "onInterrupt": "cancel", "onDisconnect": None, "theirs": {"onBusy": 1}}
    options = RunCommand.model_validate({"messages": [USER], "forwardedProps": props}).options()

    assert (options.on_busy, options.on_interrupt, options.on_disconnect) == (
        "supersede",
        "cancel",
        "continue",
    )


@pytest.mark.parametrize("name", ["onBusy", "onInterrupt", "onDisconnect", "regenerateFrom"])
def test_an_option_with_a_value_it_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RunOptions.model_validate({name: "no such value"})

    assert caught.value.errors()[0]["loc"] == (name,)


# --- what the official SDK sends ---------------------------------------------------------------

ids = st.sampled_from(["a", "thread-1", "x" * 128, "A.b_c:d-9"])
words = st.text(max_size=5).filter(str.isprintable)
values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1.5, "", "é", [], [None], {}, {"a": {"b": None}}]
)
objects = st.sampled_from([{}, {"a": None, "b_c": [1]}])


def member(
    role: str, required: dict[str, Any], optional: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return messages of a role, with and without what they may leave out."""
    always = {"id": ids, "role": st.just(role)}
    return st.fixed_dictionaries(always | required, optional={"metadata": objects} | optional)


def source(
    kind: str, required: dict[str, Any], optional: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    always = {"type": st.just(kind), "value": words}
    return st.fixed_dictionaries(always | required, optional=optional)


sources = st.one_of(
    source("data", {"mimeType": words}, {}),
    source("url", {}, {"mimeType": words}),
    source("file", {}, {"provider": words, "mimeType": words}),
)
marks = {"id": words, "metadata": values.filter(lambda value: value is not None)}
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": words}, optional=marks),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["image", "audio", "video", "document"]), "source": sources}, optional=marks
    ),
)
contents = words | st.lists(parts, max_size=2)
calls = st.fixed_dictionaries(
    {
        "id": ids,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": words, "arguments": words}),
    },
    optional={"encryptedValue": words, "metadata": objects},
)
kept_messages = st.one_of(
    member("user", {"content": contents}, {"name": words}),
    member("assistant", {}, {"content": words, "toolCalls": st.lists(calls, max_size=2)}),
    member("tool", {"content": contents, "toolCallId": ids}, {"error": words}),
)
ignored_messages = st.one_of(
    member("system", {"content": words}, {"name": words}),
    member("developer", {"content": words}, {}),
    member("reasoning", {"content": words}, {"encryptedValue": words, "subagentRunId": ids}),
    member("activity", {"content": objects, "activityType": words}, {}),
)
inputs = st.fixed_dictionaries(
    {"threadId": ids, "runId": ids, "messages": st.lists(kept_messages | ignored_messages, max_size=4)},
    optional={
        "protocolVersion": st.sampled_from(["1.0", "1.12", "2.0"]),
        "parentRunId": ids,
        "state": values,
        "tools": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["pick", "a_B-9", "x" * 64]), "description": words},
                optional={"parameters": objects, "metadata": objects},
            ),
            max_size=2,
        ),
        "context": st.lists(st.fixed_dictionaries({"description": words, "value": words}), max_size=2),
        "forwardedProps": objects,
        "resume": st.lists(
            st.fixed_dictionaries(
                {"interruptId": ids, "status": st.sampled_from(["resolved", "cancelled"])},
                optional={"payload": values, "metadata": objects},
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(inputs)
def test_whatever_the_official_sdk_dumps_is_a_command(sent: dict[str, Any]) -> None:
    body: dict[str, Any] = official.RunAgentInput.model_validate(sent).model_dump(mode="json", by_alias=True)
    command = RunCommand.model_validate(body)

    assert (command.thread_id, command.run_id) == (sent["threadId"], sent["runId"])
    assert command.protocol_version == sent.get("protocolVersion")
    assert [message.id for message in command.messages] == [message["id"] for message in sent["messages"]]
    assert [entry.interrupt_id for entry in command.resume] == [
        entry["interruptId"] for entry in sent.get("resume", [])
    ]
    # And it stays one: what is stored of it is what the worker reads.
    assert RunCommand.model_validate(command.wire()) == command


@settings(max_examples=150, deadline=None)
@given(kept_messages)
def test_what_is_kept_of_a_message_is_all_of_it_and_official(sent: dict[str, Any]) -> None:
    kept = TypeAdapter[Any](Message).validate_python(sent).wire()

    assert kept == sent
    assert (
        TypeAdapter[Any](official.Message).validate_python(kept).model_dump(mode="json", by_alias=True)
        == sent
    )


def test_the_text_of_a_user_message_is_its_text_parts() -> None:
    parts = [TextPart(type="text", text="look"), TextPart(type="text", text="here")]

    assert UserMessage(id="m", role="user", content="hi").text() == "hi"
    assert UserMessage(id="m", role="user", content=[*parts]).text() == "look\nhere"


# --- internal events ----------------------------------------------------------------------------


def kinds() -> dict[str, type[Any]]:
    (union, _) = get_args(InternalRuntimeEvent)
    return {member.model_fields["kind"].default: member for member in get_args(union)}


@settings(max_examples=150, deadline=None)
@given(any_of.runs, any_of.terminals)
def test_every_internal_event_is_read_back_by_its_kind(
    events: list[InternalRuntimeEvent], end: internal.RunFinished | internal.RunFailed
) -> None:
    for event in [*events, end]:
        dumped = internal_event_adapter.dump_python(event)
        again = internal_event_adapter.validate_python(dumped)

        assert type(again) is kinds()[event.kind]
        assert repr(again) == repr(event)


def test_every_kind_is_told_apart_by_its_name() -> None:
    assert len(kinds()) == len(get_args(get_args(InternalRuntimeEvent)[0]))


@pytest.mark.parametrize(
    "body",
    [
        {"message_id": "m", "delta": "no kind"},
        {"kind": "no_such_kind"},
        {"kind": "text_delta", "message_id": "m"},
        {"kind": "text_delta", "message_id": "m", "delta": "x", "colour": "red"},
        {"kind": "run_finished", "outcome": "perhaps"},
    ],
)
def test_what_no_runtime_says_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        internal_event_adapter.validate_python(body)


def test_internal_events_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        internal.TextDelta(message_id="m", delta="a").delta = "b"


def test_costs_are_kept_exactly_and_unknown_is_not_free() -> None:
    usage = internal.ModelUsage(call_id="c", stage="intent", provider="p", model="m", cost=Decimal("0.1"))

    assert internal_event_adapter.validate_json(usage.model_dump_json()) == usage
    assert usage.model_copy(update={"cost": None}).cost is None
    assert internal.ModelUsage(call_id="c", stage="intent", provider="p", model="m").cost is None


# --- wire events --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.none(), max_size=4
    )
)
def test_a_wire_event_is_read_back_and_written_as_the_same_bytes(members: dict[str, Any]) -> None:
    event = AgUiWireEvent("CUSTOM", {"type": "CUSTOM", **members} | {"type": "CUSTOM"})
    text = event.to_json()

    assert AgUiWireEvent.from_json(text) == AgUiWireEvent.from_json(text.encode()) == event
    assert AgUiWireEvent.from_json(text).to_json() == text
    assert orjson.loads(text) == event.body
    assert text.startswith('{"type":"CUSTOM"')


# --- answers --------------------------------------------------------------------------------------

ACCEPTED = {
    "taskId": "task-1",
    "threadId": "t-1",
    "runId": "r-1",
    "status": "queued",
    "eventsUrl": "/events",
    "historyUrl": "/history",
    "cursor": "3-0",
}


def test_an_accepted_task_is_camel_case_and_comes_back() -> None:
    assert AcceptedTaskResponse.model_validate(ACCEPTED).wire() == ACCEPTED


def test_a_task_that_waits_has_no_cursor_rather_than_an_empty_one() -> None:
    waiting = AcceptedTaskResponse.model_validate(ACCEPTED | {"status": "waiting", "cursor": None})

    assert "cursor" not in waiting.wire()


def test_a_task_has_a_known_status() -> None:
    with pytest.raises(ValidationError):
        AcceptedTaskResponse.model_validate(ACCEPTED | {"status": "paused"})


def test_a_history_is_camel_case_and_keeps_what_is_in_its_messages_and_state() -> None:
    history = HistorySnapshotResponse(
        thread_id="t-1",
        agent_id="sales",
        title="Time",
        messages=[{"id": "m", "role": "assistant", "metadata": {"cost": None, "snake_case": 1}}],
        state={"a_b": None},
        pending_interrupts=[{"id": "int-1"}],
        active_run=ActiveRun(run_id="r-1", status="running", events_url="/events"),
        cursor="3-17",
        has_more=True,
        next_before="m",
        usage=ThreadUsage(input_tokens=5, output_tokens=2, cost=Decimal("0.10")),
    )

    assert history.wire() == {
        "threadId": "t-1",
        "agentId": "sales",
        "title": "Time",
        "messages": [{"id": "m", "role": "assistant", "metadata": {"cost": None, "snake_case": 1}}],
        "state": {"a_b": None},
        "pendingInterrupts": [{"id": "int-1"}],
        "activeRun": {"runId": "r-1", "status": "running", "eventsUrl": "/events"},
        "cursor": "3-17",
        "hasMore": True,
        "nextBefore": "m",
        "usage": {
            "inputTokens": 5,
            "outputTokens": 2,
            "cachedInputTokens": 0,
            "reasoningTokens": 0,
            "cost": "0.10",
            "costComplete": True,
            "currency": "USD",
        },
    }


def test_a_history_says_null_where_there_is_none() -> None:
    history = HistorySnapshotResponse(
        thread_id="t-1",
        agent_id="default",
        messages=[],
        pending_interrupts=[],
        cursor="0-0",
        usage=ThreadUsage(),
    ).wire()

    assert [name for name, value in history.items() if value is None] == [
        "title",
        "state",
        "activeRun",
        "nextBefore",
    ]
    assert (history["messages"], history["pendingInterrupts"], history["hasMore"]) == ([], [], False)


def test_a_run_s_status_has_times_in_utc_and_leaves_out_what_has_not_happened() -> None:
    created = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    status = RunStatusResponse(
        thread_id="t-1",
        run_id="r-1",
        task_id="task-1",
        status="running",
        attempt=1,
        created_at=created,
        started_at=created + timedelta(seconds=1),
        queue_ms=1000,
        usage=ThreadUsage(),
        events_url="/events",
    ).wire()

    assert (status["createdAt"], status["startedAt"]) == ("2026-11-22T18:00:00Z", "2026-11-22T18:00:01Z")
    assert not {"endedAt", "firstTokenAt", "ttftMs", "totalMs", "errorCode", "waitsFor"} & set(status)
    assert None not in status.values()


# --- cursors --------------------------------------------------------------------------------------

cursors = st.builds(Cursor, st.integers(0, 10**9 - 1), st.integers(0, 10**18 - 1))


@settings(max_examples=200, deadline=None)
@given(cursors)
def test_a_cursor_is_read_as_it_is_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@settings(max_examples=200, deadline=None)
@given(cursors, cursors)
def test_cursors_are_ordered_by_run_and_then_by_event(one: Cursor, other: Cursor) -> None:
    assert (one < other) == ((one.ordinal, one.seq) < (other.ordinal, other.seq))
    assert (one == other) == (str(one) == str(other))
    assert one >= Cursor.START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3-",
        "-3",
        "3-17-1",
        "03-17",
        "3-017",
        "+3-17",
        "3--17",
        " 3-17",
        "3-17\n",
        "3-17 ",
        "3_17",
        "a-b",
        "3-1e3",
        "3.0-1",
        "\u0663-\u0661",
        "1234567890-1",
        "1-1234567890123456789",
        "0x1-1",
        "$",
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a cursor is"):
        Cursor.parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789-", max_size=8))
def test_a_place_has_one_spelling_only(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert str(cursor) == text


def test_state_and_options_are_told_as_they_came_without_looking_into_them() -> None:
    state = {"a": None, "b": [None, {"c": 1.5}]}
    props = {"x": None, "y": {"z": None}}
    told = RunCommand.model_validate({"state": state, "forwardedProps": props}).wire()

    assert told["state"] == state
    assert told["forwardedProps"] == props
    assert "state" not in RunCommand.model_validate({}).wire()
