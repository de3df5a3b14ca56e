"""What refreshes that fail, hang or are refused cost, and whom; over rows in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from tests.support.limits import HUNG_SECONDS

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grant_keeper import GrantKeeper, LoginRequired
from core.connections.oauth.grants import Grant
from core.connections.oauth.http_edge import Answer, OAuthHttp
from core.connections.oauth.refresh_pace import MOST_REFRESHES, PAUSE_SECONDS, RefreshPace
from core.connections.oauth.server import OAuthServer
from core.connections.store import Connection, KnownConnection
from core.identity import Principal

ADA = Principal("t", "ada")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Rows:
    """The rows of one server's users."""

    def __init__(self, server: OAuthServer, issuer: str = "https://as.example") -> None:
        self.server = server
        self.issuer = issuer
        self.rows: dict[Principal, Connection] = {}
        self.forgotten: list[str] = []

    def connect(self, user: Principal, *, ends_in: float, **members: Any) -> None:
        members = {"refresh_token": "r", **members}
        grant = Grant(
            f"old-{user.user_id}", self.issuer, f"{self.issuer}/t", self.server.resource, "me", **members
        )
        ends = NOW + timedelta(seconds=ends_in)
        # The clock of Postgres is another one.
        at = NOW + timedelta(days=1)
        known = KnownConnection("mail", self.server.resource, "oauth", "connected", ends, True, at, at)
        self.rows[user] = Connection(known, grant.to_json(), 1, 1)

    def state(self, user: Principal = ADA) -> str:
        return self.rows[user].known.state

    async def find(self, principal: Principal, server: str, resource: str) -> Connection | None:
        return self.rows.get(principal)

    async def refuse(self, principal: Principal, connection: Connection) -> bool:
        self.rows[principal] = dataclasses.replace(
            connection, known=dataclasses.replace(connection.known, state="refused")
        )
        return True

    async def want(self, principal: Principal, connection: Connection, scope: str) -> None:
        self.rows[principal] = dataclasses.replace(connection, wanted_scope=scope)

    async def forget(self, issuer: str, client_id: str) -> None:
        self.forgotten.append(client_id)

    @asynccontextmanager
    async def locked(self, principal: Principal, server: str, resource: str) -> AsyncIterator[Held]:
        yield Held(self, principal, self.rows.get(principal))


@dataclasses.dataclass
class Held:
    rows: Rows
    principal: Principal
    connection: Connection | None

    async def replace(self, secret: str, *, expires_at: datetime | None = None) -> Connection | None:
        if self.rows.rows.get(self.principal) is not self.connection or self.connection is None:
            return None
        known = dataclasses.replace(self.connection.known, expires_at=expires_at)
        written = dataclasses.replace(self.connection, secret=secret, known=known)
        self.rows.rows[self.principal] = written
        return written

    async def refuse(self) -> None:
        assert self.connection is not None
        await self.rows.refuse(self.principal, self.connection)


