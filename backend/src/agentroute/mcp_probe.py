"""Probes the MCP servers of the profiles: whether they answer, and which of their tools the agents have."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agentroute.check_result import CheckResult
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.mcp_servers import resolve_mcp, secrets_of_mcp
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import UNAUTHORIZED
from core.agentscope.tools.mcp.listing import offer
from core.agentscope.tools.mcp.policy import McpPolicy
from core.config import Settings
from core.log import never_log

_PATIENCE_SECONDS = 10.0
_FIX = "Start the server, or correct [[mcp]] in the profile. Until it answers, its tools are absent."


async def probe_mcp(settings: Settings) -> list[CheckResult]:
    """Return a line for each server that a profile names; nothing if none names one or one cannot be read."""
    try:
        agents = load_agents(settings.profile_path)
        servers = [
            (f"MCP {policy.server}{f' of {agent_id}' if agents.keeps_ids else ''}", policy, endpoint)
            for agent_id, profile in agents.profiles.items()
            for policy, endpoint in resolve_mcp(profile.mcp)
        ]
    except ProfileInvalid:
        # The check of the profiles says what is wrong.
        return []
    # Before the first connection: a server's own words are logged, and they may repeat what it was sent.
    never_log(secrets_of_mcp(endpoint for _, _, endpoint in servers))
    return list(await asyncio.gather(*(_probe(*server) for server in servers)))


async def _probe(name: str, policy: McpPolicy, endpoint: McpEndpoint) -> CheckResult:
    patience = min(endpoint.timeout_seconds, _PATIENCE_SECONDS)
    connection = McpConnection(replace(endpoint, timeout_seconds=patience), policy.server)
    connection.start()
    try:
        await connection.tried()
    finally:
        await connection.close()
    if endpoint.auth is not None and connection.problem == UNAUTHORIZED:
        # As it should be: the probe has no user.
        return CheckResult(name, True, f"is there; each user connects ({endpoint.auth})")
    if connection.problem:
        return CheckResult(name, False, f"cannot be used: {connection.problem}", _FIX)
    made = offer(policy, connection.tools)
    count = f"{len(made.tools)} of {len(connection.tools)} tools"
    return CheckResult(name, True, "; ".join((count, *made.problems)))
