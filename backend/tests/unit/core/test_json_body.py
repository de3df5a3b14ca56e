"""The strict reader of JSON bodies."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    AgentBackendError,
    InvalidText,
    LimitExceeded,
    MalformedJson,
)
from core.json_body import canonical_hash, parse_json

DEPTH = 32


def parse(text: str | bytes) -> Any:
    return parse_json(text.encode() if isinstance(text, str) else text, max_depth=DEPTH)


def refusal(text: str | bytes) -> AgentBackendError:
    with pytest.raises(AgentBackendError) as caught:
        parse(text)
    return caught.value


# --- grammar ---


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        ' [1, -2.5e10, true, false, null, "a\\n\\u00e9\\ud83d\\ude00"] ',
        "1e308",
        "1e-308",
        '"1e999 NaN \\\\u0000"',
        '{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
        "[" * DEPTH + "]" * DEPTH,
    ],
)
def test_what_every_parser_reads_alike_is_read(text: str) -> None:
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1,]",
        "{'a': 1}",
        "{} {}",
        "01",
        "+1",
        ".5",
        "0x10",
        "// comment\n1",
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        "1e999",
        "1e-400",
        "[1E+0000309]",
        "1e-" + "9" * 9000,
        "9" * 5000,
        '"\n"',
        "\ufeff{}",
        b"\xff",
        b'"\xed\xa0\x80"',
        "{}".encode("utf-16"),
        "[" * (DEPTH + 1) + "]" * (DEPTH + 1),
        '{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1),
        "[" * 100_000,
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "\\u0061": 2}}]',
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_parsers_could_read_differently_is_malformed(text: str | bytes) -> None:
    assert isinstance(refusal(text), MalformedJson)


@pytest.mark.parametrize("text", ["", " \r\n\t "])
def test_an_empty_body_is_told_what_is_missing(text: str) -> None:
    assert "empty" in refusal(text).detail


def test_the_position_is_told_and_the_content_is_not() -> None:
    error = refusal('{\n  "secret-canary": tru\n}')

    assert error.members == {"line": 2, "column": 20}
    assert "canary" not in error.detail


# --- text ---


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('"\\u0000"', ""),
        ('{"messages": [{"id": "a"}, {"content": "x\\u0000y"}]}', "/messages/1/content"),
        ('["\\ud800"]', "/0"),
        ('{"a/b": {"m~n": "\\udfff"}}', "/a~1b/m~0n"),
        ('{"a\\ud800": 1}', "/a\N{REPLACEMENT CHARACTER}"),
        ('{"a\\u0000": 1}', "/a\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_text_that_cannot_be_stored_is_found_by_pointer(text: str, pointer: str) -> None:
    error = refusal(text)

    assert isinstance(error, InvalidText)
    assert [entry["pointer"] for entry in error.errors] == [pointer]


def test_half_a_pair_in_a_broken_body_is_a_broken_body() -> None:
    assert isinstance(refusal('["\\ud800",}'), MalformedJson)


def test_a_long_member_name_is_cut_in_the_pointer() -> None:
    error = refusal('{"' + "k" * 100_000 + '": ["\\u0000"]}')

    assert len(error.errors[0]["pointer"]) < 100


# --- cost ---


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 1_000_000 + b"0]",
        b"[" + b'"",' * 1_000_000 + b"0]",
        b"{" + b",".join(b'"%d":0' % n for n in range(300_000)) + b"}",
    ],
    ids=["arrays", "strings", "members"],
)
def test_millions_of_values_are_refused_before_they_are_made(body: bytes) -> None:
    assert isinstance(refusal(body), LimitExceeded)


def test_commas_and_brackets_in_text_are_not_values() -> None:
    assert parse(b'["' + b"[,{" * 300_000 + b'"]')


def test_an_unterminated_string_is_not_searched_twice() -> None:
    # Quadratic, this would take hours.
    assert isinstance(refusal(b'["' + b'\\",' * 1_000_000), MalformedJson)


# --- properties ---

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_everything_sane_comes_back(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only)) == value


def integer(text: str) -> float:
    return int(text) if -(2**63) <= int(text) < 2**64 else float(text)


@given(st.text(alphabet='{}[]",:\\u0d8ceE+-. 1an\n') | st.text())
def test_any_text_is_read_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        value = parse(text.encode(errors="surrogatepass"))
    except AgentBackendError:
        return
    assert value == json.loads(text, parse_int=integer)


@given(st.binary())
def test_any_bytes_give_a_value_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(MalformedJson, InvalidText):
        parse(body)


@given(json_values)
def test_the_hash_knows_no_order_of_members(value: Any) -> None:
    def reversed_members(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: reversed_members(node[key]) for key in reversed(node)}
        return [reversed_members(child) for child in node] if isinstance(node, list) else node

    assert canonical_hash(value) == canonical_hash(reversed_members(value))


def test_the_hash_tells_values_apart() -> None:
    values = [{}, {"a": 1}, {"a": 2}, {"a": "1"}, {"a": None}, {"a": [1, 2]}, {"a": [2, 1]}]

    assert len({canonical_hash(value) for value in values}) == len(values)


# --- repeated members ---

# Punctuation, quotes and escapes: what could be counted at the wrong place.
strings = st.text(alphabet='":,[{\\\n\ta\u00e9', max_size=6)
members = st.recursive(
    st.tuples(st.just("text"), strings) | st.tuples(st.just("number"), st.integers(0, 9)),
    lambda inner: (
        st.tuples(st.just("object"), st.lists(st.tuples(strings, inner), max_size=4))
        | st.tuples(st.just("array"), st.lists(inner, max_size=4))
    ),
    max_leaves=15,
)


def written(node: Any) -> str:
    kind, value = node
    if kind == "object":
        return "{" + ", ".join(f"{json.dumps(name)}: {written(child)}" for name, child in value) + "}"
    if kind == "array":
        return "[" + ",".join(written(child) for child in value) + "]"
    return json.dumps(value)


def has_repeats(node: Any) -> bool:
    kind, value = node
    if kind == "object":
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(has_repeats(child) for _, child in value)
    return kind == "array" and any(has_repeats(child) for child in value)


@given(members)
def test_repeated_members_and_only_those_are_found_by_counting(node: Any) -> None:
    text = written(node)
    if has_repeats(node):
        assert isinstance(refusal(text), MalformedJson)
    else:
        assert parse(text) == json.loads(text)


def test_a_body_is_looked_at_without_reading_it_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any, **__: Any) -> Any:
        raise AssertionError("the standard library read the body")

    monkeypatch.setattr(json, "loads", slow)
    assert len(parse(b"{" + b",".join(b'"k%d":1.5' % n for n in range(50_000)) + b"}")) == 50_000


@pytest.mark.parametrize("before", [0, 1, 65_535, 65_536, 65_540])
def test_a_wrong_exponent_is_found_wherever_it_is(before: int) -> None:
    assert isinstance(refusal("[" + " " * before + "1" * 30 + "e-00400" + " " * 70_000 + "]"), MalformedJson)


def test_strings_of_punctuation_take_no_more_memory_than_values() -> None:
    assert isinstance(refusal(b"[" + b'",",' * 900_000 + b"1]"), LimitExceeded)
