"""Schemas of others are refused with a pointer before anything works with them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from core.schema_flattening import MAX_BYTES as MAX_FLAT_BYTES
from core.schema_flattening import MAX_DEPTH as MAX_FLAT_DEPTH
from core.schema_flattening import flattened
from core.schema_problems import MAX_BYTES, MAX_DEPTH, schema_problems
from core.schema_references import children
from core.schema_validator import errors_of

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


def _growing_below(name: str, levels: int = 40) -> dict[str, Any]:
    """Return a schema that doubles with each level below a property that is called like a keyword."""
    below = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": below | {f"a{levels}": {}}, "properties": {name: {"$ref": "#/$defs/a0"}}}


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
        ({"$ref": "#"}, "", "refers to itself"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            "/$defs/a",
            "refers to itself",
        ),
        (
            {"properties": {"x": {"$ref": "file:///f.json"}}},
            "/properties/x/$ref",
            "must name a part of the same schema",
        ),
        (
            {"properties": {"x": {"$ref": "http://127.0.0.1/x"}}},
            "/properties/x/$ref",
            "must name a part of the same schema",
        ),
        (
            {"properties": {"x": {"$dynamicRef": "http://h/x"}}},
            "/properties/x/$dynamicRef",
            "must name a part",
        ),
        ({"properties": {"x": {"$ref": 5}}}, "/properties/x/$ref", "must be a string"),
        ({"properties": {"x": {"$ref": "#/$defs/no"}}}, "/properties/x/$ref", "does not have"),
        ({"properties": {"x": {"$ref": "#anchor"}}}, "/properties/x/$ref", "does not have"),
        ({"$ref": "#/anyOf/" + "1" * 5000}, "/$ref", "does not have"),
        (
            {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": 5}},
            "/$defs",
            "must be an object of schemas",
        ),
        (
            {"properties": {"x": {"default": {"properties": 5}}, "y": {"$ref": "#/properties/x/default"}}},
            "/properties/x/default/properties",
            "must be an object of schemas",
        ),
        ({"properties": {"x" * 5000: {"type": 5}}}, f"/properties/{'x' * 64}/type", "must be one of"),
        (_growing_below("definitions"), "", f"is deeper than {MAX_FLAT_DEPTH} schemas"),
        (_growing_below("definitions", levels=18), "", f"is larger than {MAX_FLAT_BYTES} bytes"),
        (_deep(MAX_DEPTH), "", "is nested deeper"),
        (_deep(100_000), "", "is nested deeper"),
        ({"description": "x" * MAX_BYTES}, "", "is larger than"),
        (_doubling(14), "", f"is larger than {MAX_FLAT_BYTES} bytes"),
        (_doubling(24), "", f"is deeper than {MAX_FLAT_DEPTH} schemas"),
        (_everybody_refers_to_everybody(9), "", f"is larger than {MAX_FLAT_BYTES} bytes"),
        (_chain(1500), "", f"is deeper than {MAX_FLAT_DEPTH} schemas"),
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
        {"$defs": _chain(1500)["$defs"]},
        {"$defs": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/a"}]}}},
        {"properties": {"allOf": True, "$ref": {}, "id": {"type": "string"}}},
        {"dependentRequired": {"type": ["w"]}, "dependencies": {"format": ["w"], "x": {"type": "object"}}},
        {"discriminator": {"mapping": {"type": "#/x"}}, "x-ui": {"type": "widget", "required": True}},
        {"$ref": "#/definitions/Foo%3Cstring%3E", "definitions": {"Foo<string>": {"type": "object"}}},
        {"$defs": {"User": {"id": "User"}}, "properties": {"u": {"$ref": "#/$defs/User"}}},
        {"$id": "https://h/s", "$defs": {"x": {}}, "properties": {"u": {"$ref": "https://h/s#/$defs/x"}}},
        {"properties": {"v": {"$ref": "#foo"}, "w": {"$anchor": "foo"}}},
        {"properties": {"n": {"$id": "Node", "properties": {"c": {"items": {"$ref": "Node"}}}}}},
        {"properties": {"x": {"prefixItems": []}}},
        *(
            {"properties": {"x": {"pattern": pattern}}}
            for pattern in (
                r"^(\p{Extended_Pictographic}|\p{Emoji_Component})+$",
                r"\p{Script=Greek}",
                r"(?=x)\p{L}",
                "(?<y>a)(?=b)",
                "[^]",
                r"\cA",
                r"\u{1F600}",
                "(?<=a+)b",
                r"[\w-.]",
                r"[a-\d]",
            )
        ),
    ],
)
def test_what_clients_mean_well_is_taken(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []


_KEYWORDS = [
    *(
        "type",
        "properties",
        "items",
        "anyOf",
        "allOf",
        "not",
        "$ref",
        "enum",
        "required",
        "pattern",
        "default",
    ),
    *(
        "$defs",
        "definitions",
        "dependencies",
        "dependentRequired",
        "additionalProperties",
        "$id",
        "minimum",
        "x",
    ),
]
_REFS = [
    "#",
    "#/$defs/a",
    "#/$defs/b",
    "#/properties/type",
    "#/properties",
    "#/properties/x/default",
    "#/allOf/0",
    "a",
]
_LEAVES = (
    st.sampled_from(
        [None, True, False, 0, -1, 10**30, 1.5, "object", "string", "([", "^a", [], {}, ["a"], "a"]
    )
    | st.sampled_from(_REFS)
    | st.sampled_from(_REFS).map(lambda ref: {"$ref": ref})
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=4)
    ),
    max_leaves=20,
)
_ROOTS = st.fixed_dictionaries(
    {},
    optional={
        "$defs": st.dictionaries(st.sampled_from("ab"), _JSON, max_size=2),
        "properties": st.dictionaries(st.sampled_from(_KEYWORDS), _JSON, max_size=3),
        "allOf": st.lists(_JSON, max_size=2),
        "items": _JSON,
        "$ref": st.sampled_from(_REFS),
    },
)


@settings(max_examples=250)
@given(_ROOTS, _JSON)
def test_any_json_is_judged_and_what_passes_can_be_worked_with(schema: dict[str, Any], value: Any) -> None:
    if schema_problems(schema):
        return
    flat = flattened(schema)
    assert "$ref" not in {key for _, node in _schemas(flat) for key in node}
    assert len(json.dumps(flat)) <= MAX_FLAT_BYTES
    # Neither may raise anything, whatever the model has written.
    errors_of(flat, value)
    errors_of(flat, {"x": value, "type": value})


def _schemas(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield place, node
        for _, below, child in children(node, place):
            yield from _schemas(child, below)


class Inner(BaseModel):
    """A model that refers to itself."""

    name: str = Field(pattern="^[a-z]+$")
    parts: list[Inner] = []


class Outer(BaseModel):
    """A model of usual things."""

    one: Inner
    many: dict[str, Inner]
    definitions: list[int] | None = None
    choice: Literal["a", "b"] | Annotated[int, Field(ge=1)] = "a"


@pytest.mark.parametrize("model", [Inner, Outer])
def test_schemas_are_flattened_as_agentscope_flattens_them(model: type[BaseModel]) -> None:
    from agentscope.model import OpenAIChatModel

    schema = model.model_json_schema()
    tool = {"type": "function", "function": {"name": "f", "parameters": copy.deepcopy(schema)}}
    (theirs,) = OpenAIChatModel._flatten_tool_schemas([tool])
    assert schema_problems(schema) == []
    assert flattened(schema) == theirs["function"]["parameters"]
