"""Makes recordings of the service comparable: what differs from one time to the next is named, joined or left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_JOINED = ("TEXT_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT", "TOOL_CALL_ARGS")
_A_SENTENCE = "*"
"""In place of an error's message: it is for people, and may change."""
_GENERATED = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,64})(?![0-9a-f])"
)
_CURSOR = re.compile(r"\b(cursor=|cursor\": \")(\d+)-\d+")
_TODAY = re.compile(r"\b\d{4}-\d\d-\d\d(?=: )")
"""The day at which the memory tool took a note down."""
_A_DAY = "2026-11-27"
"""In place of that day: in the recordings it is the one of the first of them."""


class Names:
    """Names generated ids in the order of their first appearance.

    Args:
        places: What is written in place of texts that belong to one machine.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._known: dict[str, str] = {}

    def plain(self, value: Any) -> Any:
        """Return a value without what differs from one time to the next."""
        text = json.dumps(_timeless(value), ensure_ascii=False)
        for place, instead in self._places.items():
            text = text.replace(place, instead)
        text = _TODAY.sub(_A_DAY, _CURSOR.sub(r"\1\2-*", text))
        return json.loads(_GENERATED.sub(self._named, text))

    def _named(self, found: re.Match[str]) -> str:
        return self._known.setdefault(found[0], f"generated-{len(self._known) + 1}")


def joined(events: Iterable[tuple[int | None, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return events with the ordinal of their run; neighbouring deltas of one message are one event.

    Args:
        events: The ordinal, ``None`` for an event that is in no log, and the event.
    """
    joined: list[dict[str, Any]] = []
    for ordinal, body in events:
        event = {"ordinal": ordinal, **body}
        if event["type"] in ("RUN_ERROR", "SUBAGENT_ERROR"):
            event["message"] = _A_SENTENCE
        last = joined[-1] if joined else {}
        if event["type"] in _JOINED and _without_text(event) == _without_text(last):
            last["delta"] += event["delta"]
        else:
            joined.append(event)
    return joined


def _without_text(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("delta", "timestamp")}


def _timeless(value: Any, name: str = "") -> Any:
    if value is not None and (name == "timestamp" or name.endswith(("Ms", "At"))):
        return "*"
    if isinstance(value, dict):
        return {key: _timeless(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return value
