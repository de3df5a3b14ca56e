"""The kits of a worker process: one for each agent. They share the connections, the prices and what is learnt of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpx

from core.agent_errors import AgentMissing
from core.agentscope.runtime.agent.agent_kit import AgentKit, build_kit
from core.agentscope.runtime.agent.factory.lifespan import LifespanInvalid
from core.agentscope.runtime.agent.factory.opening import FactoryOpener, open_for_runs
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid
from core.agentscope.runtime.agent.mcp_tools import open_mcp
from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.schemas.internal_events import CallStage
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.mcp.toolset import McpConnections, McpToolset
from core.agentscope.tools.memory_store import MemoryStore
from core.config import Settings, ToolSettings
from core.store_clock import StoreClock


@dataclass(frozen=True, slots=True)
class AgentKits:
    """The kit of each agent, by id."""

    kits: Mapping[str, AgentKit]
    default_id: str

    @property
    def clock(self) -> StoreClock:
        """The clock of all kits."""
        return self.kits[self.default_id].clock

    def find(self, agent_id: str | None) -> AgentKit | None:
        """Return the kit of a run's agent; the default agent's without an id."""
        return self.kits.get(agent_id or self.default_id)

    def get(self, agent_id: str | None) -> AgentKit:
        """Return the kit of a run's agent; the default agent's without an id.

        Raises:
            AgentMissing: This process has no such agent.
        """
        if (kit := self.find(agent_id)) is None:
            raise AgentMissing(
                "The agent of this run is no longer there. Start a new run with another agent."
            )
        return kit


def open_toolsets(
    agents: Agents, connections: McpConnections, settings: ToolSettings
) -> dict[str, McpToolset | None]:
    """Begin to connect to the MCP servers of every agent; returns the tools of each, by the agent's id.

    Raises:
        ProfileInvalid: As ``open_mcp``; the line names the profile's file.
    """
    found: dict[str, McpToolset | None] = {}
    for agent_id, profile in agents.profiles.items():
        try:
            found[agent_id] = open_mcp(profile.mcp, connections, settings)
        except ProfileInvalid as exc:
            raise ProfileInvalid(f"{agents.where(agent_id)}{exc}") from exc
    return found


async def open_kits(kits: AgentKits, agents: Agents, opener: FactoryOpener) -> AgentKits:
    """Open the code that profiles name, and make the agent around it once without a model call.

    Raises:
        AgentCodeInvalid: An agent cannot be used; the line names the profile's file.
        LifespanInvalid: The resources of a module cannot be opened; the line names the profile's file.
    """
    opened: dict[str, AgentKit] = {}
    for agent_id, kit in kits.kits.items():
        try:
            opened[agent_id] = await open_for_runs(kit, opener)
        except (AgentCodeInvalid, LifespanInvalid) as exc:
            raise type(exc)(f"{agents.where(agent_id)}{exc}") from exc
    return replace(kits, kits=opened)


def build_kits(
    agents: Agents,
    settings: Settings,
    client: httpx.AsyncClient,
    memory: MemoryStore,
    fallbacks: Mapping[str, Mapping[CallStage, ChatEndpoint]],
    toolsets: Mapping[str, McpToolset | None] | None = None,
) -> AgentKits:
    """Build the kit of every agent.

    Args:
        agents: Of the deployment.
        settings: Of the process.
        client: Of the deployment's endpoint.
        memory: What the memory tools read and write.
        fallbacks: Of each agent, by its id.
        toolsets: The tools of MCP servers, of each agent, by its id.

    Raises:
        ToolDefinitionError, ProfileInvalid: A profile names a tool that is not there, or a skill that cannot be used; the
            line names the file.
        PricesInvalid: The price table cannot be read.
    """
    kits: dict[str, AgentKit] = {}
    shared: AgentKit | None = None
    for agent_id, profile in agents.profiles.items():
        try:
            kit = build_kit(
                profile, settings, client, memory, fallbacks[agent_id], (toolsets or {}).get(agent_id)
            )
        except (ToolDefinitionError, ProfileInvalid) as exc:
            raise type(exc)(f"{agents.where(agent_id)}{exc}") from exc
        shared = shared or kit
        kits[agent_id] = replace(kit, services=shared.services, clock=shared.clock)
    return AgentKits(kits, agents.default_id)
