"""Parses JSON strictly: JSON that two parsers could read differently is refused.

orjson returns the value: it is fast, refuses NaN and Infinity, and can write every value that it returns. It drops
repeated members silently, so the colons of the text are counted: each stands for a member. All passes are linear. Only
orjson itself keeps the interpreter for longer than some milliseconds; the other passes let other threads go on
(``core.request_body`` parses a big body in a thread).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from core.errors import InvalidText, LimitExceeded, MalformedJson
from core.validation import escape

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_EXPONENT = re.compile(rb"[0-9][eE][+-]?0*[0-9]{3}")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'":,[{'))
_NO_NUMBER = re.compile(rb"[^0-9eE+.-]")
_PIECE_BYTES = 64 << 10
_MAX_VALUES = 200_000  # forty for each of the 5000 messages a request may bring
_MAX_STEP = 64  # of one member name, when a pointer is shown
_MAX_EXPONENT = 308  # IEEE 754 double


def parse_json(body: bytes, *, max_depth: int) -> Any:
    """Parse strict JSON. An integer beyond 64 bits becomes a double, as it does in JavaScript.

    Args:
        body: UTF-8 text without a byte order mark.
        max_depth: Maximum nesting of objects and arrays.

    Raises:
        MalformedJson: The text is not RFC 8259, is nested too deeply, has an object with two members of the same name,
            or has a number whose exponent is beyond a double's.
        LimitExceeded: The text has more values than any conversation.
        InvalidText: A string or member name contains U+0000 or an unpaired surrogate. Postgres stores neither, and no
            encoder writes an unpaired surrogate.
    """
    if not body.strip():
        raise MalformedJson("The body is empty; send a JSON object.")
    structure = _structure(body)
    _check_count(structure)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _explain(exc, body) from exc
    if _count_members(value, max_depth) != structure.count(b":"):
        raise MalformedJson("An object in the body has two members with the same name.")
    if b"\\u0000" in body:
        _check_text(value)
    if any(_EXPONENT.search(piece) for piece in _pieces(body)):
        json.loads(body, parse_float=_bounded_float)
    return value


def canonical_hash(value: Any) -> bytes:
    """Return the SHA-256 of a JSON value. The order of members does not matter."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()


def _explain(exc: json.JSONDecodeError, body: bytes) -> MalformedJson | InvalidText:
    """Distinguish an unpaired surrogate, which is an error of the text, from invalid JSON."""
    if _SURROGATE_ESCAPE.search(body):
        try:
            _check_text(json.loads(body.decode()))
        except InvalidText as found:
            return found
        except (ValueError, RecursionError):
            pass  # also invalid at another place: the position of the first parser counts
    # Only the position: the parser's message belongs to a library, and the content to the caller.
    return MalformedJson(
        f"The body is not valid JSON at line {exc.lineno}, column {exc.colno}.",
        line=exc.lineno,
        column=exc.colno,
    )


def _structure(body: bytes) -> bytes:
    """Return the commas, colons and opening brackets outside strings; of invalid JSON, at least those up to the fault.

    Escaped quotes and backslashes are removed first. Two strings are never adjacent, so what is then ``""`` was a
    string without such characters; only strings with some are left.

    Raises:
        LimitExceeded: The text has more strings than values are allowed.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    body = body.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    if b'"' not in body:
        return body
    # Each string is a value or the name of one.
    if body.count(b'"') > 4 * _MAX_VALUES + 2:
        raise _too_many()
    return b"".join(body.split(b'"')[::2])


def _check_count(structure: bytes) -> None:
    """Refuse millions of tiny values before an object is created for each: 4 MB of ``[[[]],…`` would take seconds."""
    if structure.count(b",") + structure.count(b"[") + structure.count(b"{") > _MAX_VALUES:
        raise _too_many()


def _too_many() -> LimitExceeded:
    return LimitExceeded(f"The body may have at most {_MAX_VALUES} values.", maxValues=_MAX_VALUES)


def _count_members(value: Any, max_depth: int) -> int:
    """Return how many members all objects together have.

    Raises:
        MalformedJson: The value is nested too deeply.
    """
    members = 0
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(max_depth):
        members += sum(len(node) for node in level if isinstance(node, dict))
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return members
    raise MalformedJson(f"The body is nested more than {max_depth} levels deep.", maxDepth=max_depth)


def _pieces(body: bytes) -> Iterator[bytes]:
    """Cut a text where no number is: a search through all of it would hold the interpreter."""
    start = 0
    while start < len(body):
        found = _NO_NUMBER.search(body, start + _PIECE_BYTES)
        end = found.start() if found else len(body)
        yield body[start:end]
        start = end


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def _check_text(value: Any) -> None:
    for place, text in _strings(value):
        if _FORBIDDEN.search(text):
            entry = {"pointer": place.pointer(), "message": "contains U+0000 or an unpaired surrogate"}
            raise InvalidText("Text may not contain U+0000 or an unpaired surrogate.", errors=[entry])


class _Place:
    """The place of a value. The pointer is built only on request, because building every pointer would be quadratic."""

    __slots__ = ("parent", "step")

    def __init__(self, parent: _Place | None, step: int | str) -> None:
        self.parent = parent
        self.step = step

    def pointer(self) -> str:
        steps: list[str] = []
        place: _Place = self
        while place.parent is not None:
            steps.append(escape(place.step)[:_MAX_STEP])
            place = place.parent
        return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", "".join("/" + step for step in reversed(steps)))


def _strings(value: Any) -> Iterator[tuple[_Place, str]]:
    """Yield every string and member name with its place in the value."""
    todo: list[tuple[_Place, Any]] = [(_Place(None, ""), value)]
    while todo:
        place, node = todo.pop()
        if isinstance(node, str):
            yield place, node
        elif isinstance(node, list):
            todo += [(_Place(place, index), child) for index, child in enumerate(node)]
        elif isinstance(node, dict):
            for name, child in node.items():
                member = _Place(place, name)
                yield member, name
                todo.append((member, child))


def _bounded_float(text: str) -> float:
    digits = text.lower().partition("e")[2].lstrip("+-0")
    # The length first: int() refuses thousands of digits with its own error.
    if len(digits) > 3 or int(digits or "0") > _MAX_EXPONENT:
        raise MalformedJson(f"A number in the body has an exponent beyond {_MAX_EXPONENT}.")
    return 0.0
