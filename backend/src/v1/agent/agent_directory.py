"""The agents of a deployment, as each caller may see them. Built once at the start; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from core.agent_errors import AgentUnknown
from core.agentscope.schemas.agents import AgentItem, AgentListResponse
from core.identity import Principal


def _all_of(items: Sequence[AgentItem]) -> Callable[[Principal], Collection[str]]:
    ids = {item.id for item in items}
    return lambda _principal: ids


class AgentDirectory:
    """What the routes say about agents.

    Args:
        items: Every agent of the deployment; one of them is the default.
        usable: Returns the ids of the agents that a caller may use; all when absent.
    """

    def __init__(
        self, items: Sequence[AgentItem], usable: Callable[[Principal], Collection[str]] | None = None
    ) -> None:
        self._items = sorted(items, key=lambda item: item.id)
        self._usable = usable or _all_of(items)

    def list_agents(self, principal: Principal) -> AgentListResponse:
        """Return the agents that a caller may use."""
        usable = self._usable(principal)
        return AgentListResponse(agents=[item for item in self._items if item.id in usable])

    def require(self, principal: Principal, agent_id: str) -> None:
        """Refuse an agent that is not there for the caller.

        Raises:
            AgentUnknown: There is none of this id, or the caller may not use it.
        """
        self._get(principal, agent_id)

    def capabilities(self, principal: Principal, agent_id: str | None = None) -> Mapping[str, Any]:
        """Return the capabilities of an agent; of the default agent without an id.

        Raises:
            AgentUnknown: The caller may use no such agent.
        """
        return self._get(principal, agent_id).capabilities

    def _get(self, principal: Principal, agent_id: str | None) -> AgentItem:
        found = self.list_agents(principal).agents
        for item in found:
            if item.default if agent_id is None else item.id == agent_id:
                return item
        ids = [item.id for item in found]
        told = "No agent of this id exists for you." if agent_id else "You may not use the default agent."
        raise AgentUnknown(f"{told} You may use: {', '.join(ids) or 'none'}.", agentIds=ids)
