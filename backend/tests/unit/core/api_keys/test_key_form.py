"""The form of an API key: what is one, what is a mistyped one, and that none is logged."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest

from core.api_keys.key_form import digest_of, is_key, key_id_in, new_key, new_key_id, read_key
from core.errors import InvalidToken
from core.redaction import MASK, Redactor

KEY_ID = "4fQ2bX9mTz7K"


def test_a_key_is_read_as_it_was_made() -> None:
    keys = {new_key(new_key_id()) for _ in range(50)}

    assert len(keys) == 50
    for key in keys:
        assert is_key(key)
        assert len(key) == 65
        assert set(key) <= {*string.ascii_letters, *string.digits, "_"}
        presented = read_key(key)
        assert key.startswith(f"ar_{presented.key_id}_")
        assert presented.digest == digest_of(key)
        assert key not in repr(presented)
        assert repr(presented.digest) not in repr(presented)


@pytest.mark.parametrize("place", [3, 14, 16, 40, 58, 64])
def test_one_wrong_character_is_noticed_without_a_look_into_the_database(place: int) -> None:
    key = new_key(KEY_ID)
    other = "b" if key[place] != "b" else "c"

    with pytest.raises(InvalidToken, match="mistyped or incomplete"):
        read_key(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "a", lambda key: key.upper()])
def test_a_key_of_another_form_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(InvalidToken, match="mistyped or incomplete"):
        read_key(change(new_key(KEY_ID)))


def test_a_key_is_named_by_its_id_or_by_itself() -> None:
    assert key_id_in(KEY_ID) == key_id_in(f"ar_{KEY_ID}") == key_id_in(f" {new_key(KEY_ID)}\n") == KEY_ID
    assert key_id_in("no key") is key_id_in("") is None


@pytest.mark.parametrize(
    "around", ["{}", "key={}&x=1", '{{"key": "{}"}}', "Bearer {}", "%20{}%20", "the key {}, and more"]
)
def test_no_secret_of_a_key_stays_in_a_logged_text(around: str) -> None:
    key = new_key(KEY_ID)
    told = Redactor().text(around.format(key))

    assert key[16:] not in told
    assert MASK in told


def test_the_log_still_says_which_key_it_was() -> None:
    assert Redactor().text(f"leaked: {new_key(KEY_ID)}.") == f"leaked: ar_{KEY_ID}_{MASK}."
