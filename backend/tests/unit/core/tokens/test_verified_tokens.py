"""How long a checked token is remembered."""

from __future__ import annotations

import pytest

from core.identity_settings import IdentitySettings
from core.tokens import verified_tokens
from core.tokens.claims import VerifiedToken, read_claims
from core.tokens.verified_tokens import VerifiedTokens


def checked(user: str, expires_at: float = 2000) -> VerifiedToken:
    return read_claims({"sub": user, "iat": 1000, "exp": expires_at}, IdentitySettings(leeway_seconds=30))


def test_until_it_expires() -> None:
    now = 1000.0
    kept = VerifiedTokens(lambda: now)
    token = checked("ada")
    kept.keep("a", token, 0)

    now = 2029.9
    assert kept.find("a", 0) is token
    assert kept.find("b", 0) is None
    now = 2030.0
    assert kept.find("a", 0) is None


def test_until_the_keys_change() -> None:
    kept = VerifiedTokens(lambda: 1000.0)
    kept.keep("a", checked("ada"), 0)

    assert kept.find("a", 1) is None
    # Checked with the keys before, and finished after: counts no more.
    kept.keep("a", checked("ada"), 0)
    assert kept.find("a", 1) is None


def test_the_longest_unused_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_tokens, "MOST_TOKENS", 2)
    kept = VerifiedTokens(lambda: 1000.0)
    for name in ("a", "b"):
        kept.keep(name, checked(name), 0)
    assert kept.find("a", 0)

    kept.keep("c", checked("c"), 0)

    assert [name for name in "abc" if kept.find(name, 0)] == ["a", "c"]


def test_what_is_no_text_of_utf_8_is_remembered_too() -> None:
    kept = VerifiedTokens(lambda: 1000.0)

    assert kept.find("\ud800", 0) is None
