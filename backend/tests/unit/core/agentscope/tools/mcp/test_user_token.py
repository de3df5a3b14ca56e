"""What a server's refusal means for a token that a user has given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.mcp.user_token import UserTokens
from core.connections.store import Connection, KnownConnection
from core.identity import Principal

ANN = Principal("acme", "ann")
ENDPOINT = McpEndpoint("http", url="https://mcp.test/", auth="user-token")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Rows:
    """One connection."""

    def __init__(self) -> None:
        known = KnownConnection("shop", "https://mcp.test", "user-token", "connected", None, False, NOW, NOW)
        self.found = Connection(known, "ann-token-1234", 1, 1)
        self.refused: list[Connection] = []

    async def find(self, principal: Principal, server: str, resource: str) -> Connection:
        assert (principal, server, resource) == (ANN, "shop", "https://mcp.test")
        return self.found

    async def refuse(self, principal: Principal, connection: Connection) -> bool:
        self.refused.append(connection)
        return True


@pytest.mark.parametrize(
    ("token", "challenge", "ended", "asked"),
    [
        ("ann-token-1234", "", True, False),
        ("ann-token-1234", 'Bearer error="invalid_token"', True, False),
        # Good for other calls: the user need not connect anew for those.
        ("ann-token-1234", 'Bearer error="insufficient_scope", scope="refund"', False, True),
        # The user has given another one meanwhile.
        ("ann-token-0000", "", False, False),
        ("ann-token-0000", 'Bearer error="insufficient_scope"', False, False),
    ],
)
async def test_a_refusal_ends_the_token_that_was_sent_unless_it_allows_too_little(
    token: str, challenge: str, ended: bool, asked: bool
) -> None:
    rows = Rows()
    access = UserTokens(cast("Any", rows), "shop", ENDPOINT)

    told = ""
    try:
        await access.refused(ANN, {"Authorization": f"Bearer {token}"}, challenge)
    except ConnectionRequired as exc:
        told = exc.detail

    assert told == ("shop asks for more permissions than your token has." if asked else "")
    assert rows.refused == ([rows.found] if ended else [])
    assert await access.headers(ANN) == {"Authorization": "Bearer ann-token-1234"}
