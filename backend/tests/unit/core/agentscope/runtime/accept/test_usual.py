"""Which requests may be usual, and what is guessed of them."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.accept.usual import guess
from core.agentscope.schemas.agent_runtime import RunCommand

USER = {"id": "u-2", "role": "user", "content": "And then?"}
EARLIER = [
    {"id": "s-1", "role": "system", "content": "Be kind."},
    {"id": "u-1", "role": "user", "content": "Hello"},
    {"id": "a-1", "role": "assistant", "content": "Hello!"},
    {"id": "t-1", "role": "tool", "toolCallId": "call-1", "content": "42"},
]


def command(*messages: dict[str, Any], **members: Any) -> RunCommand:
    return RunCommand.model_validate(
        {
            "threadId": "t",
            "runId": "r",
            "messages": list(messages),
            "forwardedProps": members.pop("props", {}),
        }
        | members
    )


def test_history_has_all_messages_but_the_last_and_no_instructions() -> None:
    found = guess(command(*EARLIER, USER))

    assert found is not None
    assert found.message.id == "u-2"
    assert found.known_ids == ("u-1", "a-1", "t-1")
    assert set(found.sent_ids) == {"s-1", "u-1", "a-1", "t-1", "u-2"}


@pytest.mark.parametrize(
    ("members", "not_behind", "snapshot"),
    [
        ({}, False, "never"),
        ({"protocolVersion": "1.0"}, True, "never"),
        ({"protocolVersion": "1.0", "props": {"messagesSnapshot": "never"}}, False, "never"),
        ({"protocolVersion": "1.0", "props": {"messagesSnapshot": "anew"}}, False, "anew"),
    ],
    ids=["new-messages-only", "whole-copy", "no-snapshot", "anew"],
)
def test_only_a_client_that_shows_the_conversation_may_be_behind(
    members: dict[str, Any], not_behind: bool, snapshot: str
) -> None:
    found = guess(command(USER, **members))

    assert found is not None
    assert (found.not_behind, found.snapshot) == (not_behind, snapshot)


@pytest.mark.parametrize(
    ("messages", "members"),
    [
        ([], {}),
        (EARLIER, {}),
        ([USER], {"resume": [{"interruptId": "i-1", "status": "cancelled"}]}),
        ([USER], {"props": {"regenerateFrom": "u-1"}}),
        ([USER], {"props": {"messagesSnapshot": "always"}}),
        ([USER], {"props": {"onBusy": "perhaps"}}),
        ([USER, USER], {}),
        ([USER | {"content": []}], {}),
    ],
    ids=["nothing", "no-user", "answer", "regenerate", "always", "bad-option", "twice", "empty"],
)
def test_everything_else_is_decided_the_careful_way(
    messages: list[dict[str, Any]], members: dict[str, Any]
) -> None:
    assert guess(command(*messages, **members)) is None


def test_data_that_becomes_a_file_is_not_decoded_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.agentscope.runtime.accept.usual.select_new_messages", _never)
    data = {"type": "data", "value": "QUJD" * 100, "mimeType": "image/png"}

    for source in (data, {"type": "file", "value": "0" * 64}):
        sent = USER | {"content": [{"type": "image", "source": source}]}
        assert guess(command(*EARLIER, sent), inline_bytes=100) is None


def _never(*_: object, **__: object) -> None:
    raise AssertionError


def test_a_message_without_an_id_that_is_said_again_gets_another_id() -> None:
    said = {"role": "user", "content": "Again"}

    found = guess(command(said, said))

    # Each is made of what came before it, so the two differ, and only the last is new.
    assert found is not None
    assert found.known_ids != (found.message.id,)
