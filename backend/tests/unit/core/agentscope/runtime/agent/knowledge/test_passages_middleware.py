"""Passages are at the end of the user's newest message, in a copy."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from agentscope.message import AssistantMsg, Base64Source, DataBlock, Msg, SystemMsg, UserMsg

from core.agentscope.runtime.agent.knowledge.passages_middleware import with_reminder

PICTURE = DataBlock(source=Base64Source(data=base64.b64encode(b"x").decode(), media_type="image/png"))
SYSTEM = SystemMsg(name="system", content="s")
SAID = AssistantMsg(name="assistant", content="a")


def texts(messages: list[Msg]) -> list[list[str]]:
    return [
        [getattr(block, "text", block.type) for block in message.get_content_blocks()] for message in messages
    ]


def user(content: Any) -> Msg:
    return UserMsg(name="user", content=content)


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([SYSTEM, user("q"), SAID], [["s"], ["q\n\nP"], ["a"]]),
        ([user("old"), SAID, user("q")], [["old"], ["a"], ["q\n\nP"]]),
        ([user([PICTURE])], [["data", "P"]]),
        ([user([])], [["\n\nP"]]),
        ([SYSTEM, SAID], [["s"], ["a"], ["P"]]),
    ],
)
def test_the_newest_message_of_the_user_ends_with_the_passages(
    messages: list[Msg], sent: list[list[str]]
) -> None:
    before = texts(messages)

    assert texts(with_reminder(messages, "P")) == sent
    assert texts(messages) == before
    assert texts(with_reminder(with_reminder(messages, "P"), "P")) == sent
    assert with_reminder(messages, "") == messages
