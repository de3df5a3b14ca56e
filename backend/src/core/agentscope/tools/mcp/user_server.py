"""One MCP server that sees the user's own identity, as the runs of its users get it.

What a run is offered:

1. The list of the user's own session, which is opened if the user has an identity at the server.
2. Without one: what the server last listed for this user. What it lists for other users may say too much, such as the
   names of their projects.
3. Without that, too: one tool, ``NAME__connect``, by which the model asks for the login.

A tool is called in the user's session only. A call without an identity asks the user first (``connected``).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.mcp.calls import OfferedAs, call_tool, offered_by, tool_of, unavailable_text
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import RequestFailed, ServerUnavailable
from core.agentscope.tools.mcp.listing import ListedTool, OfferedTool
from core.agentscope.tools.mcp.names import CONNECT, SEPARATOR
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.user_access import ConnectionRequired, UserAccess
from core.agentscope.tools.mcp.user_sessions import UserSessions
from core.agentscope.tools.spec import Handler, Tool, ToolContext
from core.config import ToolSettings
from core.identity import Principal

log = structlog.get_logger(__name__)

LIST_SECONDS = 10.0
"""Of opening a user's session at the beginning of a run. The user waits for it."""
MAX_USERS = 1000
"""Whose lists are remembered."""
_MAX_NAMED = 50
"""Tools that the model reads the names of after a login."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A list, and the tools that were made of it."""

    listed: tuple[ListedTool, ...]
    tools: list[OfferedAs]


class UserServer:
    """A server with ``auth``.

    Args:
        policy: What the profile says about its tools.
        endpoint: Where it is, without any user.
        access: The users' identities.
        sessions: Of the worker.
        settings: Limits of tools.
    """

    def __init__(
        self,
        policy: McpPolicy,
        endpoint: McpEndpoint,
        access: UserAccess,
        sessions: UserSessions,
        settings: ToolSettings,
    ) -> None:
        self.name = policy.server
        # A tool of the server that is called like ours gets another name.
        self._policy = replace(policy, reserved=frozenset({CONNECT}))
        self._endpoint = endpoint
        self._access = access
        self._sessions = sessions
        self._settings = settings
        self._made: WeakKeyDictionary[McpConnection, _Known] = WeakKeyDictionary()
        """Of each open session."""
        self._last: OrderedDict[Principal, _Known] = OrderedDict()
        """What was last listed for each user."""
        self._connect = self._connect_tool()

    async def tools(self, principal: Principal) -> list[OfferedAs]:
        """Return the tools of a user's run.

        Raises:
            StoreUnavailable: The user's connections could not be read.
        """
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return (await self._list(principal)).tools
        except ConnectionRequired:
            return self._last_of(principal, [(self._connect, "allow")])
        except (RequestFailed, ServerUnavailable, TimeoutError) as exc:
            log.warning("mcp_tools_not_listed", server=self.name, reason=type(exc).__name__)
            return self._last_of(principal, [])

    def unlisted(self, name: str) -> Tool:
        """Return the tool of a stored call; what has this name is looked up when it is called."""
        if name == self._connect.name:
            return self._connect

        async def call(arguments: dict[str, Any], context: ToolContext) -> Any:
            for tool, _ in await self._list_now(context.principal):
                if tool.name == name:
                    return await tool.handler(arguments, context)  # pyright: ignore[reportGeneralTypeIssues]
            raise ToolError(f"The server {self.name} has no tool {name}. The call was not made.")

        anything = OfferedTool(name, name, name, {"type": "object", "properties": {}}, "ask")
        return self._of_user(anything, call)

    async def _list(self, principal: Principal) -> _Known:
        """Return what the server lists for a user, from the user's open session or from one that is opened now."""

        async def known(connection: McpConnection) -> _Known:
            listed = await connection.listed()
            made = self._made.get(connection) or self._last.get(principal)
            if made is None or made.listed != listed:
                offered = offered_by(self._policy, listed)
                made = _Known(listed, [(self._tool(tool), tool.permission) for tool in offered])
            self._made[connection] = made
            return made

        found = await self._sessions.use(self._access, self._endpoint, self.name, principal, known)
        self._last[principal] = found
        self._last.move_to_end(principal)
        if len(self._last) > MAX_USERS:
            self._last.popitem(last=False)
        return found

    async def _list_now(self, principal: Principal) -> list[OfferedAs]:
        try:
            return (await self._list(principal)).tools
        except (RequestFailed, ServerUnavailable) as exc:
            raise ToolError(unavailable_text(self.name)) from exc

    def _last_of(self, principal: Principal, others: list[OfferedAs]) -> list[OfferedAs]:
        known = self._last.get(principal)
        return others if known is None else known.tools

    def _tool(self, offered: OfferedTool) -> Tool:
        async def call(arguments: dict[str, Any], context: ToolContext) -> str:
            try:
                return await self._sessions.use(
                    self._access,
                    self._endpoint,
                    self.name,
                    context.principal,
                    lambda connection: call_tool(connection, self.name, offered, arguments, context),
                )
            except ServerUnavailable as exc:
                # Of the user's identity: what becomes of the call itself is told by `call_tool`.
                raise ToolError(unavailable_text(self.name)) from exc

        return self._of_user(offered, call)

    def _connect_tool(self) -> Tool:
        async def call(_: dict[str, Any], context: ToolContext) -> str:
            tools = [tool.name for tool, _ in await self._list_now(context.principal)]
            named = ", ".join(tools[:_MAX_NAMED]) + (", …" if len(tools) > _MAX_NAMED else "")
            return f"The user is connected to {self.name}. Its tools: {named or 'none'}."

        offered = OfferedTool(
            name=f"{self.name}{SEPARATOR}{CONNECT}",
            listed_name=CONNECT,
            description=(
                f"Asks the user to log in at {self.name}. The tools of {self.name} are known after the login. "
                f"Call it when the user's request needs {self.name}."
            ),
            schema={"type": "object", "properties": {}},
            permission="allow",
        )
        return self._of_user(offered, call)

    def _of_user(self, offered: OfferedTool, call: Handler) -> Tool:
        """Return a tool whose calls need the user's identity: every tool of such a server."""
        return tool_of(offered, call, self._endpoint, self._settings, self._connected, self._access.login_url)

    async def _connected(self, principal: Principal) -> None:
        try:
            await self._sessions.headers(self._access, self._endpoint, principal)
        except ConnectionRequired as exc:
            url = exc.url or await self._access.login_url(principal)
            raise ConnectionRequired(exc.server, exc.auth, url, exc.detail) from exc
        except ServerUnavailable:
            # Not the user's business: the call is made, and fails with a text for the model.
            return
