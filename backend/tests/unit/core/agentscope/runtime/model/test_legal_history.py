"""A conversation is legal, whatever was left in it: names, arguments, ids, pairs of calls and results, empty messages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.runtime.model.legal_history import (
    NO_RESULT,
    decoded_once,
    legal,
    legal_name,
    object_arguments,
)


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(call_id: str, content: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("name", "legal_one"),
    [
        ("calculate", "calculate"),
        ("functions.calculate", "functions_calculate"),
        ("calculate<|channel|>json", "calculate_channel_json"),
        ("a" * 200, "a" * 64),
        ("rechne_plötzlich", "rechne_pl_tzlich"),
        ("", "unknown"),
        ("⛄", "unknown"),
        ("mcp__server__tool-1", "mcp__server__tool-1"),
    ],
)
def test_names(name: str, legal_one: str) -> None:
    assert legal_name(name) == legal_one


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": 1', '{"a": 1}'),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('"hello"', "{}"),
        ('"[1]"', "{}"),
        ('"\\"{}\\""', "{}"),
        ("null", "{}"),
        ("[]", "{}"),
        ('[{"a": 1}]', "{}"),
        ("3", "{}"),
        ("true", "{}"),
        ("not json", "{}"),
        ("[" * 5000, "{}"),
    ],
)
def test_arguments(written: str, sent: str) -> None:
    assert object_arguments(written) == sent


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        pytest.param([HI, asks(call("c"))], [HI, asks(call("c")), result("c", NO_RESULT)], id="no-result"),
        pytest.param(
            [asks(call("c")), HI, result("c")], [asks(call("c")), result("c"), HI], id="result-after-the-user"
        ),
        pytest.param(
            [result("c"), asks(call("c"))], [asks(call("c")), result("c")], id="result-before-the-call"
        ),
        pytest.param(
            [asks(call("c")), result("c", "1"), result("c", "2")],
            [asks(call("c")), result("c", "1")],
            id="two-results",
        ),
        pytest.param(
            [asks(call("c")), result("c", "1"), asks(call("c")), result("c", "2")],
            [asks(call("c")), result("c", "1"), asks(call("c-2")), result("c-2", "2")],
            id="an-id-used-twice",
        ),
        pytest.param(
            [asks(call("c"), call("c")), result("c", "1")],
            [asks(call("c"), call("c-2")), result("c", "1"), result("c-2", NO_RESULT)],
            id="an-id-used-twice-at-once",
        ),
        pytest.param(
            [HI, result("c", "42")],
            [HI, {"role": "user", "content": "[The result of a tool call, not written by the user]\n42"}],
            id="result-without-a-call",
        ),
        pytest.param(
            [asks(call("c"), content=" \n"), result("c", "")],
            [asks(call("c")), result("c", "(no output)")],
            id="empty-texts",
        ),
        pytest.param(
            [HI, {"role": "assistant", "content": "\n"}, {"role": "user", "content": ""}],
            [HI, {"role": "user", "content": "(empty message)"}],
            id="empty-messages",
        ),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": ""}, {"type": "image_url", "image_url": {}}],
                }
            ],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            id="an-empty-part",
        ),
    ],
)
def test_repairs(messages: list[dict[str, Any]], sent: list[dict[str, Any]]) -> None:
    assert legal(messages) == sent
    assert legal(sent) == sent


_IDS = st.sampled_from(["a", "b", "c"])
_MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=3)),
        st.builds(lambda text: {"role": "assistant", "content": text}, st.text(max_size=3)),
        st.builds(
            lambda ids, name, arguments: asks(*(call(i, name, arguments) for i in ids)),
            st.lists(_IDS, min_size=1, max_size=3),
            st.text(max_size=80),
            st.one_of(st.text(max_size=9), st.sampled_from(["null", "[]", '{"a":1}', '"{}"'])),
        ),
        st.builds(result, _IDS, st.text(max_size=3)),
    ),
    max_size=9,
)


@given(_MESSAGES)
def test_any_conversation_becomes_legal(messages: list[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    seen: set[str] = set()
    for message in legal(messages):
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            continue
        assert not open_calls
        assert message.get("tool_calls") or message["content"].strip()
        for made in message.get("tool_calls", ()):
            assert re.fullmatch("[A-Za-z0-9_-]{1,64}", made["function"]["name"], re.ASCII)
            assert isinstance(json.loads(made["function"]["arguments"]), dict)
            assert made["id"] not in seen
            seen.add(made["id"])
            open_calls.append(made["id"])
    assert not open_calls


def test_a_string_is_decoded_once_and_not_twice() -> None:
    assert decoded_once('"{\\"a\\": 1}"') == '{"a": 1}'
    assert decoded_once('"\\"{}\\""') is None
    assert decoded_once('{"a": 1}') is None
