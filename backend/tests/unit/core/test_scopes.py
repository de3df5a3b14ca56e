"""What a credential permits."""

from __future__ import annotations

import pytest

from core.identity import LOCAL, Principal
from core.scopes import own_scopes, permits_agent


def test_names_of_others_are_no_scopes() -> None:
    names = ["openid", "run", "agent:sales", "agent:", "Run", "admin:all", ""]

    assert own_scopes(names) == {"run", "agent:sales"}


@pytest.mark.parametrize(
    ("scopes", "permitted"),
    [(set(), True), ({"run", "read"}, True), ({"agent:sales"}, True), ({"agent:support"}, False)],
)
def test_agents_are_narrowed_only_where_one_is_named(scopes: set[str], permitted: bool) -> None:
    assert permits_agent(frozenset(scopes), "sales") is permitted


def test_who_a_caller_is() -> None:
    person = Principal("t", "ada")
    machine = Principal("t", "ada", kind="key", credential_id="k-1")
    operator = Principal("t", "ada", scopes=frozenset({"admin"}), kind="key")

    assert (person.role, machine.role, operator.role, LOCAL.role) == ("user", "service", "admin", "admin")
    # By what right a request comes is no part of who somebody is.
    assert person == machine == operator
