"""Where tokens have tenants, groups and scopes."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidToken
from core.identity_settings import IdentitySettings
from core.scopes import USER_SCOPES
from core.tokens.claims import read_claims

TIMES = {"sub": "ada", "iat": 1000, "exp": 1600}


def read(claims: dict[str, Any], **settings: Any) -> Any:
    return read_claims(TIMES | claims, IdentitySettings.model_validate(settings))


@pytest.mark.parametrize(
    ("claims", "settings", "scopes"),
    [
        ({}, {}, USER_SCOPES),
        ({"scope": "read"}, {}, {"read"}),
        ({"scope": "openid  read\trun"}, {}, {"read", "run"}),
        ({"scope": ["run", 7, "admin"]}, {}, {"run", "admin"}),
        # Says nothing about this service: as before there were scopes.
        ({"scope": "openid profile email"}, {}, USER_SCOPES),
        ({"scope": ""}, {}, USER_SCOPES),
        ({"scope": None}, {}, USER_SCOPES),
        # Says "nothing": the permissions of a user to whom none were given.
        ({"permissions": []}, {"scopes_claim": "permissions"}, set[str]()),
        # Scopes of another service may be many, and come first.
        ({"scope": " ".join(["x"] * 1001 + ["read"])}, {}, {"read"}),
        (
            {"scope": ["run", *("x" * n for n in range(1, 1001)), "agent:sales"]},
            {},
            {"run", "agent:sales"},
        ),
        ({"scope": "openid"}, {"scopes_required": True}, set[str]()),
        ({}, {"scopes_required": True}, set[str]()),
        ({"scope": "read"}, {"scopes_required": True}, {"read"}),
        ({"scp": "read"}, {"scopes_claim": "scp"}, {"read"}),
        ({"a": {"b": ["read"]}}, {"scopes_claim": "a.b"}, {"read"}),
        ({"https://x.example/scopes": "read"}, {"scopes_claim": "https://x.example/scopes"}, {"read"}),
    ],
)
def test_scopes(claims: dict[str, Any], settings: dict[str, Any], scopes: set[str]) -> None:
    assert read(claims, **settings).scopes == scopes


@pytest.mark.parametrize("value", [7, True, {"read": True}], ids=str)
def test_scopes_that_cannot_be_read_are_refused(value: Any) -> None:
    with pytest.raises(InvalidToken, match="The claim scope must be text, or a list of texts"):
        read({"scope": value})


@pytest.mark.parametrize(
    ("claims", "name", "groups"),
    [
        ({"groups": ["a", "b c"]}, "groups", {"a", "b c"}),
        ({"groups": "a b"}, "groups", {"a", "b"}),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}),
        ({"realm_access": ["roles"]}, "realm_access.roles", set[str]()),
        ({"groups": {"a": True}}, "groups", set[str]()),
        ({}, "groups", set[str]()),
    ],
    ids=["list", "text", "nested", "list-in-between", "object", "absent"],
)
def test_groups(claims: dict[str, Any], name: str, groups: set[str]) -> None:
    assert read(claims, groups_claim=name).groups == groups


def test_a_tenant_may_lie_deep_and_without_one_there_is_the_default() -> None:
    assert read({"org": {"id": "acme"}}, tenant_claim="org.id").tenant == "acme"
    assert read({"tenant": "acme"}, tenant_claim="org.id").tenant == "default"
    with pytest.raises(InvalidToken, match=r"org\.id"):
        read({"org": {"id": 7}}, tenant_claim="org.id")


def test_the_name_of_a_token_is_kept_if_it_is_text() -> None:
    assert read({"jti": "t" * 500}).token_id == "t" * 128
    assert read({"jti": 7}).token_id is None
