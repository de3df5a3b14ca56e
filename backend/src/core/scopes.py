"""Scopes: what a credential permits. Pure; the table of the routes is ``v1.agent.route_access``.

Rules:

1. ``run`` starts, answers and changes; ``read`` looks; ``admin`` is for the routes of operators. None implies another.
2. ``agent:NAME`` narrows the other scopes to the named agents, their threads and what is in these. Without such a scope,
   they count for every agent that the caller may use, and for every thread of the caller.
   See docs/adr/0056.
3. Names that are not of this service (``openid``, ``email``) permit nothing and forbid nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Scope = Literal["run", "read", "admin"]
Role = Literal["user", "service", "admin"]
"""Who a caller is: a person, a machine with a key of its own, or an operator (a credential with the scope ``admin``)."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
ROLES: tuple[Role, ...] = get_args(Role)
USER_SCOPES: frozenset[str] = frozenset({"run", "read"})
"""What a credential permits that says nothing about scopes: the caller's own threads."""
ALL_SCOPES: frozenset[str] = frozenset(SCOPES)
AGENT_PREFIX = "agent:"


def own_scopes(names: Iterable[str]) -> frozenset[str]:
    """Return those of the names that are scopes of this service."""
    return frozenset(name for name in names if is_scope(name))


def is_scope(name: str) -> bool:
    """Return whether a name is a scope of this service."""
    return name in ALL_SCOPES or (name.startswith(AGENT_PREFIX) and len(name) > len(AGENT_PREFIX))


def named_agents(scopes: Iterable[str]) -> list[str] | None:
    """Return the agents that the scopes leave to the caller; ``None``: every one, because none is named."""
    named = [name.removeprefix(AGENT_PREFIX) for name in scopes if name.startswith(AGENT_PREFIX)]
    return sorted(named) or None


def permits_agent(scopes: frozenset[str], agent_id: str | None) -> bool:
    """Return whether the scopes leave an agent to the caller: it is named, or none is.

    Args:
        scopes: Of the credential.
        agent_id: ``None``: an agent that nobody knows, which no scope names.
    """
    return f"{AGENT_PREFIX}{agent_id}" in scopes or named_agents(scopes) is None
