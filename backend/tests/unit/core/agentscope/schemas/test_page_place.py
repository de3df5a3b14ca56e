"""Where a page ends, as clients send it back."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import pytest

from core.agentscope.schemas.api_keys import KeyPlace
from core.agentscope.schemas.page_place import NumberPlace, micros_of, read_place, time_of, write_place
from core.agentscope.schemas.threads import ThreadPlace

NOW = datetime(2026, 11, 27, 1, 2, 3, 456789, tzinfo=UTC)
PLACES = [NumberPlace(1), NumberPlace(10**18 - 1), ThreadPlace(NOW, 7), KeyPlace(NOW, "4fQ2bX9mTz7K")]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_is_read_as_it_was_written(
    place: NumberPlace | ThreadPlace | KeyPlace,
) -> None:
    assert type(place).parse(str(place)) == place


NONE = {
    "empty": "",
    "of zero": write_place("0"),
    "with a leading zero": write_place("01"),
    "negative": write_place("-1"),
    "too long": write_place("9" * 19),
    "another": write_place("1.2.3"),
    "with a line feed": write_place("1\n"),
    "in other digits": base64.urlsafe_b64encode("\N{ARABIC-INDIC DIGIT ONE}".encode()).decode(),
    "without padding": write_place("1").rstrip("="),
    "with other bits behind the last byte": "MR==",
    "with white space": f" {write_place('1')}",
    "no ASCII": "é",
    "NUL": "\0",
}


@pytest.mark.parametrize("text", NONE.values(), ids=NONE.keys())
@pytest.mark.parametrize("kind", [NumberPlace, ThreadPlace, KeyPlace])
def test_a_text_that_no_page_gave_is_refused(
    kind: type[NumberPlace | ThreadPlace | KeyPlace], text: str
) -> None:
    with pytest.raises(ValueError, match="not the 'nextBefore' of a page"):
        kind.parse(text)


def test_a_time_is_written_to_the_microsecond_and_none_lies_behind_the_calendar() -> None:
    assert time_of(str(micros_of(NOW))) == NOW
    with pytest.raises(ValueError, match="nextBefore"):
        time_of("9" * 18)


def test_the_whole_content_has_the_form() -> None:
    assert read_place(write_place("ab"), re.compile("ab"))[0] == "ab"
    with pytest.raises(ValueError, match="nextBefore"):
        read_place(write_place("abc"), re.compile("ab"))
