"""Results in the form of AgentScope or MCP, as tools written for these return them: unwrapped into what they say.

Such a tool returns a ``ToolResponse``, blocks, a ``Msg`` or MCP's ``CallToolResult``; it may also yield pieces. As JSON
the object itself would reach the model and the user, with its ids and times. Known by their module and their members,
because this package imports neither library.

* Text blocks become their text. Reasoning is left out.
* An image, a sound or a file becomes a line that names it: its address, or its type and size. The bytes themselves are
  no text, and a result is text.
* A response without content says its structured part, as JSON.
* A state of failure makes the call a failure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from core.text import clean_json

_Holders = tuple[int, ...]
"""Identities of what a value is inside of, from the outermost to the next."""

_LIBRARIES = ("agentscope", "mcp")
_BAD_STATES = frozenset({"error", "denied", "interrupted"})
_BLOCKS = frozenset(
    {"text", "thinking", "data", "hint", "image", "audio", "video", "resource", "resource_link"}
)

_DEPTH = 4
"""So deep inside lists and dictionaries foreign objects are looked for. A structure may hold itself."""
_MAX_NESTING = 32
"""So many foreign objects, lists and dictionaries may be inside each other."""


class ResultUnreadable(ValueError):
    """The result of a tool cannot be turned into text. The message is safe to show."""


def unwrapped(value: object) -> object:
    """Return a value without foreign objects: text where it was one of them, or a list of blocks.

    Everything else is returned as it is.

    Raises:
        ResultUnreadable: The value holds itself, or it is nested too deeply.
    """
    return _unwrapped(value, ())


def is_failure(value: object) -> bool:
    """Whether a foreign result says that the call failed."""
    if not _is_foreign(value):
        return False
    state = getattr(value, "state", None)
    return str(getattr(state, "value", state)) in _BAD_STATES or getattr(value, "isError", None) is True


class Pieces:
    """Puts together what a generator yields: chunks add up, and a complete response replaces what came before.

    Args:
        most_characters: Pieces after so much text are dropped; the result would be cut there anyway. Of what is no text,
            its JSON counts.
    """

    def __init__(self, most_characters: int) -> None:
        self.failed = False
        """Whether a piece said that the call failed."""
        self.left = False
        """Set when nobody waits for the pieces any more."""
        self._most_characters = most_characters
        self._size = 0
        self._found: list[object] = []

    def add(self, piece: object) -> object:
        """Take in the next piece; returns it without foreign objects."""
        self.failed = self.failed or is_failure(piece)
        value = unwrapped(piece)
        if type(piece).__name__ == "ToolResponse" and _is_foreign(piece):
            self._found = []
            self._size = 0
        if self._size <= self._most_characters:
            self._found.append(value)
            self._size += self._length(value)
        return value

    def _length(self, value: object) -> int:
        if isinstance(value, str):
            return len(value)
        try:
            return len(json.dumps(clean_json(to_jsonable_python(value)), ensure_ascii=False))
        except (ValueError, TypeError, RecursionError):
            # The result will say so, whatever comes after it.
            return self._most_characters + 1

    def value(self) -> object:
        """Return the result: the joined text, or the only piece, or the list of pieces."""
        if len(self._found) == 1:
            return self._found[0]
        if all(isinstance(piece, str) for piece in self._found):
            return "".join(map(str, self._found)) if self._found else None
        return self._found


def _unwrapped(value: object, holders: _Holders) -> object:
    if _is_foreign(value):
        return _text_of(value, holders)
    if isinstance(value, Mapping):
        if not _holds_foreign(value.values()):
            return value
        inner = _entered(value, holders)
        return {key: _unwrapped(item, inner) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if not _holds_foreign(value):
            return value
        if all(map(_is_block, value)):
            return _joined(value, holders)
        inner = _entered(value, holders)
        return [_unwrapped(item, inner) for item in value]
    return value


def _entered(value: object, holders: _Holders) -> _Holders:
    """Return the holders of what a value holds."""
    if id(value) in holders:
        raise ResultUnreadable("it holds itself")
    if len(holders) >= _MAX_NESTING:
        raise ResultUnreadable(f"it is nested more than {_MAX_NESTING} levels deep")
    return *holders, id(value)


def _is_foreign(value: object) -> bool:
    if isinstance(value, type | str):
        return False
    return any(base.__module__.partition(".")[0] in _LIBRARIES for base in type(value).__mro__)


def _holds_foreign(values: Iterable[object], depth: int = 0) -> bool:
    if depth > _DEPTH:
        return False
    return any(
        _is_foreign(value)
        or (isinstance(value, Mapping) and _holds_foreign(value.values(), depth + 1))
        or (isinstance(value, list | tuple) and _holds_foreign(value, depth + 1))
        for value in values
    )


def _is_block(value: object) -> bool:
    return _kind(value) in _BLOCKS


def _kind(value: object) -> str:
    return str(_member(value, "type") or "")


def _member(value: object, *names: str) -> Any:
    """Return the first member that is there: an attribute, or an entry of a dictionary."""
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None


def _text_of(value: object, holders: _Holders) -> object:
    inner = _entered(value, holders)
    match _kind(value):
        case "text":
            return str(_member(value, "text") or "")
        case "thinking":
            return ""
        case "hint":
            return _inside(_member(value, "hint"), inner)
        case "data" | "image" | "audio" | "video":
            return attachment_line(value)
        case "resource":
            return str(
                _member(_member(value, "resource"), "text") or attachment_line(_member(value, "resource"))
            )
        case "resource_link":
            return str(_member(value, "uri"))
        case _:
            pass
    content = _member(value, "content", "output")
    if content is None:
        # Some other object of the library: its JSON form says the most.
        return value
    said = _inside(content, inner)
    if said not in ("", None):
        return said
    structured = _member(value, "structuredContent", "structured_output") or _member(value, "metadata")
    return _unwrapped(structured, inner) if structured else ""


def _inside(content: Any, holders: _Holders) -> object:
    if isinstance(content, list | tuple):
        return _joined(content, holders)
    return _unwrapped(content, holders) if content is not None else None


def _joined(blocks: Iterable[object], holders: _Holders) -> str:
    inner = _entered(blocks, holders)
    texts = (
        str(_text_of(block, inner)) if _is_foreign(block) or _is_block(block) else str(block)
        for block in blocks
    )
    return "\n".join(text for text in texts if text)


def attachment_line(block: object) -> str:
    """Return the line that stands for an attachment: a block, its source, or an event with the members of a source."""
    source = _member(block, "source") or block
    media_type = str(_member(source, "media_type", "mimeType") or _kind(block) or "resource")
    name = _member(block, "name")
    label = f"{name}, {media_type}" if name else media_type
    if address := _member(source, "url", "uri"):
        return f"[{label}: {address}]"
    data = _member(source, "data", "blob")
    # Four characters of base64 are three bytes.
    return f"[{label}, {len(data) * 3 // 4} bytes, not shown]" if isinstance(data, str) else f"[{label}]"
