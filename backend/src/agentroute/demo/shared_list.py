"""Lists of the shared state: which change a sentence asks the scripted demo model for.

Pure. The state is read from the system prompt, or from the result of the turn's last change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agentroute.demo.request import Conversation

TOOL = "update_state"

_ADDED = r"(?:put|add|write)\s+(?P<added>.+?)\s+(?:on|onto|to)"
_REMOVED = r"(?:take|remove|delete|strike|cross)\s+(?P<removed>.+?)\s+(?:off|from|out of)"
_LIST = r"(?:the|my|our)\s+(?:(?P<name>\w+)\s+)?list\b"
_WISH = re.compile(rf"^\W*(?:please\s+)?(?:{_ADDED}|{_REMOVED})\s+{_LIST}", re.IGNORECASE)
_ASKED = re.compile(rf"\bwhat(?:'s| is)\s+on\s+{_LIST}", re.IGNORECASE)
_SEVERAL = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+", re.IGNORECASE)
_STATE = "State shared with the application (JSON): "


@dataclass(frozen=True, slots=True)
class ListWish:
    """What a sentence wants done with a list."""

    items: tuple[str, ...]
    adds: bool
    name: str
    """The word before "list", in lower case; empty for "the list"."""


def list_wish(text: str) -> ListWish | None:
    """Return the change of a list that a sentence asks for."""
    match = _WISH.search(text)
    if match is None:
        return None
    items = _SEVERAL.split(match["added"] or match["removed"])
    return ListWish(tuple(item.strip() for item in items if item.strip()), bool(match["added"]), _name(match))


def asked_list(text: str) -> str | None:
    """Return the name of the list that a sentence asks about: empty for "the list", ``None`` for other sentences."""
    match = _ASKED.search(text)
    return _name(match) if match else None


def shared_state(conversation: Conversation) -> Any:
    """Return the state that the application shares; ``None`` without one."""
    for result in reversed(conversation.results):
        if result.name == TOOL and (state := _leading_json(result.text)) is not None:
            return state
    for statement in conversation.statements:
        _, found, rest = statement.partition(_STATE)
        if found:
            return _leading_json(rest)
    return None


def list_items(state: Any, name: str) -> list[str] | None:
    """Return what is on a list, as texts; ``None`` if there is no such list."""
    path = _find(state, name)
    return None if path is None else [_text(item) for item in _at(state, path)]


def operations(wish: ListWish, state: Any) -> list[dict[str, Any]]:
    """Return the change as a JSON Patch; empty if there is nothing to remove."""
    path = _find(state, wish.name)
    if not wish.adds:
        items = [] if path is None else _at(state, path)
        wanted = {item.lower() for item in wish.items}
        places = [place for place, item in enumerate(items) if _text(item).lower() in wanted]
        # The last one first: the others keep their places.
        return [{"op": "remove", "path": f"{path}/{place}"} for place in reversed(places)]
    if path is None:
        key = f"{wish.name}_list" if wish.name else "list"
        return [{"op": "add", "path": f"/{key}", "value": list(wish.items)}]
    like: Any = next(iter(_at(state, path)), None)
    return [{"op": "add", "path": f"{path}/-", "value": _like(like, item)} for item in wish.items]


def _find(state: Any, name: str) -> str | None:
    """Return the JSON Pointer of a list: the state itself, the one of this name, "list", or without a name the first."""
    if isinstance(state, list):
        return ""
    if not isinstance(state, dict):
        return None
    lists = [str(key) for key, value in state.items() if isinstance(value, list)]
    plain = {re.sub(r"[\W_]+", "", key).lower(): key for key in reversed(lists)}
    by_name = plain.get(f"{name}list") or plain.get(name) or plain.get("list")
    key = by_name or (lists[0] if lists and not name else None)
    return None if key is None else "/" + key.replace("~", "~0").replace("/", "~1")


def _at(state: Any, path: str) -> Sequence[Any]:
    return state[path[1:].replace("~1", "/").replace("~0", "~")] if path else state


def _text(item: Any) -> str:
    if isinstance(item, dict):
        return next((value for value in item.values() if isinstance(value, str)), "")
    return item if isinstance(item, str) else orjson.dumps(item).decode()


def _like(example: Any, text: str) -> Any:
    """Return an item of the kind of the others: a text, or an object with the text where they have theirs."""
    if not isinstance(example, dict):
        return text
    key = next((key for key, value in example.items() if isinstance(value, str)), None)
    blank: dict[str, Any] = {name: False for name, value in example.items() if isinstance(value, bool)}
    return text if key is None else {**blank, key: text}


def _leading_json(text: str) -> Any:
    """Read the JSON that a text begins with; what follows it is ignored."""
    line = text.lstrip().split("\n", 1)[0]
    for candidate in (text, line):
        try:
            return orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
    return None


def _name(match: re.Match[str]) -> str:
    return (match["name"] or "").lower()
