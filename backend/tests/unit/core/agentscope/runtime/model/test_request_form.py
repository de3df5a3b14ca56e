"""A request for an endpoint without quirks costs a long conversation nothing."""

from __future__ import annotations

from typing import Any

from core.agentscope.runtime.model.quirks import Quirk
from core.agentscope.runtime.model.request_form import adapted

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {
        "role": "user",
        "name": "ada",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    },
    {"role": "assistant", "content": "b"},
    {"role": "assistant", "content": "c", "reasoning_content": "hm"},
]


def test_messages_without_a_fault_are_passed_on_as_they_are() -> None:
    made = adapted({"model": "m", "messages": MESSAGES}, frozenset())["messages"]

    assert [one is other for one, other in zip(made, MESSAGES, strict=True)] == [True, True, True, False]
    assert made[3] == {"role": "assistant", "content": "c"}
    assert MESSAGES[3]["reasoning_content"] == "hm", "what was given is not changed"


def test_a_quirk_that_says_nothing_of_the_conversation_changes_no_message() -> None:
    plain = adapted({"messages": MESSAGES}, frozenset())

    assert adapted({"messages": MESSAGES}, {Quirk.NO_STREAM, Quirk.CALL_IDS_40, Quirk.NO_REASONING}) == plain
