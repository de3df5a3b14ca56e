"""What a provider wants back: collected in pieces, kept whole, returned to nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Msg,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolResultBlock,
    UserMsg,
)
from agentscope.state import AgentState

from core.agentscope.runtime.model.chat_opaque import FIELD, OpaqueCollector, OpaqueValue, give_back
from core.agentscope.runtime.model.chat_order import ToolCall
from core.agentscope.runtime.model.chat_request import ChatFormatter

ORIGIN = "here/small"


def message_of(*deltas: dict[str, Any]) -> Any:
    collector = OpaqueCollector()
    for delta in deltas:
        collector.message(delta)
    value = collector.value(ORIGIN)
    return None if value is None else value.message


def details(*pieces: dict[str, Any]) -> dict[str, Any]:
    return {"reasoning_details": list(pieces)}


def blocks(*pieces: dict[str, Any]) -> dict[str, Any]:
    return {"thinking_blocks": list(pieces)}


def test_the_pieces_of_a_detail_are_joined_by_index_and_type() -> None:
    assert message_of(
        details({"type": "reasoning.text", "text": "I th", "index": 0, "format": "anthropic-claude-v1"}),
        details({"type": "reasoning.text", "text": "ink", "index": 0}),
        details({"type": "reasoning.text", "signature": "sig", "index": 0, "id": None}),
        details({"type": "reasoning.encrypted", "data": "AA", "index": 1}),
        details({"type": "reasoning.encrypted", "data": "BB", "index": 1}),
    ) == details(
        {
            "type": "reasoning.text",
            "text": "I think",
            "index": 0,
            "format": "anthropic-claude-v1",
            "signature": "sig",
        },
        {"type": "reasoning.encrypted", "data": "AABB", "index": 1},
    )


def test_details_without_an_index_go_on_until_one_is_signed() -> None:
    text = {"type": "reasoning.text"}
    assert message_of(
        details(text | {"text": "a"}),
        details(text | {"text": "b", "signature": "s1"}),
        details(text | {"text": "c"}),
    ) == details(text | {"text": "ab", "signature": "s1"}, text | {"text": "c"})


def test_a_thinking_block_ends_with_its_signature() -> None:
    thinking = {"type": "thinking"}
    assert message_of(
        blocks(thinking | {"thinking": "a", "signature": ""}),
        blocks(thinking | {"thinking": "b", "signature": ""}),
        blocks(thinking | {"thinking": "", "signature": "s1"}),
        blocks({"type": "redacted_thinking", "data": "XX"}),
        blocks({"type": "redacted_thinking", "data": "YY"}),
    ) == blocks(
        thinking | {"thinking": "ab", "signature": "s1"},
        {"type": "redacted_thinking", "data": "XX"},
        {"type": "redacted_thinking", "data": "YY"},
    )


@pytest.mark.parametrize(
    "delta",
    [
        {},
        details({"type": "reasoning.text", "text": "readable"}),
        blocks({"type": "thinking", "thinking": "readable", "signature": ""}),
        {"reasoning_details": None},
        {"reasoning_details": "x"},
        {"reasoning_details": [1, "x", None]},
        details({"type": "reasoning.encrypted", "data": "x" * (300 << 10)}),
    ],
    ids=["nothing", "readable", "unsigned", "null", "no list", "no objects", "too much"],
)
def test_what_nobody_needs_back_is_not_kept(delta: dict[str, Any]) -> None:
    assert message_of(delta) is None


def test_a_call_s_signature_is_kept_under_the_id_it_has_in_the_end() -> None:
    collector = OpaqueCollector()
    call = ToolCall(id="call-1")
    collector.call(call, {"extra_content": {"google": {"thought_signature": "s"}}})
    collector.call(call, {"function": {"arguments": "{}"}})
    value = collector.value(ORIGIN)

    assert value is not None
    assert value.calls == {"call-1": {"extra_content": {"google": {"thought_signature": "s"}}}}


def test_others_get_nothing_back() -> None:
    value = OpaqueValue(ORIGIN, details({"data": "x"}), {}).data()
    own: dict[str, Any] = {"role": "assistant", "content": "hi"}
    foreign = dict(own)
    give_back(own, [value, value], ORIGIN)
    give_back(foreign, [value], "there/large")

    assert own["reasoning_details"] == [{"data": "x"}, {"data": "x"}]
    assert foreign == {"role": "assistant", "content": "hi"}


# --- the next request --------------------------------------------------------------


def thought(data: str, calls: dict[str, Any] | None = None, text: str = "Hm") -> ThinkingBlock:
    block = ThinkingBlock(thinking=text)
    setattr(block, FIELD, OpaqueValue(ORIGIN, details({"data": data}), calls or {}).data())
    return block


CONVERSATION = [
    UserMsg(name="user", content="hi"),
    AssistantMsg(
        name="assistant",
        content=[
            thought("first", {"c1": {"extra_content": {"s": 1}}}),
            TextBlock(text="one"),
            ToolCallBlock(id="c1", name="f", input="{}"),
            ToolCallBlock(id="c2", name="f", input="{}"),
            ToolResultBlock(id="c1", name="f", output="done"),
            ToolResultBlock(id="c2", name="f", output="done"),
            TextBlock(text="two"),
            thought("second", text=""),
        ],
    ),
    UserMsg(name="user", content="and now"),
]


async def sent(messages: list[Msg], origin: str = ORIGIN) -> list[dict[str, Any]]:
    return await ChatFormatter(origin=origin).format(messages)


async def test_each_answer_goes_back_with_its_own() -> None:
    messages = await sent(CONVERSATION)

    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "user",
    ]
    assert [message.get("reasoning_details") for message in messages] == [
        None,
        [{"data": "first"}],
        None,
        None,
        [{"data": "second"}],
        None,
    ]
    assert [call.get("extra_content") for call in messages[1]["tool_calls"]] == [{"s": 1}, None]


async def test_nothing_else_of_the_request_changes() -> None:
    plain = await sent(CONVERSATION, origin="there/large")
    members = {name for message in plain for name in message}
    stripped = [{k: v for k, v in message.items() if k in members} for message in await sent(CONVERSATION)]
    for message in stripped:
        for call in message.get("tool_calls", ()):
            call.pop("extra_content", None)

    assert members == {"role", "content", "tool_calls", "tool_call_id", "reasoning_content"}
    assert stripped == plain


async def test_it_survives_a_checkpoint() -> None:
    state = AgentState(session_id="t", context=CONVERSATION)
    again = AgentState.model_validate_json(state.model_dump_json())

    assert await sent(list(again.context)) == await sent(CONVERSATION)
