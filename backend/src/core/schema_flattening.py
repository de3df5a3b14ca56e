"""Replaces the references of a JSON Schema by what they name: the form in which models and validators get it.

Some model endpoints do not follow references. The result is limited, because references
can make a small schema grow without end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.schema_references import DEFINITIONS, LISTS, MAPS, SINGLE, References

MAX_BYTES = 256 * 1024
MAX_DEPTH = 48
"""Schemas inside each other. AgentScope copies schemas by recursion: each level costs frames of Python's stack."""


class SchemaTooLarge(ValueError):
    """The schema is larger than the limit, or deeper, once its references are replaced."""


@dataclass(slots=True)
class FlatBudget:
    """Bytes that several schemas may have together, once their references are replaced."""

    left: int


def flattened(schema: Mapping[str, Any], budget: FlatBudget | None = None) -> dict[str, Any]:
    """Return a schema without references.

    A reference that leads back to a schema it stands in becomes an object that says so. So
    does one that names nothing: what is not there cannot be said.

    Args:
        schema: As it was received.
        budget: Shared with other schemas; without it, only the limit of one schema counts.

    Raises:
        SchemaTooLarge: A limit was exceeded.
    """
    flat = _Flattening(schema, budget or FlatBudget(MAX_BYTES)).schema(schema, frozenset(), 0)
    return flat if isinstance(flat, dict) else {}


class _Flattening:
    def __init__(self, root: Mapping[str, Any], budget: FlatBudget) -> None:
        self._references = References(root)
        self._left = MAX_BYTES
        self._budget = budget

    def schema(self, node: Any, inside: frozenset[str], depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise SchemaTooLarge(f"is deeper than {MAX_DEPTH} schemas when its references are resolved")
        if not isinstance(node, dict):
            return self._copied(node)
        # Its braces: an empty schema costs time, too.
        self._spend(2)
        made: dict[str, Any] = {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            made = self._named(ref, inside, depth)
            if ref not in inside:
                inside |= {ref}
        for key, value in node.items():
            if key == "$ref" or (key in DEFINITIONS and isinstance(value, dict)):
                continue
            self._spend(len(key) + 4)
            made[key] = self._member(key, value, inside, depth)
        return made

    def _named(self, ref: str, inside: frozenset[str], depth: int) -> dict[str, Any]:
        found = self._references.find(ref)
        if ref in inside or found is None or not isinstance(found[1], dict | bool):
            self._spend(64)
            return {"type": "object", "description": f"(circular: {ref.rpartition('/')[2][:64]})"}
        target = self.schema(found[1], inside | {ref}, depth + 1)
        # `true` says nothing, and `false` that no value fits.
        return dict(target) if isinstance(target, dict) else {} if target else {"not": {}}

    def _member(self, key: str, value: Any, inside: frozenset[str], depth: int) -> Any:
        if key in MAPS and isinstance(value, dict):
            self._spend(sum(len(name) + 4 for name in value))
            return {name: self.schema(child, inside, depth + 1) for name, child in value.items()}
        if key in LISTS and isinstance(value, list):
            return [self.schema(child, inside, depth + 1) for child in value]
        if key in SINGLE:
            return self.schema(value, inside, depth + 1)
        return self._copied(value)

    def _copied(self, value: Any) -> Any:
        self._spend(len(json.dumps(value)))
        return value

    def _spend(self, size: int) -> None:
        self._left -= size
        self._budget.left -= size
        if self._budget.left < 0 <= self._left:
            raise SchemaTooLarge(
                "is too large, together with the tools before it, when references are resolved"
            )
        if self._left < 0:
            raise SchemaTooLarge(f"is larger than {MAX_BYTES} bytes when its references are resolved")
