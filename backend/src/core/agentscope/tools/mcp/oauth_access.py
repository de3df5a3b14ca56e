"""``auth = "oauth"``: a user has logged in at a server. Joins the sessions of a worker with the users' grants."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.tools.mcp.failures import ServerUnavailable
from core.agentscope.tools.mcp.user_access import ConnectionRequired, token_headers
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grant_keeper import GrantKeeper, LoginRequired
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.oauth.refresh_pace import RefreshPace
from core.connections.oauth.server import OAuthServer
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.identity import Principal
from core.outage import through_outage

_OUTAGE_SECONDS = 15.0
"""How long a call waits for Postgres, as for a user's own token."""


class OAuthLogins:
    """What the logins at all servers share in a worker.

    Args:
        engine: Of the process.
        vault: Opens what is stored.
        connections: The rows of grants.
        links: Addresses of the API.
    """

    def __init__(
        self, engine: AsyncEngine, vault: Vault, connections: ConnectionStore, links: LoginLinks
    ) -> None:
        self.links = links
        self.rows = LoginStore(engine, vault)
        self._connections = connections
        self._clients = ClientStore(engine, vault)
        self._http = OAuthHttp()
        self._pace = RefreshPace()
        self._keepers: list[GrantKeeper] = []

    def access(self, server: OAuthServer) -> OAuthAccess:
        """Return the users' identities at a server."""
        keeper = GrantKeeper(server, self._connections, self._clients, self._http, pace=self._pace)
        self._keepers.append(keeper)
        return OAuthAccess(keeper, self)

    async def close(self) -> None:
        """Wait for refreshes under way."""
        await asyncio.gather(*(keeper.close() for keeper in self._keepers))


class OAuthAccess:
    """The logins of all users at one server; see ``UserAccess``."""

    def __init__(self, keeper: GrantKeeper, logins: OAuthLogins) -> None:
        self._keeper = keeper
        self._logins = logins

    async def headers(self, principal: Principal) -> dict[str, str]:
        """Return the header with the user's token.

        Raises:
            ConnectionRequired: The user has to log in.
            ServerUnavailable: The login has to be renewed, and the authorization server does not answer.
        """
        name = self._keeper.server.name
        try:
            token = await through_outage(
                lambda: self._keeper.access_token(principal), seconds=_OUTAGE_SECONDS, what="connection"
            )
        except LoginRequired as exc:
            raise ConnectionRequired(name, "oauth", detail=exc.detail) from None
        except OAuthFailed as exc:
            raise ServerUnavailable(f"the login cannot be renewed now: {exc.words}") from None
        return token_headers("Authorization", "Bearer", token)

    async def login_url(self, principal: Principal) -> str | None:
        """Begin a login; returns the link that the user opens, good for as long as an interrupt."""
        logins = self._logins
        return await through_outage(
            lambda: logins.links.begin(logins.rows, principal, self._keeper.server),
            seconds=_OUTAGE_SECONDS,
            what="connection",
        )

    async def refused(self, principal: Principal, sent: Mapping[str, str], challenge: str = "") -> None:
        """Take in that the server did not take the user's token.

        Raises:
            ConnectionRequired: The token is good, and does not allow this request.
        """
        token = sent.get("Authorization", "").removeprefix("Bearer ")
        try:
            await through_outage(
                lambda: self._keeper.refused(principal, token, challenge),
                seconds=_OUTAGE_SECONDS,
                what="connection",
            )
        except LoginRequired as exc:
            raise ConnectionRequired(self._keeper.server.name, "oauth", detail=exc.detail) from None
