"""The parts of a JSON Schema: which of its members are schemas, and what its references name.

A member that is not listed here is data: it is neither checked nor followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from core.validation import escape

MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
"""Objects of schemas, by names that others choose. A value of ``dependencies`` may be a list of names."""
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
"""Lists of schemas; ``items`` was one up to draft 2019-09."""
SINGLE = (
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
DEFINITIONS = ("$defs", "definitions")
"""Objects of schemas that count only where a reference names them."""
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
"""Keywords whose schemas apply to the very value that the schema with the keyword applies to."""

_MAX_STEP_CHARACTERS = 64


def children(schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the schemas directly in a schema: keyword, JSON pointer, and the schema, in the order of the keywords.

    References and definitions are left out.
    """
    for key in schema:
        value = schema[key]
        here = step(place, key)
        if key in MAPS and isinstance(value, dict):
            for name, child in value.items():
                if isinstance(child, dict | bool):
                    yield key, step(here, name), child
        elif key in LISTS and isinstance(value, list):
            for index, child in enumerate(value):
                yield key, step(here, index), child
        elif key in SINGLE:
            yield key, here, value


def step(place: str, name: str | int) -> str:
    """Return the pointer of a member; long names are cut, because a pointer is part of an answer."""
    return f"{place}/{escape(name)[:_MAX_STEP_CHARACTERS]}"


class References:
    """Finds what the references of one schema name: by pointer, anchor or id, never outside the schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._by_id: dict[str, Mapping[str, Any]] = {}
        self._by_anchor: dict[str, Mapping[str, Any]] = {}
        pending: list[Any] = [root]
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                for key, names in (("$id", self._by_id), ("id", self._by_id), ("$anchor", self._by_anchor)):
                    if isinstance(node.get(key), str):
                        names.setdefault(node[key].removesuffix("#"), node)
                pending += node.values()
            elif isinstance(node, list):
                pending += node

    def is_inside(self, ref: str) -> bool:
        """Tell whether a reference names the schema itself or a part of it, be it there or not."""
        base = ref.partition("#")[0]
        return not base or base in self._by_id

    def find(self, ref: str) -> tuple[str, Any] | None:
        """Return the JSON pointer or name of what a reference names, and the thing; ``None`` when it is not there."""
        base, _, fragment = ref.partition("#")
        start = self._by_id.get(base) if base else self._root
        fragment = unquote(fragment)
        if start is None:
            return None
        if fragment and not fragment.startswith("/"):
            found = self._by_anchor.get(fragment)
            return None if found is None else (fragment, found)
        node: Any = start
        for token in fragment.split("/")[1:]:
            node = _member(node, token.replace("~1", "/").replace("~0", "~"))
        return None if node is _ABSENT else (fragment or base, node)


_ABSENT = object()


def _member(node: Any, token: str) -> Any:
    if isinstance(node, dict):
        return node.get(token, _ABSENT)
    # Nobody's schema has a list of more than a million elements.
    if isinstance(node, list) and token.isdecimal() and len(token) < 7 and int(token) < len(node):
        return node[int(token)]
    return _ABSENT
