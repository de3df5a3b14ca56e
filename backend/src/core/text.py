"""Makes any text or JSON value valid for Postgres and JSON: the one sanitiser of output. Makes texts visible, too.

Postgres refuses U+0000, UTF-8 refuses unpaired surrogates, JSON refuses NaN and infinities, and most parsers of JSON do
not support integers beyond 64 bits. Invalid input is refused instead (``core/json_body.py``).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import orjson

_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_BAD = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return the text with U+0000 and unpaired surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _BAD.sub("�", text)


def visible(text: str) -> str:
    """Return a text of one line that shows every control character instead of sending it to the terminal."""
    # Printable is what is neither "other" nor a separator, except the space: no control and format characters (escape
    # sequences, changes of the writing direction), no line or paragraph separator, no unpaired surrogate.
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else ascii(character)[1:-1]
        for character in text
    )


def json_text(value: Any) -> str:
    """Return a JSON value as text, of any size: the standard library needs a second for a large one."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # An integer beyond 64 bits, or half a surrogate pair: who reads the text decides about it.
        return json.dumps(value, ensure_ascii=False)


def exact(value: object) -> str:
    """Return a decimal number as text, so that it stays exact; for ``json.dumps`` as its ``default``.

    Raises:
        TypeError: The value is something else.
    """
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def clean_json(value: Any) -> Any:
    """Return the JSON value with clean strings and keys; NaN and infinities become null.

    An integer beyond 64 bits becomes a double, as in ``core/json_body.py``.

    Anything that is not JSON (a set, an object) becomes its text.
    """
    if isinstance(value, dict | list):
        try:
            text = orjson.dumps(value, option=_PLAIN)
        except TypeError:
            return _clean(value)
        # Writing and reading is several times as fast as looking at every value. It turns NaN into null, and refuses
        # the rest of what is not clean, except for U+0000.
        return _clean(value) if b"\\u0000" in text else orjson.loads(text)
    return _clean(value)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case bool() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else _double(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {clean_text(str(key)): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return clean_text(str(value))


def depth_of(value: Any) -> int:
    """Return how many levels of objects and lists a JSON value has."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _double(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
