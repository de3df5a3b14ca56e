"""What leaves the service is text and JSON that everybody can read."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import clean_json, json_text


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (10**20, 1e20),
        (-(2**63) - 1, -9.223372036854775808e18),
        (10**400, None),
        (True, True),
        ({"n": [10**20]}, {"n": [1e20]}),
    ],
)
def test_an_integer_beyond_64_bits_is_a_double(value: object, clean: object) -> None:
    assert clean_json(value) == clean
    assert type(clean_json(value)) is type(clean)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_whatever_is_cleaned_has_a_json_form(value: object) -> None:
    assert orjson.loads(orjson.dumps(clean_json(value))) == clean_json(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_is_cleaned_the_same_way_whatever_is_around_it(value: object) -> None:
    # A set has no JSON form, so everything beside it is looked at value by value.
    assert clean_json([value]) == clean_json([value, {1}])[:1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "\u00e9"]}, '{"a":[1,null,"\u00e9"]}'),
        ([10**30], f"[{10**30}]"),
        (["\ud800"], '["\ud800"]'),
    ],
    ids=["ordinary", "beyond-64-bits", "half-a-pair"],
)
def test_every_value_has_a_text(value: object, text: str) -> None:
    assert json_text(value) == text
