"""Structured output of a model that has no tools: the JSON object of its text becomes the tool call. Pure."""

from __future__ import annotations

import json

from core.agentscope.runtime.model.chat_order import Delta, ToolCall, random_id
from core.agentscope.runtime.model.request_form import STRUCTURED


class TextAsCall:
    """Holds the text of an answer back until it is whole."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def feed(self, delta: Delta) -> list[Delta]:
        """Take in a delta; reasoning goes on."""
        if delta.kind != "text":
            return [delta]
        self._text.append(delta.text)
        return []

    def finish(self) -> list[Delta]:
        """Return the tool call, or the text when it holds no JSON object."""
        text = "".join(self._text)
        found = text[text.find("{") : text.rfind("}") + 1]
        try:
            if isinstance(json.loads(found), dict):
                return [Delta("tool_call", found, ToolCall(id=random_id(), name=STRUCTURED))]
        except (ValueError, RecursionError):
            pass
        return [Delta("text", text)] if text else []
