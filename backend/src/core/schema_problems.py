"""Says what is wrong with a JSON Schema that somebody else wrote, before anything works with it.

What passes is small, is valid, refers to nothing outside itself, and stays small
when its references are replaced by what they name, which is how models get it.
Checked is what can ever be applied: the root, and what it contains or refers to.
Every check here takes time in proportion to the schema, or has a limit. See docs/adr/0015.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from core.schema_flattening import FlatBudget, SchemaTooLarge, flattened
from core.schema_patterns import PatternBudget, pattern_problem
from core.schema_references import IN_PLACE, References, children, step

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
"""Levels of JSON. Each costs AgentScope and jsonschema several frames of Python's stack."""
_MAX_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that is wrong, and where: a JSON pointer into the schema."""

    pointer: str
    message: str


def schema_problems(
    schema: Mapping[str, Any], budget: FlatBudget | None = None, patterns: PatternBudget | None = None
) -> list[SchemaProblem]:
    """Return what is wrong with the schema of a tool's arguments; empty when it can be used.

    Args:
        schema: JSON as it was received; its root describes an object.
        budget: Of all schemas of a request together.
        patterns: Of all schemas of a request together.
    """
    if problem := _size_problem(schema):
        return [problem]
    found, applied = _look_through(schema, patterns or PatternBudget())
    if not found and (place := _endless(applied)) is not None:
        found = [SchemaProblem(place, "refers to itself without going through a property or an element")]
    if not found:
        try:
            flattened(schema, budget)
        except SchemaTooLarge as exc:
            found = [SchemaProblem("", str(exc))]
    return found[:_MAX_PROBLEMS]


def size_of(schema: Mapping[str, Any]) -> int:
    """Return the bytes of a schema as JSON."""
    # Not by orjson, which refuses integers beyond 64 bits.
    return len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "replace"))


def _size_problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            break
    if level:
        return SchemaProblem("", f"is nested deeper than {MAX_DEPTH} levels")
    if size_of(schema) > MAX_BYTES:
        return SchemaProblem("", f"is larger than {MAX_BYTES} bytes")
    return None


@dataclass(frozen=True, slots=True)
class _Applied:
    """A schema that may be applied to a value, and the schemas that are then applied to the same value."""

    place: str
    same_value: list[int]


def _look_through(
    root: Mapping[str, Any], patterns: PatternBudget
) -> tuple[list[SchemaProblem], dict[int, _Applied]]:
    """Check every schema that can be reached; return what is wrong, and the schemas by identity."""
    references = References(root)
    found = list(_root_problems(root))
    applied: dict[int, _Applied] = {}
    pending: list[tuple[str, Any]] = [("", root)]
    while pending and len(found) < _MAX_PROBLEMS:
        place, schema = pending.pop()
        if not isinstance(schema, dict) or id(schema) in applied:
            continue
        here = applied[id(schema)] = _Applied(place, [])
        wrong = list(_keyword_problems(schema, place))
        found += wrong
        if wrong:
            continue
        found += _pattern_problems(schema, place, patterns)
        for keyword, child_place, child in children(schema, place):
            pending.append((child_place, child))
            if keyword in IN_PLACE:
                here.same_value.append(id(child))
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword not in schema:
                continue
            target = _target(references, schema[keyword], step(place, keyword))
            if isinstance(target, SchemaProblem):
                found.append(target)
            else:
                pending.append(target)
                here.same_value.append(id(target[1]))
    return found, applied


def _target(references: References, ref: Any, place: str) -> SchemaProblem | tuple[str, Any]:
    if not isinstance(ref, str) or not references.is_inside(ref):
        return SchemaProblem(place, "must name a part of the same schema, such as '#/$defs/name'")
    target = references.find(ref)
    if target is None or not isinstance(target[1], dict | bool):
        return SchemaProblem(place, "refers to a part that the schema does not have")
    return target


def _root_problems(schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    kinds = schema.get("type", "object")
    names = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(names, list) and _TYPES.issuperset(map(str, names)) and names and "object" not in names:
        yield SchemaProblem("/type", "must be 'object': the arguments of a tool are an object")


def _keyword_problems(schema: Mapping[str, Any], place: str) -> Iterator[SchemaProblem]:
    """Check the types that JSON Schema demands of its keywords, in any draft since the fourth.

    Not by the meta-schema: jsonschema takes half a second of the event loop for 64 KiB.
    """
    for key, value in schema.items():
        form = _FORMS.get(key)
        if form is not None and not form.holds(value):
            yield SchemaProblem(step(place, key), f"must be {form.words}")


@dataclass(frozen=True, slots=True)
class _Form:
    words: str
    holds: Callable[[Any], bool]


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_schema_or_strings(value: Any) -> bool:
    return _is_schema(value) or _are_strings(value)


_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_TYPE = _Form(
    f"one of {', '.join(sorted(_TYPES))}, or a list of them",
    lambda value: (
        value in _TYPES
        if isinstance(value, str)
        else _are_strings(value) and bool(value) and _TYPES.issuperset(value)
    ),
)
_SCHEMA = _Form("a schema: an object, true or false", _is_schema)
_SCHEMAS = _Form(
    "a list of schemas, with one at least",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_schema, value)),
)
_MAP = _Form(
    "an object of schemas", lambda value: isinstance(value, dict) and all(map(_is_schema, value.values()))
)
_COUNT = _Form(
    "a whole number, 0 or more", lambda value: _is_number(value) and value >= 0 and value == int(value)
)
_NUMBER = _Form("a number", _is_number)
_BOUND = _Form("a number", lambda value: isinstance(value, bool) or _is_number(value))  # a flag in draft 4
_STRINGS = _Form("a list of strings", _are_strings)
_STRING = _Form("a string", lambda value: isinstance(value, str))
_FLAG = _Form("true or false", lambda value: isinstance(value, bool))
_FORMS: Mapping[str, _Form] = {
    "type": _TYPE,
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"), _MAP),
    "dependencies": _Form(
        "an object of schemas, or of lists of strings",
        lambda value: isinstance(value, dict) and all(map(_is_schema_or_strings, value.values())),
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _SCHEMAS),
    **dict.fromkeys(
        ("not", "if", "then", "else", "contains", "propertyNames", "additionalProperties"), _SCHEMA
    ),
    **dict.fromkeys(("additionalItems", "unevaluatedItems", "unevaluatedProperties"), _SCHEMA),
    "items": _Form(
        "a schema, or a list of schemas",
        lambda value: _is_schema(value) or (isinstance(value, list) and all(map(_is_schema, value))),
    ),
    "prefixItems": _Form(
        "a list of schemas", lambda value: isinstance(value, list) and all(map(_is_schema, value))
    ),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT
    ),
    **dict.fromkeys(("minContains", "maxContains"), _COUNT),
    **dict.fromkeys(("minimum", "maximum"), _NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _BOUND),
    "multipleOf": _Form("a number above 0", lambda value: _is_number(value) and value > 0),
    "required": _STRINGS,
    "enum": _Form("a list of values", lambda value: isinstance(value, list)),
    "dependentRequired": _Form(
        "an object of lists of strings",
        lambda value: isinstance(value, dict) and all(map(_are_strings, value.values())),
    ),
    "uniqueItems": _FLAG,
    **dict.fromkeys(("pattern", "format", "$ref", "$schema", "$dynamicRef"), _STRING),
}


def _pattern_problems(
    schema: Mapping[str, Any], place: str, budget: PatternBudget
) -> Iterator[SchemaProblem]:
    if "pattern" in schema and (wrong := pattern_problem(schema["pattern"], budget)):
        yield SchemaProblem(step(place, "pattern"), wrong)
    for pattern in schema.get("patternProperties", {}):
        if wrong := pattern_problem(pattern, budget):
            yield SchemaProblem(step(step(place, "patternProperties"), pattern), wrong)


def _endless(applied: Mapping[int, _Applied]) -> str | None:
    """Return the place of a schema that leads back to itself at the same value; ``None`` when there is none."""
    try:
        TopologicalSorter({node: schema.same_value for node, schema in applied.items()}).prepare()
    except CycleError as exc:
        return min((applied[node].place for node in exc.args[1] if node in applied), default="")
    return None
