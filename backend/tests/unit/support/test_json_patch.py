"""JSON Patch as the Flutter app has it: the same as the library that the service uses."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpatch import JsonPatchException
from jsonpointer import JsonPointerException
from tests.support.contract_vectors import changed, changes_between
from tests.support.json_patch import PatchError, apply_patch, same_json

_DOCUMENT = {"a": {"b": [1, {"c": None}, "x"]}, "m/n": 1, "~": 2, "": 3, "list": []}
_PATHS = st.sampled_from(
    [
        "",
        "/a",
        "/a/b",
        "/a/b/0",
        "/a/b/3",
        "/a/b/-",
        "/a/b/01",
        "/a/b/1/c",
        "/m~1n",
        "/~0",
        "/",
        "/new",
        "/list/-",
        "/list/0",
    ]
)
_VALUES = st.sampled_from([None, False, 1, "text", [1], {"k": {}}])
_OPERATIONS = st.one_of(
    st.builds(
        lambda op, path, value: {"op": op, "path": path, "value": value},
        st.sampled_from(["add", "replace", "test"]),
        _PATHS,
        _VALUES,
    ),
    st.builds(lambda path: {"op": "remove", "path": path}, _PATHS.filter(bool)),
    st.builds(
        lambda op, path, origin: {"op": op, "path": path, "from": origin},
        st.sampled_from(["move", "copy"]),
        _PATHS.filter(bool),
        _PATHS.filter(bool),
    ),
)


@given(st.lists(_OPERATIONS, max_size=4))
def test_it_does_what_the_library_does(operations: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(_DOCUMENT)
    try:
        expected = jsonpatch.apply_patch(copy.deepcopy(_DOCUMENT), operations)
    except (JsonPatchException, JsonPointerException):
        with pytest.raises(PatchError):
            apply_patch(_DOCUMENT, operations)
    else:
        assert same_json(apply_patch(_DOCUMENT, operations), expected)
    assert before == _DOCUMENT


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": None, "value": 1},
        {"op": "add", "path": "/m~1n/x", "value": 1},
        {"op": "move", "path": "/a/b", "from": "/a"},
        {"op": "move", "path": "/a"},
        {"op": "of the future", "path": "/a"},
        {"path": "/a"},
        {},
    ],
)
def test_what_is_broken_changes_nothing(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        apply_patch(_DOCUMENT, [{"op": "remove", "path": "/a"}, operation])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a", "ab", "~/"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "~/"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_JSON, _JSON)
def test_changes_make_one_value_of_another(before: Any, after: Any) -> None:
    made = changed(before, changes_between(before, after))

    assert same_json(made, after)
