"""Valid arguments for a JSON Schema, for tool calls without given arguments.

Pure and deterministic. Covers what tool schemas use (``$ref``, unions, enums,
bounds, formats); ``pattern`` and ``not`` are beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A schema that refers to itself has to end somewhere.
_MAX_DEPTH = 8

_BY_FORMAT: Mapping[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
}

_BY_NAME: Mapping[str, str] = {
    "city": "Paris",
    "color": "#3366cc",
    "colour": "#3366cc",
    "country": "France",
    "email": "ada@example.com",
    "expression": "6*7",
    "language": "en",
    "location": "Paris",
    "message": "Hello from the scripted demo model.",
    "name": "Ada",
    "query": "scripted demo",
    "subject": "Scripted demo",
    "text": "Hello from the scripted demo model.",
    "theme": "dark",
    "timezone": "UTC",
    "title": "Scripted demo",
    "uri": "https://example.com/",
    "url": "https://example.com/",
}


def synthesize(schema: Mapping[str, Any], name: str = "") -> Any:
    """Make a value for a schema: required members only, the first choice of every kind.

    Args:
        schema: JSON Schema, with its own ``$defs``.
        name: Name of the member the value is for; a string takes a fitting example from it.
    """
    return _Synthesis(schema).value(schema, name, 0)


def synthesize_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make a tool's arguments; an object whatever the schema says, since tools take nothing else."""
    value = synthesize({"type": "object", **schema})
    return value if isinstance(value, dict) else {}


def resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a schema's local ``$ref``; a reference that leads nowhere means anything goes."""
    for _ in range(_MAX_DEPTH):
        reference: Any = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        schema = target if isinstance(target, dict) else {}
    return schema


def properties_of(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return an object schema's members; what is no schema (``true``) counts as anything goes."""
    members: Any = schema.get("properties")
    if not isinstance(members, dict):
        return {}
    return {str(name): member if isinstance(member, dict) else {} for name, member in members.items()}


@dataclass(frozen=True, slots=True)
class _Synthesis:
    root: Mapping[str, Any]

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return None
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        choices: Any = schema.get("enum") or schema.get("examples")
        if isinstance(choices, list) and choices:
            return choices[0]
        if "default" in schema:
            return schema["default"]
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return _string(schema, name)
            case "integer":
                return int(_number(schema, whole=True))
            case "number":
                return _number(schema, whole=False)
            case "boolean":
                return True
            case _:
                return None

    def _flat(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Replace references and unions by the first alternative that is not null."""
        schema = resolve(schema, self.root)
        for keyword in ("anyOf", "oneOf"):
            options: Any = schema.get(keyword)
            if isinstance(options, list):
                resolved = [resolve(option, self.root) for option in options if isinstance(option, dict)]
                chosen = next((option for option in resolved if option.get("type") != "null"), {})
                flat = {**_without(schema, keyword), **chosen}
                return self._flat(flat, depth + 1) if depth < _MAX_DEPTH else {}
        parts: Any = schema.get("allOf")
        if isinstance(parts, list):
            merged: dict[str, Any] = _without(schema, "allOf")
            for part in parts:
                merged = _merge(merged, resolve(part, self.root) if isinstance(part, dict) else {})
            return merged
        return schema

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        members = properties_of(schema)
        required: Any = schema.get("required")
        names = [str(name) for name in required] if isinstance(required, list) else []
        return {name: self.value(members.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        prefix: Any = schema.get("prefixItems")
        if isinstance(prefix, list):
            return [self.value(item, name, depth + 1) for item in prefix]
        count = max(1, int(schema.get("minItems", 1)))
        item = self.value(schema.get("items", {"type": "string"}), name.removesuffix("s"), depth + 1)
        return [item] * count


def _type_of(schema: Mapping[str, Any]) -> str:
    kind: Any = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _string(schema: Mapping[str, Any], name: str) -> str:
    text = _BY_FORMAT.get(str(schema.get("format")), "") or _BY_NAME.get(name.lower(), "") or "example"
    shortest, longest = int(schema.get("minLength", 0)), schema.get("maxLength")
    text = text.ljust(shortest, "x")
    return text[: int(longest)] if longest is not None else text


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """Return 1, moved into the bounds and onto a multiple where the schema has them."""
    step = _given(schema, "multipleOf", 0) or (1.0 if whole else 0.0)
    # Stay this far from an exclusive bound.
    gap = step or 0.5
    lowest = max(_given(schema, "minimum", -math.inf), _given(schema, "exclusiveMinimum", -math.inf, gap))
    highest = min(_given(schema, "maximum", math.inf), _given(schema, "exclusiveMaximum", math.inf, -gap))
    value = min(max(1.0, lowest), highest)
    if step:
        value = math.floor(value / step) * step
        value = value + step if value < lowest else value
    return int(value) if value.is_integer() else value


def _given(schema: Mapping[str, Any], keyword: str, absent: float, offset: float = 0) -> float:
    value: Any = schema.get(keyword)
    # Draft 4 writes exclusive bounds as booleans; they are left out.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) + offset if is_number else absent


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword}


def _merge(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**left, **right}
    for keyword in ("properties", "required"):
        one, two = left.get(keyword), right.get(keyword)
        if isinstance(one, dict) and isinstance(two, dict):
            merged[keyword] = {**one, **two}
        elif isinstance(one, list) and isinstance(two, list):
            merged[keyword] = [*one, *(item for item in two if item not in one)]
    return merged
