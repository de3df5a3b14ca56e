"""The reducer of the Flutter app, in Python, on every stream of ``contract/``; and that it is the same as the one in Dart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.chat_cursor import is_behind
from tests.support.chat_events import read_chat_event
from tests.support.chat_reducer import opened, receive, reduce
from tests.support.chat_state import ChatState
from tests.support.contract_vectors import (
    Told,
    begin,
    history_of,
    read_block,
    vectors,
    with_states,
)
from tests.support.recorded_streams import STREAMS

from core.agentscope.events.event_types import EVENT_TYPES

_VECTORS = vectors()
_NAMES = sorted(_VECTORS)


def _told(step: dict[str, Any]) -> list[Told]:
    return [told for frame in step.get("stream", []) if (told := read_block(frame["sse"]))]


def _after(state: ChatState, told: list[Told]) -> ChatState:
    for each in told:
        state = receive(state, each.cursor, read_chat_event(each.event))
    return state


# --- the vectors ------------------------------------------------------------------


@pytest.mark.parametrize("name", _NAMES)
def test_the_state_after_every_event_is_that_of_the_vector(name: str) -> None:
    vector = _VECTORS[name]

    assert with_states(vector) == vector


@pytest.mark.parametrize("name", _NAMES)
def test_an_app_holds_what_history_says(name: str) -> None:
    state, compared = ChatState(), 0
    for step in _VECTORS[name]["steps"]:
        state = _after(begin(state, step), _told(step))
        if step["step"] == "history":
            compared += 1
            assert history_of(state) == history_of(opened(step["answer"]))

    assert compared > 0
    assert _VECTORS[name]["steps"][-1]["step"] == "history"


@pytest.mark.parametrize("name", _NAMES)
def test_a_stream_that_is_cut_anywhere_goes_on_with_the_same_state(name: str) -> None:
    state = ChatState()
    for step in _VECTORS[name]["steps"]:
        before, told = begin(state, step), _told(step)
        state = _after(before, told)
        for cut in range(len(told)):
            # What is told again behind a broken line: nothing, the last three events, or all of them.
            for again in {cut, max(0, cut - 3), 0}:
                assert _after(_after(before, told[:cut]), told[again:]) == state


@pytest.mark.parametrize("name", _NAMES)
def test_events_that_are_told_again_change_nothing(name: str) -> None:
    state = ChatState()
    for step in _VECTORS[name]["steps"]:
        told = _told(step)
        state = _after(begin(state, step), told)
        assert _after(state, told) == state


def test_the_scenarios_have_every_event_that_the_service_sends() -> None:
    told = {
        each.event["type"] for vector in _VECTORS.values() for step in vector["steps"] for each in _told(step)
    }

    assert set(EVENT_TYPES) <= told


# --- runs of all kinds ------------------------------------------------------------

_RECORDINGS = {path.stem: json.loads(path.read_text()) for path in sorted(STREAMS.glob("*.json"))}
"""What the runtime can say, and what the service makes of it: frames, and the messages of history."""


def _is_orphan(message: dict[str, Any], messages: list[dict[str, Any]]) -> bool:
    """Say whether a message is the result of a call that is not there, so that its place is anywhere."""
    calls = {call["id"] for each in messages for call in each.get("toolCalls", [])}
    return message["role"] == "tool" and message["toolCallId"] not in calls


def _in_order(messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    orphans = [message for message in messages if _is_orphan(message, messages)]
    return [orphans, [message for message in messages if message not in orphans]]


@pytest.mark.parametrize("name", _RECORDINGS)
def test_the_messages_of_a_run_are_those_that_the_service_makes_of_it(name: str) -> None:
    recording = _RECORDINGS[name]
    told = [told for sse in recording["frames"] if (told := read_block(sse))]
    # History has the conversation before; here a run alone is looked at.
    own = [each for each in told if each.event["type"] != "MESSAGES_SNAPSHOT"]
    state = _after(ChatState(), own)

    assert _in_order(state.messages) == _in_order(recording["messages"])
    assert _after(state, own) == state


@pytest.mark.parametrize("name", _RECORDINGS)
def test_the_older_vocabulary_says_the_same(name: str) -> None:
    recording = _RECORDINGS[name]
    older = {sse.split("\n")[0]: sse for sse in recording["older_frames"]}
    frames = [older.get(sse.split("\n")[0], sse) for sse in recording["frames"]]
    state = _after(ChatState(), [told for sse in frames if (told := read_block(sse))])
    newer = _after(ChatState(), [told for sse in recording["frames"] if (told := read_block(sse))])

    same = ("run_id", "status", "stages", "subagents", "open", "shared_state", "usage", "retrying", "sources")
    assert [getattr(state, name) for name in same] == [getattr(newer, name) for name in same]
    assert [message["id"] for message in state.messages] == [message["id"] for message in newer.messages]


# --- what the scenarios do not have -----------------------------------------------


def _reduced(*events: dict[str, Any], state: ChatState | None = None) -> ChatState:
    state = state or ChatState()
    for event in events:
        state = reduce(state, read_chat_event(event))
    return state


_STARTED = {"type": "RUN_STARTED", "threadId": "t", "runId": "r"}


def test_pieces_without_a_start_build_messages_and_calls() -> None:
    state = _reduced(
        _STARTED,
        {"type": "REASONING_MESSAGE_CHUNK", "messageId": "1", "delta": "h"},
        {"type": "REASONING_MESSAGE_CHUNK", "delta": "m"},
        {"type": "TEXT_MESSAGE_CHUNK", "delta": "lost: it belongs to nothing"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "2", "role": "assistant", "delta": "He"},
        {"type": "TEXT_MESSAGE_CHUNK", "delta": "llo"},
        {
            "type": "TOOL_CALL_CHUNK",
            "toolCallId": "c",
            "toolCallName": "f",
            "parentMessageId": "2",
            "delta": "{",
        },
        {"type": "TOOL_CALL_CHUNK", "delta": "}"},
    )

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert state.messages == [
        {"id": "1", "role": "reasoning", "content": "hm"},
        {"id": "2", "role": "assistant", "content": "Hello", "toolCalls": [call]},
    ]
    assert (state.open, state.call_status("c")) == (["1", "2", "c"], "writing")


def test_an_activity_is_a_message_that_is_patched() -> None:
    snapshot = {
        "type": "ACTIVITY_SNAPSHOT",
        "messageId": "1",
        "activityType": "plan",
        "content": {"steps": ["a"]},
    }
    add = {"op": "add", "path": "/steps/-", "value": "b"}
    broken = {"op": "remove", "path": "/steps/9"}
    state = _reduced(
        snapshot,
        {"type": "ACTIVITY_DELTA", "messageId": "1", "activityType": "plan", "patch": [add]},
        {"type": "ACTIVITY_DELTA", "messageId": "1", "activityType": "plan", "patch": [add, broken]},
        {"type": "ACTIVITY_DELTA", "messageId": "2", "activityType": "plan", "patch": [add]},
        {**snapshot, "content": {}, "replace": False},
    )

    assert [message["content"] for message in state.messages] == [{"steps": ["a", "b"]}]


def test_what_is_agentroutes_own_is_kept_until_the_next_run() -> None:
    progress = {"toolCallId": "c", "message": "half", "progress": 1, "total": 2}
    state = _reduced(
        _STARTED,
        _custom("retrying", {"attempt": 2, "delayMs": 500, "code": "model-unavailable"}),
        _custom("tool-progress", progress),
        _custom("sources", {"query": "tea", "sources": []}),
        _custom("data", {"mediaType": "image/png", "url": "https://example.org"}),
        _custom("messages-snapshot-omitted", {"bytes": 9, "maxBytes": 8}),
        _custom("tool-progress", "broken"),
        _custom("input", {}),
        _custom("unheard-of", {}),
    )

    assert (state.retrying or {})["attempt"] == 2
    assert state.progress == {"c": progress}
    assert ([each["query"] for each in state.sources], len(state.media)) == (["tea"], 1)
    assert state.is_incomplete
    after = _reduced(_STARTED, state=state)
    assert (after.retrying, after.progress, after.sources, after.media) == (None, {}, [], [])


def test_a_model_that_answers_is_not_asked_again() -> None:
    retrying = _custom("retrying", {"attempt": 2})

    assert _reduced(retrying, {"type": "TEXT_MESSAGE_START", "messageId": "m"}).retrying is None


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({}, "done"),
        ({"metadata": {"state": "success"}}, "done"),
        ({"metadata": {"state": "error"}}, "failed"),
        ({"metadata": {"state": "denied"}}, "denied"),
        ({"metadata": {"state": "interrupted"}}, "stopped"),
        ({"metadata": {"state": "a word of the future"}}, "failed"),
    ],
)
def test_a_result_says_how_its_call_went(result: dict[str, Any], status: str) -> None:
    start = {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "f"}
    told = {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "", **result}
    state = _reduced(_STARTED, start, {"type": "TOOL_CALL_END", "toolCallId": "c"})

    assert state.call_status("c") == "running"
    assert _reduced(told, told, state=state).call_status("c") == status
    assert len(_reduced(told, told, state=state).messages) == 2


@pytest.mark.parametrize(
    "event",
    [
        {"type": "A_TYPE_OF_THE_FUTURE"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "nobody began it", "delta": "x"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": 1},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "nobody began it", "delta": "x"},
        {"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/nothing"}]},
        {"type": "CUSTOM", "name": "agentroute.subagent", "value": None},
        {"type": "REASONING_START", "messageId": "m"},
        {"type": "RAW", "event": {}},
    ],
)
def test_what_is_not_known_and_what_does_not_fit_change_nothing(event: dict[str, Any]) -> None:
    state = _reduced(_STARTED, {"type": "STATE_SNAPSHOT", "snapshot": {"n": 1}})

    assert _reduced(event, state=state) == state


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}, "succeeded"),
        (
            {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "of the future"}},
            "succeeded",
        ),
        ({"type": "RUN_FINISHED", "outcome": "broken"}, "succeeded"),
        ({"type": "RUN_ERROR", "message": "no", "code": "cancelled"}, "cancelled"),
        ({"type": "RUN_ERROR", "message": "no"}, "failed"),
        ({"type": "RUN_ERROR"}, "failed"),
    ],
)
def test_nothing_goes_on_after_the_end_of_a_run(end: dict[str, Any], status: str) -> None:
    state = _reduced(
        _STARTED,
        {"type": "STEP_STARTED", "stepName": "execution"},
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s", "name": "n"},
        {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "f"},
        end,
    )

    assert (state.status, state.open, state.call_status("c")) == (status, [], "stopped")
    assert ([stage.is_open for stage in state.stages], state.subagents[0].status) == ([False], "stopped")


@pytest.mark.parametrize(
    ("cursor", "last", "expected"),
    [
        ("1-1", None, False),
        ("1-1", "1-1", True),
        ("1-2", "1-1", False),
        ("1-9", "1-10", True),
        ("2-1", "1-10", False),
        ("3-17.2", "3-17", True),
        ("3-17.1", "3-17.2", False),
        ("3-17", "3-17.1", False),
        ("3-17.5", "3-16", False),
        ("of the future", "1-1", False),
        ("9" * 40 + "-1", "1-1", False),
        ("1-1", "9" * 40 + "-1", False),
    ],
)
def test_a_cursor_is_behind_another(cursor: str, last: str | None, expected: bool) -> None:
    assert is_behind(cursor, last) is expected


def _custom(name: str, value: Any) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": f"agentroute.{name}", "value": value}
