"""Reads the members of a message that can hold text: a string, or a list of parts of several kinds.

Pure. Content parts are of type ``text`` (also ``output_text`` and ``refusal``), or of a type that holds reasoning, as
Mistral and Anthropic send it. Parts of other types hold no text.
"""

from __future__ import annotations

from typing import Any

_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
"""Members of a message that hold its reasoning. Some servers send the same under two names: the first one counts."""
# Tuples: an endpoint may send an object as a type, and a set refuses to look for one.
_THOUGHTS = ("thinking", "reasoning", "thought", "reasoning_content")
"""Types of content parts that hold reasoning."""
_DETAILS = ("reasoning.text", "reasoning.summary", "thinking")
"""Types of ``reasoning_details`` and ``thinking_blocks`` that can be read."""


def text_of(content: Any) -> str:
    """Return the text of content, its reasoning left out; empty for anything that is not text."""
    match content:
        case str():
            return content
        case list():
            return "".join(_part(part) for part in content if not _is_thought(part))
        case dict():
            return "" if _is_thought(content) else _part(content)
        case _:
            return ""


def reasoning_of(message: dict[str, Any]) -> str:
    """Return the readable reasoning of a message or a delta, wherever it is."""
    for name in _REASONING:
        if text := _any_text(message.get(name)):
            return text
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    if text := "".join(_any_text(part) for part in parts if _is_thought(part)):
        return text
    for name in ("reasoning_details", "thinking_blocks"):
        pieces = message.get(name)
        if isinstance(pieces, list):
            shown = [piece for piece in pieces if isinstance(piece, dict) and piece.get("type") in _DETAILS]
            if text := "".join(_any_text(piece) for piece in shown):
                return text
    return ""


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and (part.get("type") in _THOUGHTS or part.get("thought") is True)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text = part.get("text") or part.get("refusal") or part.get("content")
    # The Assistants API has an object here.
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _any_text(value: Any) -> str:
    """Return all text in a piece of reasoning: a string, an object with a text, or a list of these."""
    match value:
        case str():
            return value
        case list():
            return "".join(map(_any_text, value))
        case dict():
            for name in ("text", "thinking", "reasoning", "content", "summary", "value"):
                if text := _any_text(value.get(name)):
                    return text
            return ""
        case _:
            return ""
