from __future__ import annotations

import pytest

from core.connections.oauth.challenge import Challenge, bearer_challenge


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", Challenge()),
        ('Basic realm="a"', Challenge()),
        ("Bearer", Challenge()),
        ("bearer error=invalid_token", Challenge("invalid_token")),
        (
            'Bearer error="insufficient_scope", scope="a b", resource_metadata="https://m.example/x"',
            Challenge("insufficient_scope", "a b", "https://m.example/x"),
        ),
        # Others before and after it; the first value counts; nothing of another scheme.
        ('Negotiate, Bearer scope="a", scope="b", Basic realm="c"', Challenge(scope="a")),
        ('Basic realm="Bearer", Bearer error="x"', Challenge("x")),
        (r'Bearer realm="a \"quoted, scope=\" word", scope="b"', Challenge(scope="b")),
        ("Bearer scope=" + "a" * 100_000, Challenge(scope="a" * (8192 - len("Bearer scope=")))),
        ('Bearer scope="never closed', Challenge()),
    ],
)
def test_the_bearer_challenge_is_read_among_others(header: str, found: Challenge) -> None:
    assert bearer_challenge(header) == found


def test_a_token_that_allows_too_little_is_told_from_one_that_is_refused() -> None:
    assert bearer_challenge('Bearer error="insufficient_scope"').wants_more
    assert not bearer_challenge('Bearer error="invalid_token"').wants_more
