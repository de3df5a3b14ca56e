"""A user's login at an MCP server, from the link to the tokens. Runs in the API process.

Rules:

1. The link leads to a page that names the user and the server; only its button leaves for the authorization server. So
   whoever opens a link that somebody else has sent can see whose agent would get the account.
2. The browser that comes back must be the one that left from that page (a cookie): nobody can skip the page by sending
   another person the authorization server's address.
3. Each attempt has its own state and code verifier. A state works once, and only at the address of its own server, so
   that no authorization server can pass off another's code as its own (RFC 9207, RFC 9700 section 4.4).
4. A client that the authorization server does not know any more is registered anew: when it says so, and when users
   leave again and again and never come back. Not within minutes, and a link is good for some attempts only: whoever has
   one cannot make this service register without end.

See docs/adr/0042.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog

from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.discovery import LoginPlace, discover
from core.connections.oauth.exchange import exchange_code, may_withdraw, withdraw
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import Grant, OAuthClient, authorization_url, new_secret
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_scope import login_scope
from core.connections.oauth.login_store import Attempt, Login, LoginStore, Return
from core.connections.oauth.metadata import MOST_SCOPES
from core.connections.oauth.registration import given_client, register
from core.connections.oauth.server import OAuthServer
from core.connections.oauth.stored_grant import stored_grant
from core.connections.store import ConnectionStore
from core.identity import Principal

log = structlog.get_logger(__name__)

_LOST_ATTEMPTS = 3
"""So many attempts that nobody came back from: perhaps the authorization server refuses a client that it has forgotten,
which it tells the user only."""


class LinkNotGood(Exception):
    """A link, or the return of a browser, belongs to no login that is under way."""


class TooManyAttempts(Exception):
    """A link was tried too often. Nobody was asked."""


@dataclass(frozen=True, slots=True)
class OpenLogin:
    """What the page of a link says."""

    server: str
    host: str
    """Of the MCP server."""
    user: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. ``words`` are for the user."""

    server: str
    connected: bool
    words: str
    again: str | None = None
    """Address of the page from which the user can try again."""
    return_url: str | None = None
    """Where the browser goes; ``None``: to a page with the words."""
    denied: bool = False
    """Whether the user said no."""


