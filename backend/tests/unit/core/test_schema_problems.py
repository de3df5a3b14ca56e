"""Schemas of others are refused with a pointer before anything works with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from core.schema_problems import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_EXPANDED_DEPTH,
    MAX_EXPANDED_NODES,
    schema_problems,
)

_ZOD_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def _chain(length: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{length}": {}}}


def _doubling(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {"d0": {}}
    for level in range(1, levels + 1):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"properties": {"a": below, "b": below}}
    return {"$ref": f"#/$defs/d{levels}", "$defs": definitions}


def _everybody_refers_to_everybody(count: int) -> dict[str, Any]:
    refs = {f"p{n}": {"$ref": f"#/$defs/d{n}"} for n in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {f"d{n}": {"properties": refs} for n in range(count)}}


@pytest.mark.parametrize(
    ("schema", "pointer", "words"),
    [
        ({"type": 5}, "/type", "must be one of array, boolean"),
        ({"type": "text"}, "/type", "must be one of array, boolean"),
        ({"type": []}, "/type", "must be one of array, boolean"),
        ({"type": "string"}, "/type", "must be 'object'"),
        ({"required": "x"}, "/required", "must be a list of strings"),
        ({"properties": []}, "/properties", "must be an object of schemas"),
        ({"properties": {"x": None}}, "/properties", "must be an object of schemas"),
        ({"properties": {"a/b": {"type": 5}}}, "/properties/a~1b/type", "must be one of"),
        ({"properties": {"x": {"minLength": -1}}}, "/properties/x/minLength", "must be a whole number"),
        ({"properties": {"x": {"enum": "x"}}}, "/properties/x/enum", "must be a list of values"),
        ({"properties": {"x": {"items": 5}}}, "/properties/x/items", "must be a schema"),
        ({"anyOf": []}, "/anyOf", "must be a list of schemas, with one at least"),
        ({"properties": {"x": {"pattern": "(["}}}, "/properties/x/pattern", "is not a regular expression"),
        ({"patternProperties": {"([": {}}}, "/patternProperties/([", "is not a regular expression"),
        (
            {"properties": {"x": {"pattern": "a" * 1001}}},
            "/properties/x/pattern",
            "is a pattern of more than",
        ),
        ({"$ref": "#"}, "/$ref", "refers to itself"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            "/$ref",
            "refers to itself",
        ),
        ({"properties": {"x": {"$ref": "file:///f.json"}}}, "/properties/x/$ref", "must begin with '#'"),
        ({"properties": {"x": {"$ref": "http://127.0.0.1/x"}}}, "/properties/x/$ref", "must begin with '#'"),
        ({"properties": {"x": {"$dynamicRef": "http://h/x"}}}, "/properties/x/$dynamicRef", "must begin"),
        ({"properties": {"x": {"$ref": 5}}}, "/properties/x/$ref", "must be a string"),
        ({"properties": {"x": {"$ref": "#/$defs/no"}}}, "/properties/x/$ref", "does not have"),
        ({"properties": {"x": {"$ref": "#anchor"}}}, "/properties/x/$ref", "does not have"),
        (
            {"properties": {"x": {"$id": "http://h/", "$ref": "#/a"}}},
            "/properties/x/$id",
            "only allowed at the root",
        ),
        (_deep(MAX_DEPTH), "", "is nested deeper"),
        (_deep(100_000), "", "is nested deeper"),
        ({"description": "x" * MAX_BYTES}, "", "is larger than"),
        (_doubling(14), "", f"has more than {MAX_EXPANDED_NODES} parts"),
        (_doubling(24), "", f"is deeper than {MAX_EXPANDED_DEPTH} levels"),
        (_everybody_refers_to_everybody(9), "", f"has more than {MAX_EXPANDED_NODES} parts"),
        (_chain(1500), "", f"is deeper than {MAX_EXPANDED_DEPTH} levels"),
    ],
)
def test_a_bad_schema_is_refused_with_a_pointer(schema: dict[str, Any], pointer: str, words: str) -> None:
    problems = schema_problems(schema)
    assert problems
    assert problems[0].pointer == pointer
    assert words in problems[0].message


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://h/s", "type": "object"},
        {"properties": {"x": {"pattern": "^(a+)+$"}}},
        {"properties": {"email": {"type": "string", "format": "email", "pattern": _ZOD_EMAIL}}},
        {
            "properties": {
                "$ref": {"type": "string"},
                "pattern": {"type": "string"},
                "$id": {"type": "string"},
            }
        },
        {"properties": {"x": {"enum": [{"$ref": "http://h/x", "pattern": "(["}]}}},
        {"properties": {"x": {"default": {"type": 5}}}},
        {"properties": {"x": {"items": [{"type": "string"}], "exclusiveMinimum": True}}},
        {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"c": {"items": {"$ref": "#/$defs/n"}}}}}},
        {"properties": {"x": {"$ref": "#/properties/y"}, "y": {"type": "string"}}},
        _doubling(8),
    ],
)
def test_what_clients_mean_well_is_taken(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "$ref", "enum", "required", "pattern", "x", "not"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "items", "$ref", "$defs", "allOf"]), _JSON, max_size=4
    )
)
def test_what_passes_is_valid_by_the_meta_schema(schema: dict[str, Any]) -> None:
    if schema_problems(schema):
        return
    # Lists of items and flags as bounds are older drafts' words, and none of them is made here at random.
    errors = [
        error
        for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
        if "items" not in error.absolute_path
    ]
    assert errors == []
