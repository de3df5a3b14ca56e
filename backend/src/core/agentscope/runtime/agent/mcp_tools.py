"""The tools that a worker gets from the MCP servers of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.agentscope.runtime.profile.mcp_servers import McpServer, resolve_mcp, secrets_of_mcp
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.toolset import McpConnections, McpToolset
from core.config import ToolSettings
from core.log import never_log


def open_mcp(
    servers: Iterable[McpServer],
    connections: McpConnections,
    settings: ToolSettings,
    environ: Mapping[str, str] | None = None,
) -> McpToolset | None:
    """Begin to connect to a profile's servers; ``None`` if it names none.

    Raises:
        ProfileInvalid: As :func:`resolve_mcp`, or a server needs identities of users and there are none.
    """
    resolved = resolve_mcp(servers, environ)
    if not resolved:
        return None
    # No settings have them, so whoever logs them would not know that they are secrets.
    never_log(secrets_of_mcp(endpoint for _, endpoint in resolved))
    try:
        return McpToolset([connections.to(endpoint, policy, settings) for policy, endpoint in resolved])
    except ValueError as exc:
        raise ProfileInvalid(str(exc)) from exc
