"""The tools of a profile's MCP servers, as the runs of a worker get them: what is known at the moment a run begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from core.agentscope.tools.mcp.calls import OfferedAs, call_tool, offered_by, tool_of
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.listing import OfferedTool
from core.agentscope.tools.mcp.names import server_of
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.user_server import UserServer
from core.agentscope.tools.mcp.user_sessions import AccessTo, UserSessions
from core.agentscope.tools.spec import Tool, ToolContext
from core.config import ToolSettings
from core.identity import Principal

START_SECONDS = 10.0
"""A worker that starts waits at most this long for servers that do not answer. Their tools come later."""


class McpConnections:
    """The connections of a worker process: one for each server, also if several profiles name it.

    Args:
        access: Returns the users' identities at a server; for profiles with ``auth``.
    """

    def __init__(self, access: AccessTo | None = None) -> None:
        self._open: dict[McpEndpoint, McpConnection] = {}
        self._access = access
        self._sessions = UserSessions()

    def to(self, endpoint: McpEndpoint, policy: McpPolicy, settings: ToolSettings) -> Server:
        """Return a server as a profile uses it. The connection to it is begun if there is none.

        Raises:
            ValueError: The server needs users' identities, and this process has none.
        """
        if endpoint.auth is not None:
            if self._access is None:
                raise ValueError(f"mcp {policy.server}: this process has no connections of users")
            access = self._access(policy.server, endpoint)
            return UserServer(policy, endpoint, access, self._sessions, settings)
        connection = self._open.get(endpoint)
        if connection is None:
            connection = self._open[endpoint] = McpConnection(endpoint, policy.server)
            connection.start()
        return SharedServer(policy, connection, settings)

    async def tried(self) -> None:
        """Return when each server has been tried once, or did not answer for ``START_SECONDS``."""
        if self._open:
            tries = [asyncio.create_task(connection.tried()) for connection in self._open.values()]
            _, late = await asyncio.wait(tries, timeout=START_SECONDS)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Close all connections, and end the programs that were started."""
        await asyncio.gather(self._sessions.close(), *(item.close() for item in self._open.values()))


class McpToolset:
    """The tools of one profile's servers."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._shared = [server for server in servers if isinstance(server, SharedServer)]
        self._of_users = {server.name: server for server in servers if isinstance(server, UserServer)}
        self._order = [server.name for server in servers]

    def tools(self) -> list[OfferedAs]:
        """Return the tools without a user that are known now. Costs nothing while the lists stay the same."""
        return [tool for server in self._shared for tool in server.tools()]

    async def tools_for(self, principal: Principal) -> list[OfferedAs]:
        """Return the tools that a user's run has, in the order of the profile.

        Waits for the servers where the user has an identity and no session is open, at most ``LIST_SECONDS``.

        Raises:
            StoreUnavailable: The user's connections could not be read.
        """
        found = dict(
            zip(
                self._of_users,
                await asyncio.gather(*(server.tools(principal) for server in self._of_users.values())),
                strict=True,
            )
        )
        found |= {server.name: server.tools() for server in self._shared}
        return [tool for name in self._order for tool in found[name]]

    def unlisted(self, name: str) -> Tool | None:
        """Return the tool of a call that was stored, if its server's list is not known any more; else ``None``."""
        server = self._of_users.get(server_of(name))
        return None if server is None else server.unlisted(name)

    def owns(self, name: str) -> bool:
        """Return whether a tool of this name is one of these servers', known now or not."""
        return server_of(name) in self._order


class SharedServer:
    """A server that sees the application, and no user: one session for all."""

    def __init__(self, policy: McpPolicy, connection: McpConnection, settings: ToolSettings) -> None:
        self.name = policy.server
        self._policy = policy
        self._connection = connection
        self._settings = settings
        self._version = 0
        self._tools: list[OfferedAs] = []

    def tools(self) -> list[OfferedAs]:
        """Return what the agent has of what is known now."""
        if self._version != self._connection.version:
            self._version = self._connection.version
            offered = offered_by(self._policy, self._connection.tools)
            self._tools = [(self._tool(tool), tool.permission) for tool in offered]
        return self._tools

    def _tool(self, offered: OfferedTool) -> Tool:
        server, connection = self.name, self._connection

        async def call(arguments: dict[str, Any], context: ToolContext) -> str:
            return await call_tool(connection, server, offered, arguments, context)

        return tool_of(offered, call, connection.endpoint, self._settings)


Server = SharedServer | UserServer
