"""How calls, results, messages and numbers look, as one or a few lines of text. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

USER = "\u203a "
"""Stands before what the user says."""
_RESULT_LINES = 12
_RESULT_CHARACTERS = 1500
_ARGUMENT_CHARACTERS = 300


def call_line(name: str, arguments: str) -> str:
    """Return a tool call with its arguments: ``calculate(expression="6*7")``."""
    try:
        read: Any = json.loads(arguments or "{}")
    except ValueError:
        read = None
    if isinstance(read, dict):
        told = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in read.items())
    else:
        told = arguments
    return f"{name}({_cut(told, _ARGUMENT_CHARACTERS)})"


def result_text(content: Any) -> str:
    """Return the result of a tool, cut to a few lines."""
    text = content if isinstance(content, str) else parts_text(content)
    text = _cut(text.strip(), _RESULT_CHARACTERS)
    lines = text.split("\n")
    if len(lines) > _RESULT_LINES:
        lines = [*lines[:_RESULT_LINES], f"… {len(lines) - _RESULT_LINES} more lines"]
    return "\n".join(lines)


def parts_text(content: Any) -> str:
    """Return the text of a message's content; other parts are named: ``[image]``."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else json.dumps(content, ensure_ascii=False)
    return "\n".join(_part_text(part) for part in content)


def _part_text(part: Any) -> str:
    members: Mapping[str, Any] = part if isinstance(part, Mapping) else {}
    text = members.get("text")
    return text if isinstance(text, str) else f"[{members.get('type', 'part')}]"


def calls_of(message: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the id, the name and the arguments of each tool call of a message."""
    calls: Any = message.get("toolCalls")
    for call in calls if isinstance(calls, list) else ():
        function: Any = call.get("function", {})
        yield str(call.get("id")), str(function.get("name", "?")), str(function.get("arguments", ""))


def asked_messages(value: Any) -> list[Mapping[str, Any]]:
    """Return the messages of the event ``agentroute.input``."""
    messages: Any = value.get("messages") if isinstance(value, Mapping) else None
    return messages if isinstance(messages, list) else []


def usage_line(usage: tuple[Mapping[str, Any], ...], seconds: float | None = None) -> str:
    """Return the tokens of a run in one line; empty if none are known."""
    tokens = [sum(int(each.get(name) or 0) for each in usage) for name in ("inputTokens", "outputTokens")]
    if not any(tokens):
        return ""
    told = f"{tokens[0]:,} tokens in · {tokens[1]:,} out"
    return told if seconds is None else f"{told} · {seconds:.1f} s"


def cost_text(cost: Decimal | None, *, is_complete: bool = True) -> str:
    """Return a cost in US dollars; what is not known is no zero."""
    if cost is None:
        return "unknown cost"
    return f"{'' if is_complete else 'at least '}${cost.normalize():f}"


def age_text(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - at).total_seconds())
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {word} ago"
    return "now"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + " …"
