"""Arguments made up from JSON Schemas."""

from __future__ import annotations

from typing import Any

import pytest

from agentroute.demo.schema import synthesize, synthesize_arguments


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "example"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "minLength": 9}, "examplexx"),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"type": "number"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "integer", "exclusiveMinimum": 1}, 2),
        ({"type": "integer", "multipleOf": 5, "minimum": 1}, 5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"const": "fixed"}, "fixed"),
        ({"enum": ["first", "second"]}, "first"),
        ({"type": "integer", "default": 7}, 7),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}]}, [1, True]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        (
            {"allOf": [{"type": "object", "required": ["a"]}, {"required": ["b"]}]},
            {"a": "example", "b": "example"},
        ),
        ({"$ref": "#/$defs/Size", "$defs": {"Size": {"enum": ["S"]}}}, "S"),
        ({"$ref": "#/nowhere"}, "example"),
        ({}, "example"),
    ],
)
def test_a_value_fits_its_schema(schema: dict[str, Any], expected: Any) -> None:
    assert synthesize(schema) == expected


def test_only_required_members_are_made_and_names_help() -> None:
    schema = {
        "properties": {"url": {"type": "string"}, "city": {"type": "string"}, "more": {"type": "string"}},
        "required": ["url", "city"],
    }
    assert synthesize_arguments(schema) == {"url": "https://example.com/", "city": "Paris"}


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": {"a": {"type": "string"}}}])
def test_nothing_required_is_an_empty_object(schema: dict[str, Any]) -> None:
    assert synthesize_arguments(schema) == {}


def test_a_schema_that_contains_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
    assert isinstance(synthesize({"$ref": "#/$defs/Node", "$defs": {"Node": node}}), dict)
