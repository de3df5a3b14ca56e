"""JSON as Python servers write it: lone surrogates, NaN, and bytes that are not UTF-8; orjson refuses all three.

Pure. A server that escapes text delta by delta cuts a character outside the basic plane in two: ``"\\ud83d"`` in one
delta, ``"\\ude00"`` in the next. ``loads`` keeps such halves at the edges of a string, and ``SurrogateHalves`` puts them
together. Everything else that is not a character becomes U+FFFD.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_HIGH = "\ud800-\udbff"
_LOW = "\udc00-\udfff"
_LONE = re.compile(f"[{_HIGH}](?![{_LOW}])|(?<![{_HIGH}])[{_LOW}]")
_SURROGATE = re.compile(f"[{_HIGH}{_LOW}]")


class NotJson(ValueError):
    """The bytes hold no JSON document."""


def loads(document: bytes) -> tuple[Any, bool]:
    """Parse a document; also say whether its strings may hold surrogates.

    Raises:
        NotJson: It is not JSON.
    """
    try:
        return orjson.loads(document), False
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(document.decode("utf-8", "replace")), True
    except (ValueError, RecursionError) as exc:
        raise NotJson from exc


def whole(value: Any) -> Any:
    """Return a JSON value without surrogates: pairs are joined, halves become U+FFFD."""
    match value:
        case str():
            return _joined(value)
        case dict():
            return {_joined(key): whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
        case _:
            return value


class SurrogateHalves:
    """Holds the first half of a character until the second half comes with the next delta of the same block."""

    def __init__(self) -> None:
        self._held: dict[object, str] = {}

    def join(self, block: object, text: str) -> str:
        """Return the block's text as far as its characters are whole."""
        text = self._held.pop(block, "") + text
        if text.isascii() or not _SURROGATE.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            self._held[block] = text[-1]
            text = text[:-1]
        return _joined(text)

    def rest(self, block: object) -> str:
        """Return what stands for a half that stayed alone."""
        return "\ufffd" if self._held.pop(block, "") else ""


def _joined(text: str) -> str:
    if not _SURROGATE.search(text):
        return text
    return _LONE.sub("\ufffd", text).encode("utf-16", "surrogatepass").decode("utf-16")
