"""The port of the Dart SDK's decoder: what it takes and what ends the app's stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.dart_decode import DartDecodingError, decode, decode_stream

_SNAPSHOT = {
    "type": "MESSAGES_SNAPSHOT",
    "messages": [
        {"id": "1", "role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"id": "2", "role": "reasoning", "content": ""},
        {
            "id": "3",
            "role": "assistant",
            "toolCalls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"id": "4", "role": "tool", "toolCallId": "c", "content": "", "metadata": {"state": "denied"}},
    ],
}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "RUN_STARTED", "threadId": "t", "runId": "r", "protocolVersion": "1.0"},
        {"type": "RUN_FINISHED", "thread_id": "t", "run_id": "r", "outcome": {"type": "anything"}},
        {"type": "RUN_ERROR", "message": "no", "code": None},
        {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "a role of the future"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "", "timestamp": 1.5},
        {"type": "REASONING_MESSAGE_START", "messageId": "m", "role": "reasoning"},
        {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "", "unknown": []},
        {"type": "STATE_SNAPSHOT", "snapshot": None},
        {"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/a"}]},
        {"type": "CUSTOM", "name": "n", "value": None},
        _SNAPSHOT,
    ],
)
def test_it_decodes(event: dict[str, Any]) -> None:
    assert decode(json.dumps(event)) == event


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "SUBAGENT_STARTED", "subagentRunId": "s", "name": "n"}, "unknown event type"),
        ({"type": "RUN_STARTED", "threadId": "t"}, "runId is missing"),
        ({"type": "RUN_STARTED", "threadId": "t" * 101, "runId": "r"}, "longer than 100"),
        ({"type": "RUN_STARTED", "threadId": "t", "runId": "r", "input": {}}, "input is echoed"),
        ({"type": "RUN_ERROR", "message": ""}, "message is empty"),
        ({"type": "TEXT_MESSAGE_START", "messageId": ""}, "messageId is empty"),
        (
            {"type": "TEXT_MESSAGE_START", "messageId": None, "message_id": "m"},
            "messageId is missing or null",
        ),
        ({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m"}, "delta is missing"),
        ({"type": "TEXT_MESSAGE_END", "messageId": "m", "timestamp": "now"}, "timestamp is no number"),
        ({"type": "TEXT_MESSAGE_END", "messageId": "m", "timestamp": 2**60}, "timestamp is out of range"),
        ({"type": "REASONING_MESSAGE_START", "messageId": "m"}, "role is missing"),
        ({"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": []}, "content is not"),
        ({"type": "STATE_SNAPSHOT"}, "snapshot is missing"),
        ({"type": "STATE_DELTA", "delta": ["remove"]}, "is no object"),
        ({"type": "CUSTOM", "name": "n"}, "value is missing"),
        (
            {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "1", "role": "tool", "content": []}]},
            r"messages\[0\]: content is not",
        ),
        (
            {
                "type": "MESSAGES_SNAPSHOT",
                "messages": [
                    {
                        "id": "1",
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "file", "value": "f"}}],
                    }
                ],
            },
            "source type is unknown",
        ),
    ],
)
def test_it_refuses(event: dict[str, Any], reason: str) -> None:
    with pytest.raises(DartDecodingError, match=reason):
        decode(json.dumps(event))


@pytest.mark.parametrize("data", ["[DONE]", "[]", '{"type": "RUN_ERROR", "message": NaN}', "{"])
def test_what_is_no_json_object_ends_the_stream(data: str) -> None:
    with pytest.raises(DartDecodingError, match="no JSON"):
        decode_stream(f"data: {data}\n\n")


def test_comments_ids_and_retry_lines_are_no_events() -> None:
    event = {"type": "CUSTOM", "name": "n", "value": "a\u2028b"}
    data = json.dumps(event, ensure_ascii=False)
    body = f"retry: 2000\n\n: hb\n\nid: 1-1\ndata: {data}\n\ndata: :\n\n"

    assert decode_stream(body) == [event]
