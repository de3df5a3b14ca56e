"""Who may use an agent."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.profile.access import ClaimNames, may_use
from core.identity import LOCAL, Principal

KEYCLOAK = ClaimNames(groups="groups", roles="realm_access.roles")


@pytest.mark.parametrize(
    ("rule", "claims", "allowed"),
    [
        ("group:sales", {"groups": ["support", "sales"]}, True),
        ("group:sales", {"groups": "sales"}, True),
        ("group:sales", {"groups": "sales support"}, False),
        ("group:sales", {"groups": ["Sales", "sales-eu"]}, False),
        ("group:sales", {"groups": []}, False),
        ("group:sales", {"roles": ["sales"]}, False),
        ("group:sales", {"groups": {"sales": True}}, False),
        ("group:/emea/sales team", {"groups": ["/emea/sales team"]}, True),
        ("role:admin", {"realm_access": {"roles": ["admin"]}}, True),
        ("role:admin", {"realm_access.roles": "admin"}, True),
        ("role:admin", {"realm_access.roles": "user", "realm_access": {"roles": ["admin"]}}, False),
        ("role:admin", {"realm_access": ["roles"]}, False),
        ("claim:tenant=acme", {"tenant": "acme"}, True),
        ("claim:tenant=acme", {"tenant": "acme2"}, False),
        ("claim:https://x.example/plan=gold=1", {"https://x.example/plan": ["gold=1"]}, True),
        ("claim:staff=true", {"staff": True}, True),
        ("claim:staff=True", {"staff": True}, False),
        ("claim:level=3", {"level": 3}, True),
        ("claim:level=1", {"level": True}, False),
        ("claim:level=None", {"level": None}, False),
        ("claim:level=3.0", {"level": 3.0}, False),
        ("claim:sub=ada", {}, False),
    ],
)
def test_a_rule_looks_for_a_value_in_a_claim(rule: str, claims: dict[str, Any], allowed: bool) -> None:
    assert may_use(Principal("t", "u", claims=claims), [rule], KEYCLOAK) is allowed


def test_one_rule_that_holds_is_enough() -> None:
    user = Principal("t", "u", claims={"groups": ["b"]})

    assert may_use(user, ["group:a", "group:b"], ClaimNames())


def test_without_rules_everybody_may_and_with_rules_nobody_without_claims() -> None:
    nobody = Principal("t", "u")

    assert may_use(nobody, None, ClaimNames())
    assert not may_use(nobody, ["group:a"], ClaimNames())


def test_only_the_one_user_of_local_mode_needs_no_claims() -> None:
    namesake = Principal(LOCAL.tenant_id, LOCAL.user_id, claims={})

    assert namesake == LOCAL
    assert may_use(LOCAL, ["group:a"], ClaimNames())
    assert not may_use(namesake, ["group:a"], ClaimNames())
