"""What was said, as spans may have it: in the form of the conventions, without secrets, and of a bounded size.

Only with leave (``Tracer.contents``). Secrets are masked as in the log, and a text is cut where the log cuts it. Of a long
conversation the newest messages are kept: what came before is in the spans of earlier calls.

Source: OpenTelemetry's JSON schemas for generative AI, of input messages, output messages and system instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.log import redacted
from core.text import json_text

MAX_CHARACTERS = 64 << 10
"""Of one attribute."""
Part = dict[str, Any]


def said(text: str) -> str:
    """Return a text without secrets, cut if it is long."""
    return redacted(text)


def parts_of(message: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a message as chat completions and AG-UI have it. Data of attachments is left out."""
    parts: list[Part] = []
    if thoughts := message.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": said(str(thoughts))})
    content = message.get("content") or ""
    texts = content if isinstance(content, list) else [content] if content else []
    if message.get("role") == "tool":
        call = str(message.get("tool_call_id") or message.get("toolCallId") or "")
        text = "\n".join(str(part["content"]) for each in texts if (part := _part(each))["type"] == "text")
        return [{"type": "tool_call_response", "id": call, "response": text}]
    parts += map(_part, texts)
    for call in message.get("tool_calls") or message.get("toolCalls") or ():
        function = call.get("function") or {}
        parts.append(
            call_part(str(call.get("id")), str(function.get("name")), str(function.get("arguments", "")))
        )
    return parts


def call_part(call_id: str, name: str, arguments: str) -> Part:
    """Return the part of a message that is a tool call."""
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": said(arguments)}


def messages_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return messages in the form of the conventions: the newest that fit."""
    return _newest(
        [{"role": str(message.get("role")), "parts": parts_of(message)} for message in messages],
        lambda count: {"role": "system", "parts": [_left_out(count)]},
    )


def parts_text(parts: list[Part]) -> str:
    """Return parts as the conventions have instructions: the last that fit."""
    return _newest(parts, _left_out)


def _left_out(count: int) -> Part:
    return {"type": "left_out", "count": count}


def _newest(items: list[dict[str, Any]], left_out: Callable[[int], dict[str, Any]]) -> str:
    """Return a JSON list of the last items that fit; what is left out is counted at its beginning."""
    kept: list[str] = []
    room = MAX_CHARACTERS
    for place, item in enumerate(reversed(items)):
        text = json_text(item)
        room -= len(text) + 1
        if room < 0:
            kept.append(json_text(left_out(len(items) - place)))
            break
        kept.append(text)
    return f"[{','.join(reversed(kept))}]"


def _part(content: Any) -> Part:
    if isinstance(content, str):
        return {"type": "text", "content": said(content)}
    found: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    if isinstance(text := found.get("text"), str):
        return {"type": "text", "content": said(text)}
    # An attachment: its kind alone.
    return {"type": str(found.get("type", "unknown"))}
