"""What a model was asked and what it answered, for the span of the call. Kept only where contents may be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from core.agentscope.runtime.model.chat_order import Delta
from core.text import json_text
from core.tracing import conventions as name
from core.tracing.contents import MAX_CHARACTERS, Part, call_part, messages_text, parts_of, parts_text, said
from core.tracing.tracer import tracer

_INSTRUCTIONS = frozenset({"system", "developer"})
_REASONS = {"tool_calls": "tool_call", "function_call": "tool_call"}
"""The conventions' words for what providers say."""


class CallContents:
    """Takes in the answer while it is shown.

    Args:
        body: The request, as it is sent.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        messages = body.get("messages", ())
        self._input = messages_text(each for each in messages if each["role"] not in _INSTRUCTIONS)
        self._instructions = parts_text(
            [part for each in messages if each["role"] in _INSTRUCTIONS for part in parts_of(each)]
        )
        self._texts: dict[str, list[str]] = {"thinking": [], "text": []}
        self._calls: dict[str, tuple[str, list[str]]] = {}
        self._room = MAX_CHARACTERS

    @classmethod
    def where_allowed(cls, body: Mapping[str, Any]) -> Self | None:
        """Begin to keep a call; None where nothing may be recorded."""
        used = tracer()
        return None if used is None or not used.contents else cls(body)

    def take(self, delta: Delta) -> None:
        """Take in a piece of the answer."""
        text = delta.text[: max(0, self._room)]
        self._room -= len(delta.text)
        if delta.call is not None:
            self._calls.setdefault(delta.call.id, (delta.call.name, []))[1].append(text)
        else:
            self._texts["thinking" if delta.kind == "thinking" else "text"].append(text)

    def attributes(self, finish_reason: str | None) -> dict[str, str]:
        """Return what the span gets."""
        parts: list[Part] = []
        if thoughts := "".join(self._texts["thinking"]):
            parts.append({"type": "reasoning", "content": said(thoughts)})
        if text := "".join(self._texts["text"]):
            parts.append({"type": "text", "content": said(text)})
        parts += (
            call_part(call_id, tool, "".join(pieces)) for call_id, (tool, pieces) in self._calls.items()
        )
        reason = _REASONS.get(finish_reason or "", finish_reason or "error")
        answer = {"role": "assistant", "parts": parts, "finish_reason": reason}
        return {
            name.SYSTEM_INSTRUCTIONS: self._instructions,
            name.INPUT_MESSAGES: self._input,
            name.OUTPUT_MESSAGES: f"[{json_text(answer)}]",
        }
