"""Which agents' rows a list shows: those that the request names, of those that the credential leaves to its caller."""

from __future__ import annotations

from core.identity import Principal


def agents_asked(principal: Principal, agent_id: str | None) -> list[str] | None:
    """Return the agents whose rows are shown; ``None``: of every agent.

    Args:
        principal: The caller.
        agent_id: The agent that the request names. One that is not there for the caller has no rows.
    """
    if agent_id is None:
        return principal.agents
    return [agent_id] if principal.may_see(agent_id) else []
