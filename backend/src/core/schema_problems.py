"""Checks a JSON Schema from outside before any code uses it.

An accepted schema is small, is valid, refers to nothing outside itself, and stays small when its references are
replaced by their targets, which is the form that models get. Every check takes linear time or has a limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.schema_validator import PatternUnknown, compile_pattern
from core.validation import escape

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
"""Levels of JSON. Each level needs several frames of Python's stack in AgentScope and jsonschema."""
MAX_EXPANDED_NODES = 10_000
MAX_EXPANDED_DEPTH = 64
MAX_PATTERN_CHARACTERS = 1000
_MAX_PROBLEMS = 10

_IN_PLACE = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE = ("not", "if", "then", "else")
"""Keywords that apply schemas to the same value. A cycle of only such keywords never ends."""
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Members of these are names, not keywords."""
_VALUES = frozenset({"const", "enum", "default", "examples", "example"})
"""What is below these is data."""


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One problem, and its place: a JSON pointer into the schema."""

    pointer: str
    message: str


def schema_problems(schema: Mapping[str, Any]) -> list[SchemaProblem]:
    """Return the problems of the schema of a tool's arguments; empty if the schema can be used.

    Args:
        schema: JSON as received; the root must describe an object.
    """
    if problem := _size_problem(schema):
        return [problem]
    found = [problem for place, node in _schemas(schema, "") for problem in _keyword_problems(node, place)]
    if not found:
        # These checks require keywords of the right types.
        found = [*_root_problems(schema), *_walk(schema, schema, "")]
    if not found and (problem := _Expansion(schema).problem()):
        found = [problem]
    if not found and (place := _endless(schema)) is not None:
        found = [SchemaProblem(place, "refers to itself without going through a property or an element")]
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


def _keyword_problems(schema: Mapping[str, Any], place: str) -> Iterator[SchemaProblem]:
    """Check the types that JSON Schema demands of its keywords, in any draft since the fourth.

    Not by the meta-schema: jsonschema takes half a second of the event loop for 64 KiB.
    """
    for key, value in schema.items():
        form = _FORMS.get(key)
        if form is not None and not form.holds(value):
            yield SchemaProblem(f"{place}/{escape(key)}", f"must be {form.words}")


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
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _SCHEMAS),
    **dict.fromkeys(
        ("not", "if", "then", "else", "contains", "propertyNames", "additionalProperties"), _SCHEMA
    ),
    **dict.fromkeys(("additionalItems", "unevaluatedItems", "unevaluatedProperties"), _SCHEMA),
    "items": _Form(
        "a schema, or a list of schemas",
        lambda value: _is_schema(value) or (isinstance(value, list) and all(map(_is_schema, value))),
    ),
    "prefixItems": _SCHEMAS,
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
    **dict.fromkeys(("pattern", "format", "$ref", "$schema", "$id", "$anchor", "$dynamicRef"), _STRING),
}


def _root_problems(schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    kinds = schema.get("type", "object")
    if "object" not in ([kinds] if isinstance(kinds, str) else kinds):
        yield SchemaProblem("/type", "must be 'object': the arguments of a tool are an object")


def _walk(root: Mapping[str, Any], node: Any, place: str, *, names: bool = False) -> Iterator[SchemaProblem]:
    """Check references and patterns of every schema below a node; ``names`` when its members are names."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _walk(root, child, f"{place}/{index}")
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        here = f"{place}/{escape(key)}"
        if names:
            yield from _walk(root, value, here)
        elif key in ("$ref", "$dynamicRef", "$recursiveRef"):
            yield from _reference_problems(root, value, here)
        elif key in ("$id", "id") and place and isinstance(value, str):
            yield SchemaProblem(here, "is only allowed at the root")
        elif key == "pattern":
            yield from _pattern_problems(value, here)
        elif key not in _VALUES:
            if key == "patternProperties":
                for pattern in value:
                    yield from _pattern_problems(pattern, f"{here}/{escape(pattern)}")
            yield from _walk(root, value, here, names=key in _MAPS)


def _reference_problems(root: Mapping[str, Any], ref: Any, place: str) -> Iterator[SchemaProblem]:
    if not isinstance(ref, str) or not ref.startswith("#"):
        yield SchemaProblem(place, "must begin with '#': only parts of the same schema can be referred to")
    elif not isinstance(_resolve(root, ref), dict | bool):
        yield SchemaProblem(place, "refers to a part that the schema does not have")


def _pattern_problems(pattern: Any, place: str) -> Iterator[SchemaProblem]:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        yield SchemaProblem(place, f"is a pattern of more than {MAX_PATTERN_CHARACTERS} characters")
        return
    try:
        compile_pattern(pattern)
    except PatternUnknown:
        try:
            # Lookahead and backreferences are legal; only the model reads such a pattern.
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            yield SchemaProblem(place, "is not a regular expression")


def _resolve(root: Any, ref: str) -> Any:
    node = root
    for step in ref.removeprefix("#").split("/")[1:] if ref != "#" else ():
        token = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list) and token.isdecimal() and int(token) < len(node):
            node = node[int(token)]
        else:
            return None
    return node if ref == "#" or ref.startswith("#/") else None


def _endless(root: Mapping[str, Any]) -> str | None:
    """Return the pointer of a reference that leads back to itself at the same value, or ``None``."""
    settled: set[int] = set()

    def visit(node: Any, path: frozenset[int]) -> bool:
        if not isinstance(node, dict) or id(node) in settled:
            return False
        if id(node) in path:
            return True
        path |= {id(node)}
        same = [child for key in _IN_PLACE for child in node.get(key, ())]
        same += [node[key] for key in _IN_PLACE_ONE if key in node]
        same += list(node.get("dependentSchemas", {}).values())
        if "$ref" in node:
            same.append(_resolve(root, node["$ref"]))
        looped = any(visit(child, path) for child in same)
        if not looped:
            settled.add(id(node))
        return looped

    for place, node in _schemas(root, ""):
        if visit(node, frozenset()):
            return f"{place}/$ref" if "$ref" in node else place
    return None


def _schemas(node: Any, place: str, *, names: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _schemas(child, f"{place}/{index}")
    elif isinstance(node, dict):
        if not names:
            yield place, node
        for key, value in node.items():
            if names or key not in _VALUES:
                yield from _schemas(value, f"{place}/{escape(key)}", names=not names and key in _MAPS)


class _Expansion:
    """Counts the parts of a schema whose references are replaced by their targets, up to the limit.

    A reference to a part that contains the reference is not followed again, because AgentScope flattens the schema for
    models in the same way.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MAX_EXPANDED_NODES
        self._deep = False

    def problem(self) -> SchemaProblem | None:
        """Return the problems of the size and the depth."""
        self._count(self._root, frozenset(), 0)
        if self._deep:
            return SchemaProblem(
                "", f"is deeper than {MAX_EXPANDED_DEPTH} levels when its references are resolved"
            )
        if self._left < 0:
            return SchemaProblem(
                "", f"has more than {MAX_EXPANDED_NODES} parts when its references are resolved"
            )
        return None

    def _count(self, node: Any, inside: frozenset[str], depth: int) -> None:
        self._left -= 1
        self._deep = self._deep or depth > MAX_EXPANDED_DEPTH
        if self._left < 0 or self._deep:
            return
        if isinstance(node, list):
            for child in node:
                self._count(child, inside, depth + 1)
        elif isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str) and ref not in inside:
                self._count(_resolve(self._root, ref), inside | {ref}, depth + 1)
            for key, child in node.items():
                if key not in ("$defs", "definitions"):
                    self._count(child, inside, depth + 1)