class Logins:
    """The logins of a deployment's users.

    Args:
        servers: Those with ``auth = "oauth"``, by name.
        links: Addresses of this service.
        logins: Rows of logins.
        clients: Rows of registered clients.
        connections: Takes the tokens.
        http: Sends the requests.
    """

    def __init__(
        self,
        servers: Mapping[str, OAuthServer],
        links: LoginLinks,
        logins: LoginStore,
        clients: ClientStore,
        connections: ConnectionStore,
        http: OAuthHttp,
    ) -> None:
        self._servers = servers
        self.links = links
        self._logins = logins
        self._clients = clients
        self._connections = connections
        self._http = http

    async def begin(self, principal: Principal, name: str, *, return_url: str | None = None) -> str:
        """Begin a login ahead of any run; returns the link that the user opens.

        Raises:
            KeyError: No such server takes logins.
        """
        return await self.links.begin(self._logins, principal, self._servers[name], return_url=return_url)

    async def withdraw(self, principal: Principal, name: str) -> bool:
        """End the user's grant at the authorization server, before it is forgotten here. Failures are logged only.

        Returns:
            Whether there was a grant, and the authorization server has taken it back.
        """
        if (server := self._servers.get(name)) is None:
            return False
        grant = stored_grant(await self._connections.find(principal, name, server.resource))
        return grant is not None and await withdraw(self._http, server, grant)

    async def open(self, link: str) -> OpenLogin:
        """Return what the page of a link says.

        Raises:
            LinkNotGood: It is unknown, expired or used up.
        """
        login, server = await self._of(link)
        return OpenLogin(login.server, urlsplit(server.url).hostname or "", login.principal.user_id)

    async def leave(self, link: str, browser: str) -> str:
        """Return the address of the authorization server at which the user logs in.

        Args:
            link: The random part of the link.
            browser: The secret of the browser's cookie.

        Raises:
            LinkNotGood: As in :meth:`open`.
            TooManyAttempts: There were ``MOST_ATTEMPTS`` of them before.
            OAuthFailed: The login cannot begin.
        """
        login, server = await self._of(link)
        if not await self._logins.count(login):
            log.warning("oauth_login_tried_too_often", server=server.name)
            raise TooManyAttempts
        try:
            return await self._leave(link, login, server, browser)
        except OAuthFailed as exc:
            log.warning(
                "oauth_login_failed", server=server.name, step="begin", kind=exc.kind, reason=exc.words
            )
            raise

    async def _leave(self, link: str, login: Login, server: OAuthServer, browser: str) -> str:
        # Now, and not when the link was made: the server may have wanted more since.
        scope = await login_scope(self._connections, login.principal, server)
        place = await discover(self._http, server, scope=scope)
        redirect_uri = self.links.callback(server.name)
        client = given_client(server, place)
        if client is None:
            client = await self._registered(server, place, redirect_uri, login)
        found = place.authorization_server
        state, verifier = new_secret(), new_secret()
        attempt = Attempt(
            link=link,
            verifier=verifier,
            redirect_uri=redirect_uri,
            issuer=found.issuer,
            token_endpoint=found.token_endpoint,
            revocation_endpoint=found.revocation_endpoint,
            resource=place.resource,
            names_issuer=found.authorization_response_iss_parameter_supported,
            client_id=client.client_id,
            client_secret=client.client_secret,
            client_auth=client.auth,
            scope=" ".join(place.scopes),
        )
        if not await self._logins.leave(login, attempt, state=state, browser=browser):
            raise LinkNotGood
        return authorization_url(
            found,
            client.client_id,
            redirect_uri=redirect_uri,
            state=state,
            verifier=verifier,
            resource=place.resource,
            scopes=place.scopes,
        )

    async def _registered(
        self, server: OAuthServer, place: LoginPlace, redirect_uri: str, login: Login
    ) -> OAuthClient:
        issuer = place.authorization_server.issuer
        known = await self._clients.find(issuer, redirect_uri)
        had = () if known is None else known.scopes
        # With what it had: else two users who need different scopes would take the client from each other.
        scopes = tuple(dict.fromkeys((*had, *place.scopes)))[:MOST_SCOPES]
        if known is not None and set(had) >= set(scopes):
            if known.is_new or login.attempts < _LOST_ATTEMPTS:
                return known.client
            log.info("oauth_client_registered_anew", server=server.name, reason="nobody came back")
        place = replace(place, scopes=scopes)
        client, expires_at = await register(
            self._http, server, place, name=self.links.client_name, redirect_uri=redirect_uri
        )
        return await self._clients.save(
            issuer,
            redirect_uri,
            client,
            scopes=scopes,
            expires_at=expires_at,
            instead_of=None if known is None else known.client.client_id,
        )

    async def come_back(self, name: str, query: Mapping[str, str], browser: str) -> Outcome:
        """Take what a browser brings back from the authorization server, and connect the user.

        Args:
            name: The server's name in the address.
            query: Of the address.
            browser: The secret of the browser's cookie; empty without one.

        Raises:
            LinkNotGood: The state belongs to no attempt of this browser at this server.
        """
        found = await self._logins.come_back(query.get("state", ""), browser)
        if found is None or not found.same_browser or found.login.server != name:
            log.warning("oauth_return_refused", server=name, known=found is not None)
            raise LinkNotGood
        server = self._server(found.login)
        again = self.links.page(found.attempt.link)
        back = found.login.return_url
        try:
            _check_answer(query, found.attempt)
            await self._connect(found, server, query.get("code", ""))
        except OAuthFailed as exc:
            denied = query.get("error") == "access_denied"
            log.warning("oauth_login_failed", server=name, step="return", kind=exc.kind, reason=exc.words)
            return Outcome(name, False, exc.words, again=again, return_url=back, denied=denied)
        log.info("oauth_login_done", server=name)
        return Outcome(name, True, f"Your account at {name} is connected.", return_url=back)

    async def _connect(self, found: Return, server: OAuthServer, code: str) -> None:
        attempt, login = found.attempt, found.login
        try:
            tokens = await exchange_code(
                self._http,
                server,
                token_endpoint=attempt.token_endpoint,
                client=attempt.client,
                code=code,
                redirect_uri=attempt.redirect_uri,
                verifier=attempt.verifier,
                resource=attempt.resource,
            )
        except OAuthFailed as exc:
            if exc.kind == "invalid-client":
                await self._clients.forget(attempt.issuer, attempt.client_id)
            raise
        grant = Grant(
            access_token=tokens.access_token,
            issuer=attempt.issuer,
            token_endpoint=attempt.token_endpoint,
            resource=attempt.resource,
            client_id=attempt.client_id,
            refresh_token=tokens.refresh_token,
            revocation_endpoint=attempt.revocation_endpoint,
            scope=tokens.scope or attempt.scope or None,
            client_secret=attempt.client_secret,
            client_auth=attempt.client_auth,
        )
        before = stored_grant(await self._connections.find(login.principal, server.name, server.resource))
        await self._connections.save(
            login.principal,
            server.name,
            server.resource,
            "oauth",
            grant.to_json(),
            expires_at=tokens.expires_at,
            renewable=tokens.refresh_token is not None,
        )
        await self._logins.finish(login)
        if before is not None and may_withdraw(before, grant):
            await withdraw(self._http, server, before)

    async def _of(self, link: str) -> tuple[Login, OAuthServer]:
        login = await self._logins.find(link)
        if login is None:
            raise LinkNotGood
        return login, self._server(login)

    def _server(self, login: Login) -> OAuthServer:
        server = self._servers.get(login.server)
        # The profile has changed since: a token must not go to another address than the page would have said.
        if server is None or server.resource != login.resource:
            raise LinkNotGood
        return server


def _check_answer(query: Mapping[str, str], attempt: Attempt) -> None:
    issuer, error = query.get("iss"), query.get("error")
    # A refusal without a name is believed: there is nothing in it that could go to the wrong server.
    if issuer != attempt.issuer and (issuer is not None or (attempt.names_issuer and error is None)):
        raise OAuthFailed(
            "unusable", "The answer came from another authorization server. Nothing was connected."
        )
    if error == "access_denied":
        raise OAuthFailed("refused", "You did not agree. Nothing was connected.")
    if error is not None:
        # Free text of a stranger: only the code, and only if it is one.
        code = (
            error if error.isascii() and error.replace("_", "").isalnum() and len(error) <= 64 else "an error"
        )
        raise OAuthFailed("refused", f"The authorization server refused: {code}.")
    if not query.get("code"):
        raise OAuthFailed("unusable", "The authorization server's answer has no code.")
