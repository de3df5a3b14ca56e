"""What a client is told about a body that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.schemas.agent_runtime import RunCommand
from core.errors import InvalidRequest
from core.validation import parse


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"id": "m-1", "content": "hello"}, "The member 'role' is missing."),
        ({"id": "m-1", "role": "{robot}"}, "The member 'role' must be one of 'user', "),
    ],
    ids=["missing", "unknown"],
)
def test_a_message_without_a_known_role(message: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(RunCommand, {"threadId": "t-1", "messages": [message]})

    (error,) = caught.value.errors
    assert error["pointer"] == "/messages/0"
    assert error["message"].startswith(told)
    assert "robot" not in error["message"]


@pytest.mark.parametrize(
    ("message", "pointers"),
    [
        # The tags of unions (user, str, list, text, data) are names of members here, too.
        ({"id": "m", "role": "user", "user": {"content": 1}}, ["/messages/0/content"]),
        ({"id": "a b", "role": "user", "content": "x", "user": {"id": "u"}}, ["/messages/0/id"]),
        ({"id": "m", "role": "user", "content": {"str": 1}}, ["/messages/0/content"]),
        (
            {"id": "m", "role": "user", "content": [{"type": "text", "text": {"text": "x"}}]},
            ["/messages/0/content", "/messages/0/content/0/text"],
        ),
        (
            {"id": "m", "role": "user", "content": [{"type": "text", "data": {}, "text": None}]},
            ["/messages/0/content", "/messages/0/content/0/text"],
        ),
        (
            {
                "id": "m",
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "data", "data": {"value": 1}, "mimeType": "x"}}
                ],
            },
            ["/messages/0/content", "/messages/0/content/0/source/value"],
        ),
        (
            {"id": "m", "role": "user", "content": [{"type": "binary", "mimeType": 5, "data": "AA=="}]},
            ["/messages/0/content", "/messages/0/content/0/mimeType"],
        ),
    ],
)
def test_a_pointer_names_a_member_never_the_tag_of_a_union(
    message: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(RunCommand, {"threadId": None, "messages": [message]})

    assert {error["pointer"] for error in caught.value.errors} == set(pointers)
