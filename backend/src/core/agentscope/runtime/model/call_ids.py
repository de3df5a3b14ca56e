"""Ids of tool calls in the form an endpoint takes. Pure, and the same id always becomes the same other id.

The conversation keeps the id that the model gave: the client has seen it, and the endpoint that made it may want it
back. Only the request of an endpoint that refused such ids holds others, at the call and at its result alike.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Collection
from typing import Any

from core.agentscope.runtime.model.quirks import Quirk

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_NINE = re.compile(r"[A-Za-z0-9]{9}", re.ASCII)
_ALPHABET = string.ascii_letters + string.digits


def fit_call_ids(messages: list[dict[str, Any]], quirks: Collection[Quirk]) -> list[dict[str, Any]]:
    """Return the messages with ids that the endpoint takes; unchanged when it takes any."""
    if Quirk.CALL_IDS_9 in quirks:
        fit = _nine
    elif Quirk.CALL_IDS_40 in quirks:
        fit = _forty
    else:
        return messages
    ids = _Ids(fit)
    return [_with_ids(message, ids) for message in messages]


class _Ids:
    """The ids of one request: different ids stay different."""

    def __init__(self, fit: Callable[[str], str]) -> None:
        self._fit = fit
        self._known: dict[str, str] = {}

    def of(self, original: str) -> str:
        if original not in self._known:
            fitting, taken = self._fit(original), set(self._known.values())
            while fitting in taken:
                fitting = self._fit(f"{original}-{fitting}")
            self._known[original] = fitting
        return self._known[original]


def _with_ids(message: dict[str, Any], ids: _Ids) -> dict[str, Any]:
    if calls := message.get("tool_calls"):
        return message | {"tool_calls": [call | {"id": ids.of(call["id"])} for call in calls]}
    if message["role"] == "tool":
        return message | {"tool_call_id": ids.of(message["tool_call_id"])}
    return message


def _forty(original: str) -> str:
    if _PLAIN.fullmatch(original):
        return original
    return f"call_{hashlib.sha256(original.encode()).hexdigest()[:32]}"


def _nine(original: str) -> str:
    if _NINE.fullmatch(original):
        return original
    number = int.from_bytes(hashlib.sha256(original.encode()).digest(), "big")
    letters = ""
    for _ in range(9):
        number, position = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[position]
    return letters
