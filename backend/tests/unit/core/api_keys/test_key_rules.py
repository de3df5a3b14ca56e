"""What an API key may be, and what a caller is told of one that may not."""

from __future__ import annotations

from typing import Any

import pytest

from core.api_keys.key_rules import MAX_DAYS, MAX_OVERLAP_SECONDS, check_key, check_lifetime, check_overlap
from core.errors import InvalidRequest

GOOD: dict[str, Any] = {
    "tenant_id": "acme",
    "user_id": "nightly-report",
    "name": "Every night",
    "scopes": ["run", "read", "agent:sales"],
    "days": 90,
}


@pytest.mark.parametrize(
    "change", [{}, {"days": None}, {"days": MAX_DAYS}, {"name": ""}, {"scopes": ["admin"]}], ids=str
)
def test_a_key_that_may_be(change: dict[str, Any]) -> None:
    check_key(**GOOD | change)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"tenant_id": ""}, "/tenantId"),
        ({"user_id": ""}, "/userId"),
        ({"user_id": " robot"}, "/userId"),
        ({"user_id": "ro\nbot"}, "/userId"),
        ({"user_id": "ro\u202ebot"}, "/userId"),
        ({"user_id": "r" * 129}, "/userId"),
        ({"name": "n" * 129}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["agent:sales"]}, "/scopes"),
        ({"scopes": ["run", "openid"]}, "/scopes"),
        ({"scopes": ["run", "agent:"]}, "/scopes"),
        ({"scopes": ["run", "agent:a\tb"]}, "/scopes"),
        ({"scopes": ["run", *(f"agent:{n}" for n in range(64))]}, "/scopes"),
        ({"days": 0}, "/expiresInDays"),
        ({"days": MAX_DAYS + 1}, "/expiresInDays"),
    ],
    ids=str,
)
def test_a_key_that_may_not_be(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_key(**GOOD | change)
    assert [error["pointer"] for error in refused.value.errors] == [pointer]


def test_a_rotation_has_limits() -> None:
    check_overlap(0)
    check_overlap(MAX_OVERLAP_SECONDS)
    for refused in (
        lambda: check_overlap(-1),
        lambda: check_overlap(MAX_OVERLAP_SECONDS + 1),
        lambda: check_lifetime(0),
    ):
        with pytest.raises(InvalidRequest):
            refused()
