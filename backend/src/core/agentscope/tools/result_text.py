"""Results as text that every later reader can take: Postgres, JSON, UTF-8, and a model's context."""

from __future__ import annotations

import json

from pydantic_core import to_jsonable_python

from core.agentscope.tools.foreign_results import ResultUnreadable, unwrapped
from core.text import clean_json, clean_text

_COUNT_CHARACTERS = 1 << 16


def result_text(value: object) -> str:
    """Turn what a tool returned into text: strings as they are, all else as JSON.

    Objects of AgentScope and MCP become what they say (``foreign_results``). Models, dataclasses, dates, decimals and
    sets have a JSON form; NaN and infinities become null.

    Raises:
        ResultUnreadable: The value has no JSON form, holds itself, or is nested too deeply.
    """
    value = unwrapped(value)
    if isinstance(value, str):
        return value
    if value is None:
        return "Done."
    try:
        return json.dumps(clean_json(to_jsonable_python(value)), ensure_ascii=False)
    except (ValueError, RecursionError) as exc:
        raise ResultUnreadable("it has no JSON form") from exc


def fit_text(text: str, max_bytes: int) -> str:
    """Clean a text and cut it to ``max_bytes`` of UTF-8, between characters; the marker counts too.

    Takes memory for the part that is kept, not for the text: a result may be
    hundreds of megabytes.
    """
    # A character has at least one byte, so the first `max_bytes` characters hold all that can be kept.
    head = clean_text(text[:max_bytes])
    total = _utf8_length(text if len(text) > max_bytes else head)
    if total <= max_bytes:
        return head
    room = max(max_bytes - len(_marker(total, total)), 0)
    kept = head[:room].encode()[:room].decode(errors="ignore")
    return kept + _marker(_utf8_length(kept), total)


def _marker(kept_bytes: int, total_bytes: int) -> str:
    return f"\n[truncated: {kept_bytes} of {total_bytes} bytes]"


def _utf8_length(text: str) -> int:
    if text.isascii():
        return len(text)
    pieces = range(0, len(text), _COUNT_CHARACTERS)
    return sum(len(text[at : at + _COUNT_CHARACTERS].encode("utf-8", "surrogatepass")) for at in pieces)
