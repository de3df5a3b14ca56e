"""The agents of an API process, made of their profiles: who may use which, and what is said about each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from core.agentscope.runtime.accept.agent_choice import AgentsFor, agents_for
from core.agentscope.runtime.profile.access import ClaimNames
from core.agentscope.runtime.profile.agents import Agents, load_agents
from core.agentscope.runtime.profile.profile_tools import Load, listed_by_child, offered_tools
from core.agentscope.schemas.agents import AgentItem, AgentTool
from core.agentscope.schemas.links import runs_url
from core.agentscope.tools.errors import ToolDefinitionError
from core.config import Settings
from v1.agent.agent_directory import AgentDirectory
from v1.agent.capabilities import agent_capabilities


@dataclass(frozen=True, slots=True)
class DeployedAgents:
    """The agents of a deployment, as an API process uses them."""

    agents: Agents
    usable: AgentsFor
    directory: AgentDirectory


def read_agents(settings: Settings) -> DeployedAgents:
    """Read the agents' profiles.

    Raises:
        ProfileInvalid: The profile of an agent cannot be used.
        ToolDefinitionError: As :func:`list_agents`.
    """
    agents = load_agents(settings.profile_path)
    names = ClaimNames(settings.identity.groups_claim, settings.identity.roles_claim)
    usable = agents_for(agents, names)
    directory = AgentDirectory(list_agents(agents, settings), lambda principal: usable(principal).ids)
    return DeployedAgents(agents, usable, directory)


def list_agents(agents: Agents, settings: Settings) -> list[AgentItem]:
    """Return every agent of the deployment.

    Raises:
        ToolDefinitionError: A tool cannot be imported, or there is none of that name; the line names the profile's file.
    """
    load = listed_by_child(agents.profiles.values())
    return [_item(agents, agent_id, settings, load) for agent_id in agents.profiles]


def _item(agents: Agents, agent_id: str, settings: Settings, load: Load) -> AgentItem:
    profile = agents.profiles[agent_id]
    try:
        offered = offered_tools(profile, settings.tools, load)
    except ToolDefinitionError as exc:
        raise ToolDefinitionError(f"{agents.where(agent_id)}{exc}") from exc
    return AgentItem(
        id=agent_id,
        name=profile.name,
        description=profile.description,
        greeting=profile.greeting,
        suggestions=profile.suggestions,
        default=agent_id == agents.default_id,
        tools=[
            AgentTool(
                name=tool.name,
                description=tool.description,
                permission="ask" if permission == "ask" else "allow",
            )
            for tool, permission in offered
        ],
        capabilities=agent_capabilities(
            name=profile.name,
            version=version("agentroute"),
            description=profile.description,
            greeting=profile.greeting,
            suggestions=profile.suggestions,
            subagents=[{"name": child.name, "description": child.description} for child in profile.subagents],
            tools=[
                {"name": tool.name, "description": tool.description, "parameters": tool.json_schema()}
                for tool, _ in offered
            ],
            max_iterations=profile.limits.max_iterations,
            max_run_seconds=settings.limits.run_seconds,
            max_file_bytes=settings.files.max_file_bytes if settings.files.is_on else None,
            max_speech_seconds=settings.transcription.max_audio_seconds,
        ),
        runs_url=runs_url(agent_id),
    )
