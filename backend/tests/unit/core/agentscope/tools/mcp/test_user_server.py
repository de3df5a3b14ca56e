"""What every tool of a server with ``auth`` brings along: how a run finds out about a login, and begins one."""

from __future__ import annotations

import pytest
from tests.support.user_access import MemoryAccess

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.listing import ListedTool
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.mcp.user_server import UserServer
from core.agentscope.tools.mcp.user_sessions import UserSessions
from core.config import ToolSettings
from core.identity import Principal

ANN = Principal("acme", "ann")
URL = "https://login.test/"


class Lists(McpConnection):
    """A session that has a list at once."""

    async def listed(self) -> tuple[ListedTool, ...]:
        return (ListedTool("pay", "Pays.", {"type": "object"}),)

    def retire(self) -> None:
        pass


async def test_every_tool_asks_for_a_login_before_a_call_and_after_a_refusal() -> None:
    access = MemoryAccess(login_url=URL)
    sessions = UserSessions(open_connection=lambda endpoint, name: Lists(endpoint, name, on_demand=True))
    endpoint = McpEndpoint("http", url="http://mcp.test/", auth="oauth")
    server = UserServer(McpPolicy("shop", None, "allow"), endpoint, access, sessions, ToolSettings())
    ((connect, _),) = await server.tools(ANN)
    access.tokens[ANN] = "ann-token-1234"
    ((pay, _),) = await server.tools(ANN)
    access.tokens.clear()

    tools = [connect, pay, server.unlisted("shop__pay"), server.unlisted("shop__connect")]
    assert [tool.name for tool in tools] == ["shop__connect", "shop__pay", "shop__pay", "shop__connect"]
    for tool in tools:
        assert tool.connected is not None
        with pytest.raises(ConnectionRequired) as required:
            await tool.connected(ANN)
        assert required.value.url == URL
        # The server has refused a token that the user's access believes in: `connected` would say nothing.
        assert tool.login_url is not None
        assert await tool.login_url(ANN) == URL
