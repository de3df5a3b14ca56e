"""Opaque values that a provider wants back unchanged with the next request: encrypted reasoning and signatures.

Pure. Compatible endpoints use members of their own for them:

* ``reasoning_details`` (OpenRouter): pieces with an index; ``data`` or ``signature`` is opaque.
* ``thinking_blocks`` (LiteLLM): pieces in order; a ``signature`` or ``data`` ends its block.
* ``extra_content`` of a tool call (Gemini): ``thought_signature``.

The first two belong to the assistant message, the third to its tool call. Readable reasoning alone is not kept: the
reasoning message has it already.

Source: OpenRouter, "Preserving reasoning"; LiteLLM, "Reasoning content";
Gemini API, "OpenAI compatibility" and "Thought signatures".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.agentscope.runtime.model.chat_order import ToolCall

FIELD = "agentroute_opaque"
"""Extra member of AgentScope's ``ThinkingBlock`` that holds an ``OpaqueValue`` as JSON data."""
_MAX_BYTES = 256 << 10
"""Far above what providers send. There is a limit because clients send the value back with every run."""
_PIECES = ("text", "summary", "thinking", "data", "signature")
"""Members that come in pieces and are joined. Of all others the last value counts."""
_OPAQUE = ("data", "signature")


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """What a provider wants back of one model call, in the provider's form."""

    origin: str
    """Provider and model. No other model can read the value, and some refuse requests that hold it."""
    message: Mapping[str, Any]
    """Members of the assistant message."""
    calls: Mapping[str, Mapping[str, Any]]
    """Members of its tool calls, by id."""

    def data(self) -> dict[str, Any]:
        """Return it as JSON data, for the agent's state."""
        return {"origin": self.origin, "message": dict(self.message), "calls": dict(self.calls)}


class OpaqueCollector:
    """Collects the opaque members of one answer, piece by piece."""

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._calls: list[tuple[ToolCall, dict[str, Any]]] = []

    def message(self, written: Mapping[str, Any]) -> None:
        """Take in a delta of the message, or the complete message."""
        for piece in _objects(written.get("reasoning_details")):
            _join(self._details, piece, _same_detail(self._details, piece))
        for piece in _objects(written.get("thinking_blocks")):
            last = self._blocks[-1] if self._blocks else None
            goes_on = last is not None and last.get("type") == piece.get("type") and not _is_opaque(last)
            _join(self._blocks, piece, last if goes_on else None)

    def call(self, call: ToolCall, written: Mapping[str, Any]) -> None:
        """Take in a delta of a tool call."""
        extra = written.get("extra_content")
        if isinstance(extra, dict) and extra:
            self._calls.append((call, {"extra_content": extra}))

    def value(self, origin: str) -> OpaqueValue | None:
        """Return what is to be kept of a complete answer; ``None`` when that is nothing or too long."""
        members = {"reasoning_details": self._details, "thinking_blocks": self._blocks}
        message = {name: parts for name, parts in members.items() if any(map(_is_opaque, parts))}
        calls = {call.id: extra for call, extra in self._calls}
        if not message and not calls:
            return None
        value = OpaqueValue(origin, message, calls)
        return value if len(json_text(value.data())) <= _MAX_BYTES else None


def give_back(message: dict[str, Any], values: Iterable[Mapping[str, Any]], origin: str) -> None:
    """Put what a provider wants back onto the assistant message it came with.

    Args:
        message: A message of a chat completion request; changed in place.
        values: ``OpaqueValue.data`` of the model calls that wrote it, in order.
        origin: Provider and model of the request; values of others are left out.
    """
    for value in values:
        if value["origin"] != origin:
            continue
        for name, parts in value["message"].items():
            message[name] = [*message.get(name, ()), *parts]
        for call in message.get("tool_calls", ()):
            call.update(value["calls"].get(call["id"], {}))


def json_text(members: Mapping[str, Any]) -> str:
    """Return JSON of any value a provider may send, also of integers too long for orjson."""
    return json.dumps(members, ensure_ascii=True, separators=(",", ":"))


def _objects(pieces: Any) -> list[dict[str, Any]]:
    return [piece for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []


def _same_detail(details: list[dict[str, Any]], piece: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the detail that a piece continues: the one with its index and type, else the last of its type."""
    index = piece.get("index")
    same = [item for item in details if item.get("type") == piece.get("type")]
    if index is not None:
        return next((item for item in same if item.get("index") == index), None)
    return same[-1] if same and same[-1] is details[-1] and not _is_opaque(same[-1]) else None


def _join(parts: list[dict[str, Any]], piece: Mapping[str, Any], goes_on: dict[str, Any] | None) -> None:
    if goes_on is None:
        parts.append(dict(piece))
        return
    for name, value in piece.items():
        known = goes_on.get(name)
        if name in _PIECES and isinstance(known, str) and isinstance(value, str):
            goes_on[name] = known + value
        elif value is not None:
            goes_on[name] = value


def _is_opaque(part: Mapping[str, Any]) -> bool:
    return any(part.get(name) for name in _OPAQUE)
