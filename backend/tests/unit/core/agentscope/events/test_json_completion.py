"""A cut JSON text gets the end it lacks, and never loses what was shown."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import internal_event_strategies as any_of

from core.agentscope.events.json_completion import completion


def strictly(text: str) -> Any:
    """Read JSON as RFC 8259 has it; Python's own NaN and Infinity are none."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("{", "}"),
        ('{"', '":null}'),
        ('{"a', '":null}'),
        ('{"a"', ":null}"),
        ('{"a" ', ":null}"),
        ('{"a":', "null}"),
        ('{"a": t', "rue}"),
        ('{"a": fals', "e}"),
        ('{"a": n', "ull}"),
        ('{"a": true', "}"),
        ('{"a": -', "0}"),
        ('{"a": 1', "}"),
        ('{"a": 1.', "0}"),
        ('{"a": 1e', "0}"),
        ('{"a": 1E+', "0}"),
        ('{"a": "x', '"}'),
        ('{"a": "x"', "}"),
        ('{"a": "x\\', '\\"}'),
        ('{"a": "x\\\\', '"}'),
        ('{"a": "\\u', '0000"}'),
        ('{"a": "\\u00e', '0"}'),
        ('{"a": "\\\\u00e', '"}'),
        ('{"a": "\\ud83d\\', '\\"}'),
        ('{"a": "{[', '"}'),
        ('{"a": [1, {"b": "c"', "}]}"),
        ('{"a": [', "]}"),
        ('{"a": [1,', "null]}"),
        ('{"a": 1,', '"":null}'),
        ('{"a": 1}', ""),
        ("[1", "]"),
        ('"x', '"'),
    ],
)
def test_the_shortest_end_is_added(text: str, end: str) -> None:
    assert completion(text) == end
    strictly(text + end)


@pytest.mark.parametrize("text", ["five", "{]", '{"a" 1', "{}}", '{"a": 1} {', '{"a": x', "[1}", "{,"])
def test_what_no_end_can_mend_gets_none(text: str) -> None:
    assert completion(text) == ""


def test_brackets_deeper_than_any_parser_goes_get_none_and_do_no_harm() -> None:
    assert completion("[" * 200_000) == ""


@settings(max_examples=300, deadline=None)
@given(any_of.cut_json_objects())
def test_every_beginning_of_a_json_object_becomes_one(pieces: list[str]) -> None:
    text = "".join(pieces)

    assert isinstance(strictly(text + completion(text)), dict)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.integers() | st.text(max_size=3) | st.booleans(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_a_whole_text_needs_nothing(value: Any) -> None:
    assert completion(json.dumps(value)) == ""


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]",:\\ut 01.e-', max_size=12))
def test_an_end_is_given_only_where_it_mends(text: str) -> None:
    if end := completion(text):
        strictly(text + end)
