"""Probes the MCP servers of the profile: whether they answer, and which of their tools the agent has."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agentroute.check_result import CheckResult
from core.agentscope.runtime.profile.mcp_servers import resolve_mcp
from core.agentscope.runtime.profile.profile import load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.listing import offer
from core.agentscope.tools.mcp.policy import McpPolicy
from core.config import Settings

_PATIENCE_SECONDS = 10.0
_FIX = "Start the server, or correct [[mcp]] in the profile. Until it answers, its tools are absent."


async def probe_mcp(settings: Settings) -> list[CheckResult]:
    """Return a line for each server that the profile names; nothing if it names none or cannot be read."""
    try:
        servers = resolve_mcp(load_profile(settings.profile_path).mcp)
    except ProfileInvalid:
        # The check of the profile says what is wrong.
        return []
    return list(await asyncio.gather(*(_probe(*server) for server in servers)))


async def _probe(policy: McpPolicy, endpoint: McpEndpoint) -> CheckResult:
    name = f"MCP {policy.server}"
    patience = min(endpoint.timeout_seconds, _PATIENCE_SECONDS)
    connection = McpConnection(replace(endpoint, timeout_seconds=patience), policy.server)
    connection.start()
    try:
        await connection.tried()
    finally:
        await connection.close()
    if connection.problem:
        return CheckResult(name, False, f"cannot be used: {connection.problem}", _FIX)
    made = offer(policy, connection.tools)
    count = f"{len(made.tools)} of {len(connection.tools)} tools"
    return CheckResult(name, True, "; ".join((count, *made.problems)))
