"""Converts AG-UI messages to rows and back, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from models.agent_chat_message import AgentChatMessage

_COLUMNS = frozenset({"id", "role", "content", "toolCalls", "toolCallId"})


def to_row(
    message: Mapping[str, Any], *, session_id: int, position: int, ordinal: int, imported: bool = False
) -> dict[str, Any]:
    """Return the column values of a message at a position of its thread."""
    extra = {key: value for key, value in message.items() if key not in _COLUMNS}
    return {
        "session_id": session_id,
        "position": position,
        "ordinal": ordinal,
        "message_id": message["id"],
        "role": message["role"],
        "content": message.get("content"),
        "tool_calls": message.get("toolCalls"),
        "tool_call_id": message.get("toolCallId"),
        "extra": extra or None,
        "incomplete": bool(extra.get("metadata", {}).get("incomplete", False)),
        "imported": imported,
        **dict.fromkeys(_METRICS),
    }


def to_message(row: AgentChatMessage | Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Return the AG-UI message of a row, or of a row's columns, as a client holds it."""
    message: dict[str, Any] = {"id": row.message_id, "role": row.role}
    if row.content is not None:
        message["content"] = row.content
    if row.tool_calls is not None:
        message["toolCalls"] = row.tool_calls
    if row.tool_call_id is not None:
        message["toolCallId"] = row.tool_call_id
    return message | (row.extra or {})


_METRICS = (
    "model",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cost",
    "currency",
    "latency_ms",
    "ttft_ms",
    "finish_reason",
)


def metrics(calls: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the metric columns by message id: what the model calls that wrote each message used.

    A cost is the sum of its calls' costs, or unknown when one of them is.
    """
    by_message: dict[str, dict[str, Any]] = {}
    for call in calls:
        if call["message_id"] is None:
            continue
        entry = by_message.get(call["message_id"])
        if entry is None:
            by_message[call["message_id"]] = {name: call[name] for name in _METRICS}
            continue
        for name in (
            "input_tokens",
            "output_tokens",
            "cached_input_tokens",
            "reasoning_tokens",
            "latency_ms",
        ):
            entry[name] += call[name]
        entry["cost"] = add_costs(entry["cost"], call["cost"])
        entry["model"], entry["finish_reason"] = call["model"], call["finish_reason"]
    return by_message


def add_costs(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other