class Authority(OAuthHttp):
    """An authorization server that does what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshes = 0
        self.withdrawn: list[str] = []
        self.fails: OAuthFailed | Answer | None = None
        self.is_full = asyncio.Event()
        self.hangs: asyncio.Event | None = None
        self.during: Callable[[], None] = lambda: None

    async def post_form(
        self, url: str, server: OAuthServer, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        if url.endswith("/revoke"):
            self.withdrawn.append(form["token"])
            return Answer(200, b"")
        self.refreshes += 1
        number = self.refreshes
        if number == MOST_REFRESHES:
            self.is_full.set()
        if self.hangs is not None:
            await self.hangs.wait()
        self.during()
        if isinstance(self.fails, OAuthFailed):
            raise self.fails
        if self.fails is not None:
            return self.fails
        tokens = {"access_token": f"new-{number}", "refresh_token": f"r-{number}", "token_type": "Bearer"}
        return Answer(200, json.dumps({**tokens, "expires_in": 3600}).encode())


class World:
    """One keeper, and a clock that a test moves."""

    def __init__(self, name: str = "mail", pace: RefreshPace | None = None, **members: Any) -> None:
        self.server = OAuthServer(name, f"https://{name}.example/mcp", **members)
        self.rows = Rows(self.server, f"https://as-of-{name}.example")
        self.authority = Authority()
        self.now = NOW
        self.keeper = GrantKeeper(
            self.server,
            cast("Any", self.rows),
            cast("Any", self.rows),
            self.authority,
            pace=pace,
            clock=lambda: self.now,
        )

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


AWAY = OAuthFailed("unreachable", "as.example does not answer in time.")


async def test_an_authorization_server_that_hangs_holds_up_nobody_else() -> None:
    pace = RefreshPace()
    hung, fine = World("hung", pace), World("fine", pace)
    hung.authority.hangs, hung.authority.fails = asyncio.Event(), AWAY
    users = [Principal("t", f"u{number}") for number in range(5 * MOST_REFRESHES)]
    for user in users:
        hung.rows.connect(user, ends_in=-1)
    fine.rows.connect(ADA, ends_in=-1)
    waiting = [asyncio.create_task(hung.keeper.access_token(user)) for user in users]

    async with asyncio.timeout(HUNG_SECONDS):
        await hung.authority.is_full.wait()
        assert await fine.keeper.access_token(ADA) == "new-1"
        hung.authority.hangs.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)

    # Those that waited for a place do not find out again what the first ones did.
    assert {type(answer) for answer in answers} <= {OAuthFailed, *OAuthFailed.__subclasses__()}
    assert hung.authority.refreshes == MOST_REFRESHES
    assert {hung.rows.state(user) for user in users} == {"connected"}


async def test_a_token_that_is_still_good_does_not_wait_for_a_server_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.connections.oauth.grant_keeper.PATIENCE_SECONDS", 0.01)
    world = World()
    world.rows.connect(ADA, ends_in=30)
    world.authority.hangs = asyncio.Event()

    assert await world.keeper.access_token(ADA) == "old-ada"

    world.authority.hangs.set()
    await world.keeper.close()
    assert await world.keeper.access_token(ADA) == "new-1"


@pytest.mark.parametrize(
    ("failure", "is_shared"),
    [(AWAY, True), (Answer(503, b""), True), (Answer(400, b'{"error": "invalid_target"}'), False)],
)
async def test_a_refresh_that_failed_is_not_tried_with_each_request(
    failure: OAuthFailed | Answer, is_shared: bool
) -> None:
    world, eve = World(), Principal("t", "eve")
    world.rows.connect(ADA, ends_in=30)
    world.rows.connect(eve, ends_in=-1)
    world.authority.fails = failure

    for _ in range(3):
        assert await world.keeper.access_token(ADA) == "old-ada"
    for _ in range(3):
        with pytest.raises(OAuthFailed):
            await world.keeper.access_token(eve)
    assert world.authority.refreshes == (1 if is_shared else 2)

    world.authority.fails = None
    world.later(PAUSE_SECONDS + 1)
    assert (await world.keeper.access_token(ADA)).startswith("new-")
    assert (await world.keeper.access_token(eve)).startswith("new-")


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
async def test_the_operators_own_client_ends_no_login(code: str) -> None:
    refused = Answer(401, json.dumps({"error": code}).encode())
    named: dict[str, Any] = {
        "client_id": "me",
        "client_secret": "typo",
        "authorization_server": "https://as-of-mail.example",
    }
    world = World(**named)
    world.rows.connect(ADA, ends_in=30)
    world.authority.fails = refused

    assert await world.keeper.access_token(ADA) == "old-ada"
    world.later(31)
    with pytest.raises(OAuthFailed, match=code):
        await world.keeper.access_token(ADA)

    assert (world.rows.state(), world.rows.forgotten) == ("connected", [])
    world.authority.fails = None
    world.later(PAUSE_SECONDS + 1)
    assert (await world.keeper.access_token(ADA)).startswith("new-")

    # One that this service has registered is gone, and so is what was granted to it.
    others: list[dict[str, Any]] = [{}, {**named, "client_id": "another"}]
    for members in others:
        world = World(**members)
        world.rows.connect(ADA, ends_in=30)
        world.authority.fails = refused
        with pytest.raises(LoginRequired, match="has ended"):
            await world.keeper.access_token(ADA)
        assert (world.rows.state(), world.rows.forgotten) == ("refused", ["me"])


async def test_the_word_of_the_mcp_server_ends_no_grant_that_can_be_refreshed() -> None:
    world = World()
    world.rows.connect(ADA, ends_in=3600)
    await world.keeper.refused(ADA, "old-ada", 'Bearer error="invalid_token"')
    assert await world.keeper.access_token(ADA) == "new-1"

    # It goes on to refuse: no refresh for each request, and nobody is logged out.
    for _ in range(3):
        await world.keeper.refused(ADA, "new-1", "Bearer")
        assert await world.keeper.access_token(ADA) == "new-1"
    world.later(61)
    await world.keeper.refused(ADA, "new-1", "Bearer")
    assert await world.keeper.access_token(ADA) == "new-2"
    assert (world.rows.state(), world.authority.refreshes) == ("connected", 2)

    # Without a refresh token, there is nothing else to try.
    world.rows.connect(ADA, ends_in=3600, refresh_token=None)
    await world.keeper.refused(ADA, "old-ada", "Bearer")
    with pytest.raises(LoginRequired):
        await world.keeper.access_token(ADA)


async def test_a_token_that_allows_too_little_stays_in_use_for_the_rest() -> None:
    world = World()
    world.rows.connect(ADA, ends_in=3600)

    for scope in ("mail.send", "mail.send calendar", "mail.send"):
        with pytest.raises(LoginRequired, match="asks for more permissions than your login gave"):
            await world.keeper.refused(ADA, "old-ada", f'Bearer error="insufficient_scope", scope="{scope}"')

    assert await world.keeper.access_token(ADA) == "old-ada"
    assert world.rows.rows[ADA].wanted_scope == "mail.send calendar"
    # Of a token that was replaced meanwhile, nothing follows.
    await world.keeper.refused(ADA, "older", 'Bearer error="insufficient_scope"')


async def test_tokens_that_nobody_will_use_are_withdrawn() -> None:
    world = World()
    issuer = world.rows.issuer
    world.rows.connect(ADA, ends_in=-1, revocation_endpoint=f"{issuer}/revoke")
    world.authority.during = world.rows.rows.clear

    with pytest.raises(LoginRequired):
        await world.keeper.access_token(ADA)
    assert world.authority.withdrawn == ["r-1"]

    # The user has logged in anew: some servers would end that login, too.
    world.rows.connect(ADA, ends_in=-1, revocation_endpoint=f"{issuer}/revoke")
    world.authority.during = lambda: world.rows.connect(ADA, ends_in=3600)
    assert await world.keeper.access_token(ADA) == "old-ada"
    assert world.authority.withdrawn == ["r-1"]
