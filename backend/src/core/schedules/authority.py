"""By what right a schedule fires: that of the credential which made or last changed it.

Rules:

1. The scopes and groups of the credential are stored, and of its token the claims that the profiles' ``access`` asks for
   or ``AGENT_IDENTITY__CLAIMS`` names, and no others. Each fire is accepted as if a request with this right asked for it:
   the rules of the moment count, not those of the day on which the schedule was made.
2. An API key has to be good at each fire: not revoked, not expired. A rotated key stays the same key.
3. Who has a token is not asked again by its issuer. So the right of a token ends after ``AGENT_SCHEDULES__AUTHORIZED_DAYS``,
   unless its user changes the schedule before.
4. The one user of local mode needs no right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.agentscope.runtime.accept.agent_choice import AgentsFor, agents_for
from core.agentscope.runtime.profile.access import ClaimNames, asked_claims, claim_of
from core.agentscope.runtime.profile.agents import Agents
from core.identity import Principal

STORED_NAMES = ClaimNames("agentroute.groups", "agentroute.roles")
"""Where stored claims have groups and roles: the settings that name these claims may differ between processes."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The right of a credential, as it is stored."""

    credential: Literal["local", "token", "key"]
    key_id: str | None
    scopes: list[str]
    groups: list[str]
    claims: dict[str, Any]
    """``access``: what rules ask for. ``kept``: what runs are given."""

    def principal(self, tenant_id: str, user_id: str) -> Principal:
        """Return the owner, as a request with this right would bring it."""
        return Principal(
            tenant_id,
            user_id,
            claims=self.claims.get("access") or None,
            kept_claims=self.claims.get("kept") or None,
            trusted=self.credential == "local",
            scopes=frozenset(self.scopes),
            groups=frozenset(self.groups),
            kind=self.credential,
            credential_id=self.key_id,
        )


class Authorities:
    """Takes down the right of a request.

    Args:
        agents: Of the deployment: their rules ask for claims.
        names: Where the tokens of this deployment have groups and roles.
    """

    def __init__(self, agents: Agents, names: ClaimNames) -> None:
        self._names = names
        self._asked = sorted(asked_claims(_rules(agents)))

    def of(self, principal: Principal) -> Authority:
        """Return the right of a request."""
        is_key = principal.kind == "key"
        key_id = (principal.credential_id or "").partition(".")[0] if is_key else None
        return Authority(
            "local" if principal.trusted else "key" if is_key else "token",
            key_id or None,
            sorted(principal.scopes),
            sorted(principal.groups),
            {"access": self._access(principal.claims or {}), "kept": dict(principal.kept_claims or {})},
        )

    def _access(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: name for name in self._asked}
        wanted |= {STORED_NAMES.groups: self._names.groups, STORED_NAMES.roles: self._names.roles}
        found = {stored: claim_of(claims, name) for stored, name in wanted.items()}
        return {name: value for name, value in found.items() if value is not None}


def agents_by_right(agents: Agents) -> AgentsFor:
    """Return what says which agents the owner of a schedule may use, by its stored right."""
    return agents_for(agents, STORED_NAMES)


def _rules(agents: Agents) -> Iterable[str]:
    return [rule for profile in agents.profiles.values() for rule in profile.access or ()]
