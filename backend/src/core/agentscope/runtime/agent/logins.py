"""The logins that the calls of one run lack: what the user has to do before a call with the user's own identity is made.

Asked after the approval, so a call that needs both is asked about twice, once for each, and the approval comes first:
whoever was allowed to go on with a login has been allowed to make the call. See docs/adr/0043.
"""

from __future__ import annotations

import asyncio
from typing import Any

from core.agentscope.tools.mcp.names import server_of
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.spec import Tool
from core.identity import Principal

REASON = "connection_required"
ANSWER: dict[str, Any] = {
    # An application need not say more than that the user is back: "resolved", without a payload.
    "type": ["object", "null"],
    "properties": {"approved": {"type": "boolean"}},
    "additionalProperties": False,
}


class MissingLogins:
    """Of one run, for all its calls."""

    def __init__(self) -> None:
        self.may_ask = True
        """False while calls are made before the agent is given a new message: the user has moved on."""
        self._required: dict[str, ConnectionRequired] = {}
        self._refused: set[str] = set()
        self._by_server: dict[str, ConnectionRequired] = {}
        self._anew: dict[str, ConnectionRequired] = {}
        """Of servers that have refused a call: other calls to them may be fine, and are made."""
        self._turn = asyncio.Lock()

    async def lacks(self, tool_call_id: str, tool: Tool, principal: Principal) -> bool:
        """Return whether the user has to log in before the call is made.

        Raises:
            StoreUnavailable: The user's connections could not be read.
        """
        if tool_call_id in self._refused:
            return True
        if tool.connected is None:
            return False
        required = await self._asked(tool, principal)
        if required is None:
            return False
        self._required[tool_call_id] = required
        return True

    async def refuse(
        self, tool_call_id: str, tool: Tool, refused: ConnectionRequired, principal: Principal
    ) -> None:
        """Take in that the server did not take the user's identity for a call. The call had no effect."""
        # Once per run: whatever the user's access says now, the same call is not sent again without the user.
        self._refused.add(tool_call_id)
        self._required[tool_call_id] = await self._asked(tool, principal) or await self._asked_anew(
            tool, refused, principal
        )

    def was_refused(self, tool_call_id: str) -> bool:
        """Return whether the server did not take the user's identity for this call."""
        return tool_call_id in self._refused

    def required(self, tool_call_id: str) -> ConnectionRequired | None:
        """Return what the user has to do for a call; ``None`` if a question about it is one of approval."""
        return self._required.get(tool_call_id)

    async def _asked_anew(
        self, tool: Tool, refused: ConnectionRequired, principal: Principal
    ) -> ConnectionRequired:
        server = server_of(tool.name)
        # The address was not asked for yet: the user's access believed that the user is connected.
        async with self._turn:
            if server not in self._anew:
                url = refused.url
                if url is None and tool.login_url is not None:
                    url = await tool.login_url(principal)
                self._anew[server] = ConnectionRequired(refused.server, refused.auth, url, refused.detail)
            return self._anew[server]

    async def _asked(self, tool: Tool, principal: Principal) -> ConnectionRequired | None:
        server = server_of(tool.name)
        # One after the other: all calls to one server ask for one login.
        async with self._turn:
            if server not in self._by_server and tool.connected is not None:
                try:
                    await tool.connected(principal)
                except ConnectionRequired as exc:
                    self._by_server[server] = exc
            return self._by_server.get(server)


def question(required: ConnectionRequired, tool: str) -> str:
    """Return what the user is asked."""
    return " ".join(
        filter(None, (required.detail, f"Connect your account at {required.server}: {tool} needs it."))
    )


def metadata(required: ConnectionRequired) -> dict[str, Any]:
    """Return what an application needs to know to let the user connect (AG-UI's ``Interrupt.metadata``)."""
    return {"server": required.server, "auth": required.auth} | (
        {} if required.url is None else {"url": required.url}
    )


def not_connected(server: str) -> str:
    """Return what the model reads when the user did not log in."""
    return f"The user did not connect to {server}. The call was not made."
