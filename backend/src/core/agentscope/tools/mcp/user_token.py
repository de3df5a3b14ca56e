"""``auth = "user-token"``: a user has given the service a token of its own for a server (``PUT /connections/NAME``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.oauth_access import OAuthLogins
from core.agentscope.tools.mcp.user_access import ConnectionRequired, UserAccess, token_headers
from core.agentscope.tools.mcp.user_sessions import AccessTo
from core.connections.oauth.challenge import bearer_challenge
from core.connections.resource import resource_of
from core.connections.store import Connection, ConnectionStore
from core.identity import Principal
from core.outage import through_outage

_OUTAGE_SECONDS = 15.0
"""How long a call waits for Postgres. A run that waits longer than this has more to wait for."""


def user_access(store: ConnectionStore, logins: Callable[[], OAuthLogins]) -> AccessTo:
    """Return how a worker finds the users' identities at a server.

    Args:
        store: Of the deployment.
        logins: Returns what logins need; asked for if there is a server with logins.
    """

    def access(server: str, endpoint: McpEndpoint) -> UserAccess:
        place = endpoint.oauth_server(server)
        return UserTokens(store, server, endpoint) if place is None else logins().access(place)

    return access


class UserTokens:
    """The tokens of all users for one server.

    Args:
        store: Of the deployment.
        server: Its name in the profile.
        endpoint: Where it is: a token that was given for another address is none.
    """

    def __init__(self, store: ConnectionStore, server: str, endpoint: McpEndpoint) -> None:
        self._store = store
        self._server = server
        self._resource = resource_of(endpoint.url)
        self._carrier = endpoint.carrier

    async def headers(self, principal: Principal) -> dict[str, str]:
        """Return the header with the user's token; see ``UserAccess``."""
        found = await self._find(principal)
        if found is None or found.known.kind != "user-token":
            raise ConnectionRequired(self._server, "user-token")
        if not found.is_usable:
            ended = found.known.state == "expired"
            detail = f"Your token for {self._server} {'has expired' if ended else 'was not accepted'}."
            raise ConnectionRequired(self._server, "user-token", detail=detail)
        return token_headers(*self._carrier, found.secret)

    async def login_url(self, principal: Principal) -> str | None:
        """Return ``None``: the application asks the user for the token, and sends it with ``PUT``."""
        return None

    async def refused(self, principal: Principal, sent: Mapping[str, str], challenge: str = "") -> None:
        """Note that the server does not take the token, unless there is another one by now.

        Raises:
            ConnectionRequired: The token is good, and does not allow this request.
        """
        found = await self._find(principal)
        if found is None or token_headers(*self._carrier, found.secret) != sent:
            return
        if bearer_challenge(challenge).wants_more:
            detail = f"{self._server} asks for more permissions than your token has."
            raise ConnectionRequired(self._server, "user-token", detail=detail)
        await through_outage(
            lambda: self._store.refuse(principal, found), seconds=_OUTAGE_SECONDS, what="connection"
        )

    async def _find(self, principal: Principal) -> Connection | None:
        return await through_outage(
            lambda: self._store.find(principal, self._server, self._resource),
            seconds=_OUTAGE_SECONDS,
            what="connection",
        )
