"""Messages survive their way through the table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import internal_event_strategies as any_of

from core.agentscope.events.history_fold import fold
from core.agentscope.events.message_rows import add_costs, metrics, to_message, to_row
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from models.agent_chat_message import AgentChatMessage

CALL = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
PART = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}


def through_the_table(message: dict[str, Any]) -> dict[str, Any]:
    row = to_row(message, session_id=1, position=5, ordinal=2)
    return to_message(AgentChatMessage(**row))


@pytest.mark.parametrize(
    "message",
    [
        {"id": "u", "role": "user", "content": "Hi"},
        {"id": "u", "role": "user", "content": [{"type": "text", "text": "Look"}, PART], "name": "Ada"},
        {"id": "a", "role": "assistant", "content": ""},
        {"id": "a", "role": "assistant", "toolCalls": [CALL]},
        {
            "id": "a",
            "role": "assistant",
            "content": "Paying.",
            "toolCalls": [CALL],
            "metadata": {"cost": None},
        },
        {"id": "r", "role": "tool", "toolCallId": "c", "content": "ok", "metadata": {"state": "denied"}},
        {"id": "s", "role": "reasoning", "content": "Hm", "encryptedValue": "x", "subagentRunId": "s-1"},
    ],
    ids=lambda message: f"{message['role']}-{len(message)}",
)
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    assert through_the_table(message) == message


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"id": any_of.ids, "role": st.sampled_from(["user", "assistant", "tool", "reasoning"])},
        optional={
            "content": any_of.texts,
            "toolCalls": st.just([CALL]),
            "toolCallId": any_of.ids,
            "metadata": any_of.json_objects,
            "error": any_of.texts,
            "encryptedValue": any_of.texts,
        },
    )
)
def test_nothing_a_client_holds_is_lost(message: dict[str, Any]) -> None:
    assert repr(through_the_table(message)) == repr(dict(sorted(message.items(), key=_column_order)))


def _column_order(member: tuple[str, Any]) -> int:
    columns = ("id", "role", "content", "toolCalls", "toolCallId")
    return columns.index(member[0]) if member[0] in columns else len(columns)


def test_a_row_has_its_place_and_no_metrics_yet() -> None:
    row = to_row(
        {"id": "u", "role": "user", "content": "Hi"}, session_id=1, position=5, ordinal=2, imported=True
    )

    assert (row["session_id"], row["position"], row["ordinal"], row["imported"]) == (1, 5, 2, True)
    assert row["model"] is row["cost"] is row["ttft_ms"] is None


@pytest.mark.parametrize("cut", [True, False])
def test_a_cut_message_says_so_in_its_column(cut: bool) -> None:
    events: list[dict[str, Any]] = [
        {"type": "TEXT_MESSAGE_START", "messageId": "m"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m", "metadata": {"incomplete": True} if cut else {"a": 1}},
    ]
    (message,) = fold(AgUiWireEvent(event["type"], event) for event in events)

    assert to_row(message, session_id=1, position=1, ordinal=1)["incomplete"] is cut


# --- metrics ------------------------------------------------------------------------------


def model_call(message_id: str | None = "m", **more: Any) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "model": "small",
        "input_tokens": 10,
        "output_tokens": 4,
        "cached_input_tokens": 2,
        "reasoning_tokens": 1,
        "cost": Decimal("0.01"),
        "currency": "USD",
        "latency_ms": 300,
        "ttft_ms": 40,
        "finish_reason": "stop",
    } | more


def test_one_call_is_its_message_s_metrics() -> None:
    expected = model_call()
    del expected["message_id"]

    assert metrics([model_call(), model_call(None)]) == {"m": expected}


def test_calls_that_wrote_one_message_are_summed_and_the_last_names_the_model() -> None:
    calls = [model_call(), model_call(model="large", finish_reason="length", ttft_ms=90), model_call("n")]
    found = metrics(calls)

    assert {"message_id": "m"} | found["m"] == model_call() | {
        "input_tokens": 20,
        "output_tokens": 8,
        "cached_input_tokens": 4,
        "reasoning_tokens": 2,
        "cost": Decimal("0.02"),
        "latency_ms": 600,
        "model": "large",
        "finish_reason": "length",
    }
    assert found["n"]["input_tokens"] == 10


@pytest.mark.parametrize("unknown", [0, 1])
def test_one_unknown_cost_makes_the_sum_unknown_and_not_smaller(unknown: int) -> None:
    calls = [model_call(), model_call()]
    calls[unknown]["cost"] = None

    assert metrics(calls)["m"]["cost"] is None


def test_costs_are_added_exactly() -> None:
    assert add_costs(Decimal("0.1"), Decimal("0.2")) == Decimal("0.3")
    assert add_costs(None, Decimal(1)) is add_costs(Decimal(1), None) is None


def test_metrics_leave_the_ledger_as_it_is() -> None:
    calls = [model_call(), model_call()]
    metrics(calls)

    assert calls == [model_call(), model_call()]
