"""A command is made of a body only within every limit."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.schemas.agent_runtime import RunCommand
from core.config import LimitSettings
from core.errors import InvalidRequest, LimitExceeded
from v1.agent.checked_command import CheckedCommand, read_command

HELLO = {"id": "m-1", "role": "user", "content": "hello"}
SMALL = LimitSettings(max_message_bytes=1024)


def read(limits: LimitSettings | None = None, **members: Any) -> CheckedCommand:
    return read_command(RunCommand, {"messages": [HELLO]} | members, limits or LimitSettings())


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"messages": [HELLO, HELLO | {"content": "é" * 600}]}, "/messages/1/content"),
        (
            {"messages": [HELLO | {"content": [{"type": "text", "text": "x" * 600}] * 2}]},
            "/messages/0/content",
        ),
        (
            {"messages": [{"id": "m", "role": "tool", "toolCallId": "c", "content": "x" * 1025}]},
            "/messages/0/content",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_too_much_text_is_refused_with_its_place(members: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(SMALL, **members)
    assert [entry["pointer"] for entry in caught.value.errors] == [pointer]


def test_what_is_never_taken_is_not_measured() -> None:
    image = {"type": "image", "source": {"type": "data", "value": "A" * 5000, "mimeType": "image/png"}}
    messages = [
        {"id": "m-0", "role": "assistant", "content": "x" * 5000},
        {"id": "m-1", "role": "system", "content": "x" * 5000},
        {"id": "m-2", "role": "user", "content": [image]},
    ]

    assert read(SMALL, messages=messages)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("onBusy", "queue"),
        ("onBusy", 1),
        ("onInterrupt", "reject"),
        ("onDisconnect", ""),
        ("regenerateFrom", "a b"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_with_its_place(option: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(forwardedProps={option: value})
    assert [entry["pointer"] for entry in caught.value.errors] == [f"/forwardedProps/{option}"]


def test_properties_of_others_are_left_alone() -> None:
    assert read(forwardedProps={"theirs": {"onBusy": 1}})
