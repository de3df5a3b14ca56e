"""Users' identities at an MCP server, in memory."""

from __future__ import annotations

from collections.abc import Mapping

from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.identity import Principal


class MemoryAccess:
    """Keeps the headers of users. The newest one counts; one that was refused does not."""

    def __init__(self, server: str = "shop", login_url: str | None = None) -> None:
        self.server = server
        self.tokens: dict[Principal, str] = {}
        self.after_refusal: dict[Principal, str] = {}
        """What a refresh brings, by user."""
        self.challenges: list[str] = []
        self._login_url = login_url

    async def headers(self, principal: Principal) -> dict[str, str]:
        if principal not in self.tokens:
            raise ConnectionRequired(self.server, "user-token")
        return {"Authorization": f"Bearer {self.tokens[principal]}"}

    async def login_url(self, principal: Principal) -> str | None:
        return self._login_url

    async def refused(self, principal: Principal, sent: Mapping[str, str], challenge: str = "") -> None:
        self.challenges.append(challenge)
        if sent != {"Authorization": f"Bearer {self.tokens.get(principal)}"}:
            return
        if (refreshed := self.after_refusal.pop(principal, None)) is not None:
            self.tokens[principal] = refreshed
        else:
            del self.tokens[principal]
