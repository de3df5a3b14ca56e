"""A state in parts: what is put together is what was taken apart, and little of it is new from one turn to the next."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.events.state_parts import FORM, PartMissing, PartsMaker, StoredState, whole_text

LONG = "x" * 1025
STRANGE = st.sampled_from(["", LONG, "\0part:" + "0" * 32, '"\0part:ab', "é😀" * 600, "\0" * 1100, "part:"])
TEXTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), STRANGE)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS.filter(lambda name: name != "context"), VALUES, max_size=4)


def taken(head: object, messages: list[object]) -> StoredState:
    return PartsMaker().state(_json(head), [_json(message) for message in messages])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message(number: int, text: str = "short") -> dict[str, object]:
    return {"id": f"m-{number}", "text": text}


@given(OBJECTS, st.lists(OBJECTS, max_size=40))
def test_what_is_put_together_is_what_was_taken_apart(
    head: dict[str, object], messages: list[object]
) -> None:
    stored = taken(head, messages)

    assert json.loads(whole_text(stored)) == {**head, "context": messages}
    assert "\0" not in "".join([stored.head, *(part.body or "" for part in stored.parts.values())])


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 63, 64, 65, 5000])
def test_conversations_of_any_length_keep_their_order_and_have_few_roots(length: int) -> None:
    stored = taken({}, [message(number) for number in range(length)])

    told = json.loads(whole_text(stored))["context"]
    assert [item["id"] for item in told] == [f"m-{number}" for number in range(length)]
    # At most seven at each of five levels.
    assert len(stored.roots or b"") <= 16 * 35


@given(st.integers(0, 600), st.integers(1, 3))
def test_a_turn_brings_its_messages_and_a_few_lists(length: int, more: int) -> None:
    before = taken({}, [message(number) for number in range(length)])
    after = taken({}, [message(number) for number in range(length + more)])

    new = [part for key, part in after.parts.items() if key not in before.parts]
    assert len([part for part in new if part.body is not None]) == more
    assert len([part for part in new if part.body is None]) <= 4


def test_a_long_text_is_one_part_however_often_and_wherever_it_is() -> None:
    stored = taken({"summary": LONG}, [message(1, LONG), message(2, LONG), message(3, "a" * 2000)])

    bodies = [part.body or "" for part in stored.parts.values()]
    assert sum(LONG in body for body in bodies) == 1
    assert sum(len(body) for body in bodies if body.startswith("{")) < 3 * 100
    assert len(stored.head) < 100
    assert stored.size > 3 * len(LONG)


def test_a_state_of_a_version_before_is_the_text_itself() -> None:
    assert whole_text(StoredState('{"context":[]}', None, form=0)) == '{"context":[]}'


def test_a_part_that_is_not_there_is_an_error() -> None:
    stored = taken({}, [message(1), message(2, LONG)])
    for key in stored.parts:
        some = {name: part for name, part in stored.parts.items() if name != key}
        with pytest.raises(PartMissing):
            whole_text(replace(stored, parts=some))


def test_a_form_of_a_version_to_come_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=f"form {FORM + 1}; this version reads forms up to {FORM}"):
        whole_text(replace(taken({}, []), form=FORM + 1))
