"""Who may use an agent: the rules of a profile's ``access``, against the claims of a token.

Rules:

1. Without ``access`` everybody may use the agent. With it, one rule that holds is enough.
2. ``group:NAME`` and ``role:NAME`` hold when the claim of the groups or of the roles has NAME; the settings name these
   claims. ``claim:NAME=VALUE`` holds when the claim NAME has VALUE.
3. A claim has a value when it is the value, or a list with it. Texts are compared as a whole, upper and lower case
   differ. ``true``, ``false`` and integers are compared as JSON writes them. Nothing else is ever a value.
4. A claim of exactly that name comes first. Otherwise dots lead into objects: ``realm_access.roles``.
5. ``group:NAME`` holds as well for a group of the principal, whatever its credential is.
6. A caller without a token has no claims. Only the one user of local mode needs none (``Principal.trusted``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from core.identity import Principal

_FORM = re.compile(r"(group|role):(?P<name>\S(?:.*\S)?)|claim:(?P<claim>[^=\s]+)=(?P<value>\S(?:.*\S)?)")


def _check(rule: str) -> str:
    if _FORM.fullmatch(rule) is None:
        raise ValueError(f"{rule!r} is no rule: write group:NAME, role:NAME or claim:NAME=VALUE")
    return rule


AccessRule = Annotated[str, AfterValidator(_check)]
AccessRules = Annotated[tuple[AccessRule, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where a deployment's tokens have the groups and the roles of their users."""

    groups: str = "groups"
    roles: str = "roles"


def may_use(principal: Principal, rules: Iterable[str] | None, names: ClaimNames) -> bool:
    """Tell whether a caller may use an agent.

    Args:
        principal: The caller, with the claims of the request's token.
        rules: ``access`` of the agent's profile.
        names: Of this deployment.
    """
    if rules is None or principal.trusted:
        return True
    return any(_holds(rule, principal, names) for rule in rules)


def asked_claims(rules: Iterable[str]) -> set[str]:
    """Return the claims that rules ask for by name."""
    return {found["claim"] for rule in rules if (found := _FORM.fullmatch(rule)) and found["claim"]}


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """Return the value of a claim, as a rule finds it; ``None`` if there is none."""
    return claims[name] if name in claims else _inside(claims, name)


def _holds(rule: str, principal: Principal, names: ClaimNames) -> bool:
    found = _FORM.fullmatch(rule)
    claims = principal.claims or {}
    if found is None:
        return False
    if found["claim"]:
        return _has(claims, found["claim"], found["value"])
    if found[1] == "group" and found["name"] in principal.groups:
        return True
    return _has(claims, names.groups if found[1] == "group" else names.roles, found["name"])


def _has(claims: Mapping[str, Any], name: str, value: str) -> bool:
    said = claim_of(claims, name)
    return any(_text(item) == value for item in (said if isinstance(said, list) else [said]))


def _inside(claims: Mapping[str, Any], path: str) -> Any:
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _text(value: object) -> str | None:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return None
