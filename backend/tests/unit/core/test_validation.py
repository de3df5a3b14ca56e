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
