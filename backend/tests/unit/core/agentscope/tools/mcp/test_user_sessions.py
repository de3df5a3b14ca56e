"""The sessions of users in a worker: whose they are, how long they stay open, and how many there are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.user_access import MemoryAccess
from tests.support.virtual_clock import VIRTUAL_CLOCK

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import Failure, RequestFailed, ServerUnavailable
from core.agentscope.tools.mcp.user_access import ConnectionRequired
from core.agentscope.tools.mcp.user_sessions import UserSessions
from core.identity import Principal

ENDPOINT = McpEndpoint("http", url="http://mcp.test/", auth="user-token", headers=(("X-App", "a"),))
ANN, BOB, ANN_ELSEWHERE = Principal("acme", "ann"), Principal("acme", "bob"), Principal("other", "ann")
REFUSED = Failure("unauthorized", "HTTP 401", "Bearer realm")


class Fake(McpConnection):
    """A connection that only knows whether it is open."""

    def __init__(self, endpoint: McpEndpoint, name: str) -> None:
        super().__init__(endpoint, name, on_demand=True)
        self.is_open = True

    def retire(self) -> None:
        self.is_open = False

    async def close(self) -> None:
        self.is_open = False


class Pool:
    def __init__(self, **options: Any) -> None:
        self.opened: list[Fake] = []
        self.access = MemoryAccess()
        self.access.tokens = {ANN: "ann-1-token", BOB: "bob-1-token", ANN_ELSEWHERE: "ann-2-token"}
        self.sessions = UserSessions(open_connection=self._open, **options)

    def _open(self, endpoint: McpEndpoint, name: str) -> Fake:
        self.opened.append(Fake(endpoint, name))
        return self.opened[-1]

    async def use(self, principal: Principal = ANN, *, failures: list[Exception] | None = None) -> str:
        """Return what the server sees of the user."""

        async def work(connection: McpConnection) -> str:
            if failures:
                raise failures.pop(0)
            return dict(connection.endpoint.headers)["Authorization"]

        return await self.sessions.use(self.access, ENDPOINT, "shop", principal, work)

    @property
    def open(self) -> list[str]:
        return [dict(each.endpoint.headers)["Authorization"] for each in self.opened if each.is_open]


@pytest.fixture(params=[VIRTUAL_CLOCK], ids=["virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


async def test_each_user_of_each_tenant_has_one_session() -> None:
    pool = Pool()

    seen = await asyncio.gather(*(pool.use(who) for who in (ANN, BOB, ANN_ELSEWHERE) for _ in range(5)))

    assert seen == [f"Bearer {token}" for token in pool.access.tokens.values() for _ in range(5)]
    assert len(pool.opened) == len(pool.sessions) == 3
    # The application's own headers stay, and the user's token is one of the endpoint's secrets.
    assert pool.opened[0].endpoint.headers == (("X-App", "a"), ("Authorization", "Bearer ann-1-token"))
    assert {"ann-1-token", "Bearer ann-1-token", "YW5uLTEtdG9rZW4="} <= set(pool.opened[0].endpoint.secrets)


async def test_a_new_token_is_a_new_session_and_the_old_one_ends_with_its_last_call() -> None:
    pool = Pool()
    begun, go = asyncio.Event(), asyncio.Event()

    async def long(connection: McpConnection) -> str:
        begun.set()
        await go.wait()
        return dict(connection.endpoint.headers)["Authorization"]

    call = asyncio.create_task(pool.sessions.use(pool.access, ENDPOINT, "shop", ANN, long))
    await begun.wait()
    pool.access.tokens[ANN] = "ann-3-token"

    assert await pool.use() == "Bearer ann-3-token"
    assert pool.open == ["Bearer ann-1-token", "Bearer ann-3-token"]
    go.set()
    assert await call == "Bearer ann-1-token"
    assert pool.open == ["Bearer ann-3-token"]


async def test_a_user_who_has_disconnected_leaves_no_session_with_the_token() -> None:
    pool = Pool()
    await pool.use(BOB)
    begun, go = asyncio.Event(), asyncio.Event()

    async def long(connection: McpConnection) -> None:
        begun.set()
        await go.wait()

    call = asyncio.create_task(pool.sessions.use(pool.access, ENDPOINT, "shop", ANN, long))
    await begun.wait()
    del pool.access.tokens[ANN]
    del pool.access.tokens[BOB]

    for who in (ANN, BOB):
        with pytest.raises(ConnectionRequired):
            await pool.use(who)
    # What was sent already goes on, and is the last of this session.
    assert (pool.open, len(pool.sessions)) == (["Bearer ann-1-token"], 0)
    go.set()
    await call
    assert pool.open == []


async def test_a_session_that_nobody_uses_is_closed_and_one_in_use_is_not() -> None:
    pool = Pool(idle_seconds=300)
    await pool.use()
    await asyncio.sleep(299)
    await pool.use()
    await asyncio.sleep(299)
    assert pool.open == ["Bearer ann-1-token"]
    await asyncio.sleep(2)
    assert (pool.open, len(pool.sessions)) == ([], 0)

    async def long(_: McpConnection) -> None:
        await asyncio.sleep(1000)
        assert pool.open == ["Bearer ann-1-token"]

    await pool.sessions.use(pool.access, ENDPOINT, "shop", ANN, long)
    assert pool.open == ["Bearer ann-1-token"]
    await pool.sessions.close()
    assert pool.open == []


async def test_the_session_unused_for_longest_makes_room() -> None:
    pool = Pool(max_sessions=2)

    async def holds(_: McpConnection) -> None:
        await pool.use(BOB)
        await pool.use(ANN_ELSEWHERE)

    await pool.sessions.use(pool.access, ENDPOINT, "shop", ANN, holds)

    assert pool.open == ["Bearer ann-1-token", "Bearer ann-2-token"]


@pytest.mark.parametrize("error", [RequestFailed(REFUSED), ServerUnavailable("HTTP 401", REFUSED)])
async def test_a_refused_identity_is_renewed_once_or_the_user_is_asked(error: Exception) -> None:
    pool = Pool()
    pool.access.after_refusal = {ANN: "ann-3-token"}

    assert await pool.use(failures=[error]) == "Bearer ann-3-token"
    assert pool.access.challenges == ["Bearer realm"]

    # The second refusal, of what the refresh brought.
    pool.access.after_refusal = {BOB: "bob-3-token"}
    with pytest.raises(ConnectionRequired) as required:
        await pool.use(BOB, failures=[error, error])
    assert (required.value.server, required.value.auth) == ("shop", "user-token")
    assert required.value.detail == "shop did not accept your login."
    assert BOB not in pool.access.tokens
    assert pool.open == ["Bearer ann-3-token"]


async def test_other_failures_are_those_of_the_call() -> None:
    pool = Pool()

    for error in (RequestFailed(Failure("refused", "HTTP 403")), ServerUnavailable("away"), ValueError()):
        with pytest.raises(type(error)):
            await pool.use(failures=[error])
    assert pool.access.challenges == []
    assert len(pool.opened) == 1
