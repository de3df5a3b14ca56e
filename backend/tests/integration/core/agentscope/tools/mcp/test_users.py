"""MCP servers that see the user: who asks is never mixed up, and a token is seen by its server alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.mcp_servers import Server
from tests.support.user_access import MemoryAccess

from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.toolset import McpConnections, McpToolset
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.spec import Tool, ToolContext, ToolOutcome
from core.config import ToolSettings
from core.identity import Principal

ANN, BOB, ANN_ELSEWHERE = Principal("acme", "ann"), Principal("acme", "bob"), Principal("other", "ann")
EVERYBODY = {ANN: "ann-token-1234", BOB: "bob-token-1234", ANN_ELSEWHERE: "ann-token-5678"}


class Shop:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.access = MemoryAccess(login_url="https://login.test/")
        self.connections = McpConnections(lambda _name, _endpoint: self.access)
        endpoint = server.endpoint(auth="user-token")
        policy = McpPolicy("shop", None, "allow")
        self.toolset = McpToolset([self.connections.to(endpoint, policy, ToolSettings())])

    async def tools(self, who: Principal) -> dict[str, Tool]:
        async with asyncio.timeout(HUNG_SECONDS):
            return {tool.name: tool for tool, _ in await self.toolset.tools_for(who)}

    async def call(self, who: Principal, name: str, report: Shown | None = None) -> ToolOutcome:
        tool = (await self.tools(who))[f"shop__{name}"]
        async with asyncio.timeout(HUNG_SECONDS):
            return await tool.call({}, ToolContext(who, "t", "r", "c", progress_report=report))


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []

    async def report(self, message: str, progress: float | None, total: float | None) -> None:
        self.lines.append(message)


@pytest.fixture(params=["http", "sse"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    server = Server(request.param, tmp_path)
    server.know(ann="ann-token-1234", bob="bob-token-1234", ann_elsewhere="ann-token-5678")
    await server.start()
    shop = Shop(server)
    yield shop
    await shop.connections.close()
    server.stop()


async def test_a_server_sees_who_asks_and_no_session_is_shared(shop: Shop) -> None:
    shop.access.tokens = dict(EVERYBODY)

    said = await asyncio.gather(*(shop.call(who, "whoami") for _ in range(5) for who in EVERYBODY))

    assert [one.content for one in said] == ["you are ann", "you are bob", "you are ann_elsewhere"] * 5
    # Listed once for each user, not for each call.
    assert shop.server.effects == ["list"] * 3
    users: dict[str, set[str]] = {}
    for user, session in shop.server.seen:
        users.setdefault(session, set()).add(user)
    assert all(len(of) == 1 for session, of in users.items() if session)


async def test_what_the_user_does_with_the_token_counts_for_the_next_call(shop: Shop) -> None:
    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    tool = (await shop.tools(ANN))["shop__whoami"]
    context = ToolContext(ANN, "t", "r", "c")

    assert (await tool.call({}, context)).content == "you are ann"
    shop.access.tokens[ANN] = EVERYBODY[BOB]
    assert (await tool.call({}, context)).content == "you are bob"
    del shop.access.tokens[ANN]
    with pytest.raises(ConnectionRequired):
        await tool.call({}, context)
    assert tool.connected is not None
    with pytest.raises(ConnectionRequired) as required:
        await tool.connected(ANN)
    assert required.value.url == "https://login.test/"


async def test_a_token_that_the_server_revokes_needs_a_login_or_is_renewed(shop: Shop) -> None:
    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    tool = (await shop.tools(ANN))["shop__whoami"]
    context = ToolContext(ANN, "t", "r", "c")
    shop.server.know(ann="ann-token-new1", bob=EVERYBODY[BOB])
    shop.access.after_refusal = {ANN: "ann-token-new1"}

    assert (await tool.call({}, context)).content == "you are ann"

    shop.server.know(bob=EVERYBODY[BOB])
    with pytest.raises(ConnectionRequired):
        await tool.call({}, context)
    assert set(shop.access.challenges) == {'Bearer realm="tests"'}
    assert shop.access.tokens == {}


async def test_what_is_offered_without_an_identity(shop: Shop) -> None:
    (connect,) = (await shop.tools(ANN)).values()
    assert (connect.name, connect.permission) == ("shop__connect", "allow")
    assert shop.toolset.owns("shop__connect")
    assert shop.toolset.tools() == []

    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    own = await shop.tools(ANN)
    # The server has a tool of that name, too.
    assert [name for name in own if name.startswith("shop__connect")] != ["shop__connect"]
    connected = await connect.call({}, ToolContext(ANN, "t", "r", "c"))
    assert connected.content.startswith("The user is connected to shop. Its tools: shop__whoami, shop__leak")

    # What is listed for one user is shown to nobody else, and to this user also without an identity.
    assert list(await shop.tools(BOB)) == list(await shop.tools(ANN_ELSEWHERE)) == ["shop__connect"]
    shop.access.tokens = {}
    assert list(await shop.tools(ANN)) == list(own)

    # A token that the server does not take is as good as none, and not asked with again.
    shop.access.tokens = {ANN_ELSEWHERE: "wrong-token-1"}
    assert list(await shop.tools(ANN_ELSEWHERE)) == ["shop__connect"]
    assert shop.access.tokens == {}


async def test_a_stored_call_finds_its_tool_although_no_list_is_known(shop: Shop) -> None:
    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    context = ToolContext(ANN, "t", "r", "c")
    stored = shop.toolset.unlisted("shop__whoami")
    gone = shop.toolset.unlisted("shop__no_such_tool")
    assert stored is not None
    assert gone is not None

    assert stored.permission == "ask"
    assert (await stored.call({}, context)).content == "you are ann"
    assert (await gone.call({}, context)).content == (
        "The server shop has no tool shop__no_such_tool. The call was not made."
    )
    assert shop.toolset.unlisted("other__whoami") is None


async def test_a_server_that_repeats_the_token_shows_it_to_nobody(shop: Shop) -> None:
    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    shown = Shown()

    leaked = await shop.call(ANN, "leak", shown)

    assert leaked.state == "error"
    assert leaked.content == '[redacted] [redacted]\n{"token": "[redacted]"}'
    assert not any("ann-token" in line for line in shown.lines)


async def test_a_server_that_is_away_is_no_question_to_the_user(shop: Shop) -> None:
    shop.access.tokens = {ANN: EVERYBODY[ANN]}
    tools = await shop.tools(ANN)
    shop.server.stop()

    away = await tools["shop__whoami"].call({}, ToolContext(ANN, "t", "r", "c"))

    assert (away.state, "was not made" in away.content or "may have" in away.content) == ("error", True)
    assert list(await shop.tools(ANN)) == list(tools)
