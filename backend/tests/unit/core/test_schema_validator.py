"""Values are checked against schemas of others in bounded time, with nothing fetched."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from core import schema_validator
from core.schema_validator import MAX_STEPS, TOO_LARGE, bounded, errors_of

_DOUBLING = {"d0": {"type": "object"}} | {
    f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level - 1}"}] * 2} for level in range(1, 25)
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What has been spent, keyword by keyword."""
    spent: list[int] = []
    spend = schema_validator._spend

    def count(steps: int) -> None:
        spent.append(steps)
        spend(steps)

    monkeypatch.setattr(schema_validator, "_spend", count)
    return spent


def complaint(schema: dict[str, Any], value: Any) -> str:
    """Return what AgentScope would hear; it calls ``jsonschema.validate``."""
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate(value, bounded(schema))
    return caught.value.message


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$defs": _DOUBLING, "$ref": "#/$defs/d24"}, {}),
        ({"$ref": "#"}, {}),
        ({"items": {"allOf": [{"type": "object"}] * 500}}, [{}] * 20_000),
        ({"items": {"enum": [str(n) for n in range(3000)]}}, ["x"] * 10_000),
        ({"items": {"required": [str(n) for n in range(3000)]}}, [{}] * 10_000),
        ({"uniqueItems": True}, [0] * (MAX_STEPS + 1)),
        ({"patternProperties": {str(n): {} for n in range(300)}}, {str(n): n for n in range(300)}),
        ({"items": {"pattern": "^(a+)+$"}}, ["a" * 6400] * 600),
    ],
    ids=["doubling", "loop", "all-of", "enum", "required", "unique", "patterns", "long texts"],
)
def test_a_check_that_costs_too_much_is_given_up(
    schema: dict[str, Any], value: Any, steps: list[int]
) -> None:
    assert [error.message for error in errors_of(schema, value)] == [TOO_LARGE]
    assert sum(steps[:-1]) <= MAX_STEPS


def test_the_next_check_has_a_budget_of_its_own() -> None:
    assert complaint({"$ref": "#"}, {}) == TOO_LARGE
    assert errors_of({"type": "object"}, {}) == []


def test_a_pattern_that_backtracks_is_matched_at_once() -> None:
    assert "does not match" in complaint(
        {"properties": {"x": {"pattern": "^(a+)+$"}}}, {"x": "a" * 5000 + "!"}
    )


def test_a_pattern_that_nobody_can_match_in_linear_time_is_not_checked() -> None:
    schema = {"patternProperties": {"^(?!x)": {"type": "string"}}, "additionalProperties": False}
    assert errors_of(schema, {"y": 1}) == []
    assert errors_of({"pattern": r"(a)\1"}, "b") == []


@pytest.fixture
def listener() -> Iterator[tuple[str, list[int]]]:
    """An address that notes who connects."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                calls.append(1)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/x", calls
        finally:
            done.set()
            thread.join()


def test_nothing_is_fetched(listener: tuple[str, list[int]], tmp_path: Any) -> None:
    url, calls = listener
    secret = tmp_path / "secret.json"
    secret.write_text('{"const": "content of a local file"}')
    for ref in (url, secret.as_uri(), "x.json"):
        said = complaint({"properties": {"x": {"$ref": ref}}}, {"x": "y"})
        assert said == "The schema refers to something outside itself, which is never fetched"
    assert calls == []
    # The stock validator does fetch: without the mark this test could not fail.
    with warnings.catch_warnings(action="ignore"), pytest.raises(Exception, match="Unresolvable"):
        jsonschema.validate({"x": "y"}, {"properties": {"x": {"$ref": url}}})
    assert calls == [1]


def test_recursive_schemas_are_followed() -> None:
    node = {"required": ["n"], "properties": {"children": {"items": {"$ref": "#/$defs/node"}}}}
    schema = {"$defs": {"node": node}, "$ref": "#/$defs/node"}
    assert errors_of(schema, {"n": 1, "children": [{"n": 2, "children": []}]}) == []
    (error,) = errors_of(schema, {"n": 1, "children": [{"n": 2, "children": [{}]}]})
    assert error.json_path == "$.children[0].children[0]"


def test_lists_of_items_of_older_drafts_are_checked_by_position() -> None:
    assert [error.json_path for error in errors_of({"items": [{}, {"type": "string"}]}, [1, 2, 3])] == [
        "$[1]"
    ]


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"maximum": 100, "exclusiveMaximum": True}, 99, 100),
        ({"maximum": 100, "exclusiveMaximum": False}, 100, 101),
        ({"minimum": 0, "exclusiveMinimum": True}, 1, 0),
        ({"minimum": -10, "exclusiveMinimum": False}, -10, -11),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, 2, 3),
        ({"exclusiveMinimum": 1}, 2, 1),
        ({"dependencies": {"a": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"b": 1}, {"a": 1}),
        ({"items": [{}, {"type": "string"}], "additionalItems": False}, [1, "a"], [1, "a", 2]),
    ],
)
def test_words_of_older_drafts_mean_what_they_meant(schema: dict[str, Any], fits: Any, does_not: Any) -> None:
    assert errors_of(schema, fits) == []
    assert len(errors_of(schema, does_not)) == 1


@pytest.mark.parametrize(
    ("items", "value"),
    [
        ({"type": "number"}, 1),
        ({"type": "string", "pattern": "^[^@]+@[^@]+$"}, "a@b.example"),
        (
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "country": {"enum": [f"c{n}" for n in range(249)]},
                },
                "required": ["name", "country"],
                "additionalProperties": False,
            },
            {"name": "x", "country": "c248"},
        ),
    ],
)
def test_a_thousand_usual_elements_are_checked(items: dict[str, Any], value: Any) -> None:
    assert errors_of({"items": items}, [value] * 1000) == []


_SIMPLE = st.sampled_from(["string", "integer", "object", "array", "boolean", "null"])
_LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": _SIMPLE,
        "minLength": st.integers(0, 3),
        "maximum": st.integers(-3, 3),
        "enum": st.lists(st.sampled_from([1, "a", None, True, {}, []]), min_size=1, max_size=3),
        "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
        "pattern": st.sampled_from(["^a", "b$", "[0-9]+"]),
        "uniqueItems": st.booleans(),
        "additionalProperties": st.booleans(),
    },
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 4) | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(_SCHEMAS, _VALUES)
def test_it_decides_as_the_stock_validator_does(schema: dict[str, Any], value: Any) -> None:
    assert (errors_of(schema, value) == []) == Draft202012Validator(schema).is_valid(value)
