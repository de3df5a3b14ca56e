"""The MCP servers that agents name, as the servers that users connect to: which name means which address, for whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.profile.mcp_servers import resolve_mcp
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.user_access import UserAuth
from core.connections.oauth.server import OAuthServer
from core.connections.resource import resource_of


@dataclass(frozen=True, slots=True)
class NamedServer:
    """One MCP server of one agent."""

    agent_id: str
    name: str
    resource: str
    """Origin and path of its address; empty for a program."""
    auth: UserAuth | None
    """How a user connects; ``None``: the agent has an identity of the application there, or none."""
    oauth: OAuthServer | None = None
    """Of ``auth = "oauth"``."""


def named_servers(agents: Agents, environ: Mapping[str, str] | None = None) -> list[NamedServer]:
    """Return every MCP server of every agent.

    Args:
        agents: Of the deployment.
        environ: The variables that profiles name; those of the process when absent.

    Raises:
        ProfileInvalid: A name means two servers that users connect to, or a variable is missing.
    """
    values = os.environ if environ is None else environ
    found: list[NamedServer] = []
    for agent_id, profile in agents.profiles.items():
        try:
            resolved = resolve_mcp(profile.mcp, values)
        except ProfileInvalid as exc:
            raise ProfileInvalid(f"{agents.where(agent_id)}{exc}") from exc
        found += [
            NamedServer(
                agent_id,
                policy.server,
                resource_of(endpoint.url) if endpoint.url else "",
                endpoint.auth,
                endpoint.oauth_server(policy.server),
            )
            for policy, endpoint in resolved
        ]
    _check(agents, found)
    return found


def _check(agents: Agents, servers: list[NamedServer]) -> None:
    """A user connects to a name: it must not mean two places, or a token would go to one of them by chance."""
    known: dict[str, NamedServer] = {}
    for server in servers:
        if server.auth is None:
            continue
        first = known.setdefault(server.name, server)
        if (server.resource, server.auth, server.oauth) != (first.resource, first.auth, first.oauth):
            other = agents.paths.get(first.agent_id) or first.agent_id
            told = f"has another url, auth or oauth than the server of this name in {other}"
            fix = "users connect by the name, so give one of them another"
            raise ProfileInvalid(f"{agents.where(server.agent_id)}mcp {server.name}: {told}; {fix}")
