"""A real authorization server and a real protected MCP server, of the MCP library's own server parts.

They are another implementation than what is tested. The library checks clients, redirect addresses, PKCE and scopes;
``AuthorizationServer`` keeps the codes and tokens: a code works once, refresh tokens rotate, and one that is used again
ends everything that came of it.

    python tests/support/authorization_server.py PORT MCP_PORT

serves both, for trying by hand.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.routes import build_metadata, create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.fastmcp import FastMCP
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SCOPES = ["mail.read", "mail.send"]


@dataclass
class AuthorizationServer:
    """An authorization server whose users agree to everything at once.

    Implements the library's ``OAuthAuthorizationServerProvider``.
    """

    registration: bool = True
    subject: str = "ada@mail.example"
    """Who is logged in there."""
    denies: bool = False
    lasts_seconds: int | None = 3600
    """Of access tokens; ``None``: it does not say."""
    rotates: bool = True
    away: bool = False
    """Answers 503."""
    issuer: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    """Of ``register``, ``code``, ``refresh``, ``reuse`` and ``revoke``."""
    clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """All codes and tokens that were ever given out: the canaries of tests."""
    _codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _families: dict[str, str] = field(default_factory=dict)
    """Which login each code and token came of."""
    _ended: set[str] = field(default_factory=set)
    _refresh: dict[str, RefreshToken] = field(default_factory=dict)
    _access: dict[str, AccessToken] = field(default_factory=dict)

    def app(self, issuer: str) -> ASGIApp:
        """Return the application for an address that is known by now."""
        self.issuer = issuer
        registration = ClientRegistrationOptions(
            enabled=self.registration, valid_scopes=SCOPES, default_scopes=SCOPES
        )
        revocation = RevocationOptions(enabled=True)
        url = AnyHttpUrl(issuer)
        metadata = build_metadata(url, None, registration, revocation).model_dump(
            mode="json", exclude_none=True
        )
        metadata |= {
            "issuer": issuer,
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

        async def tell(_: Request) -> Response:
            return JSONResponse(metadata)

        routes = create_auth_routes(
            self, url, client_registration_options=registration, revocation_options=revocation
        )
        own = Route("/.well-known/oauth-authorization-server", tell)
        return self._unless_away(Starlette(routes=[own, *routes[1:]]))

    def _unless_away(self, app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if self.away and scope["type"] == "http":
                await Response(status_code=503)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answer

    def end_everything(self) -> None:
        """Withdraw all grants, as users can at such servers."""
        self._ended.update(self._families.values())

    def forget_clients(self) -> None:
        """Forget who has registered."""
        self.clients.clear()

    def expire(self) -> None:
        """End all access tokens, as their time would."""
        for token in self._access.values():
            token.expires_at = int(time.time()) - 1

    # What the library asks for.

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.counts["register"] += 1
        self.clients[str(client_info.client_id)] = client_info
        if client_info.client_secret:
            self.seen.append(client_info.client_secret)

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        if self.denies:
            raise AuthorizeError("access_denied", "The user said no.")
        if params.resource is None:
            raise AuthorizeError("invalid_request", "Tokens are for one resource.")
        code = self._new("code", secrets.token_hex(4))
        self._codes[code] = AuthorizationCode(
            code=code,
            scopes=params.scopes or SCOPES[:1],
            expires_at=time.time() + 60,
            client_id=str(client.client_id),
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            subject=self.subject,
        )
        return construct_redirect_uri(
            str(params.redirect_uri), code=code, state=params.state, iss=self.issuer
        )

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        self.counts["code"] += 1
        code = authorization_code
        self._once(code.code)
        return self._tokens(
            self._families[code.code], code.client_id, code.scopes, code.resource, code.subject
        )

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        return self._refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        self.counts["refresh"] += 1
        old = refresh_token
        if self.rotates:
            self._once(old.token)
        return self._tokens(self._families[old.token], old.client_id, scopes, old.resource, old.subject)

    async def load_access_token(self, token: str) -> AccessToken | None:
        found = self._access.get(token)
        return None if found is None or self._families[token] in self._ended else found

    async def verify_token(self, token: str) -> AccessToken | None:
        return await self.load_access_token(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.counts["revoke"] += 1
        self._ended.add(self._families[token.token])

    def _once(self, value: str) -> None:
        family = self._families[value]
        if value in self._used:
            self.counts["reuse"] += 1
            self._ended.add(family)
        if family in self._ended:
            raise TokenError("invalid_grant", "It was used, or withdrawn.")
        self._used.add(value)

    def _tokens(
        self, family: str, client_id: str, scopes: list[str], resource: str | None, subject: str | None
    ) -> OAuthToken:
        if family in self._ended:
            raise TokenError("invalid_grant", "It was withdrawn.")
        access = self._new("access", family)
        ends = int(time.time()) + (86_400 if self.lasts_seconds is None else self.lasts_seconds)
        shared: dict[str, Any] = {
            "client_id": client_id,
            "scopes": scopes,
            "resource": resource,
            "subject": subject,
        }
        self._access[access] = AccessToken(token=access, expires_at=ends, **shared)
        refresh = self._new("refresh", family) if self.rotates or not self._of(family) else None
        if refresh is not None:
            self._refresh[refresh] = RefreshToken(token=refresh, **shared)
        return OAuthToken(
            access_token=access, expires_in=self.lasts_seconds, refresh_token=refresh, scope=" ".join(scopes)
        )

    def _of(self, family: str) -> list[str]:
        return [token for token in self._refresh if self._families[token] == family]

    def _new(self, kind: str, family: str) -> str:
        value = f"canary-{kind}-{secrets.token_urlsafe(24)}"
        self._families[value] = family
        self.seen.append(value)
        return value


@dataclass
class ProtectedServer:
    """An MCP server that takes tokens of its authorization server only, made for itself."""

    authority: AuthorizationServer
    calls: list[str] = field(default_factory=list)
    """Who called ``whoami``, in order."""

    def app(self, url: str) -> Starlette:
        """Return the application; ``url`` is its origin, its endpoint is ``/mcp``."""
        settings = AuthSettings(
            issuer_url=AnyHttpUrl(self.authority.issuer),
            resource_server_url=AnyHttpUrl(f"{url}/mcp"),
            required_scopes=SCOPES[:1],
            validate_token_resource=True,
        )
        server = FastMCP("mail", auth=settings, token_verifier=self.authority)

        @server.tool()
        def whoami() -> str:
            """Say whose mail this is."""
            token = get_access_token()
            who = "nobody" if token is None else str(token.subject)
            self.calls.append(who)
            return f"This is the mail of {who}."

        return server.streamable_http_app()


@asynccontextmanager
async def served(authority: AuthorizationServer) -> AsyncIterator[tuple[str, ProtectedServer]]:
    """Serve both on sockets; yields the address of the MCP server."""
    from tests.support.stack import serving

    late: dict[str, ASGIApp] = {}

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await late["app"](scope, receive, send)

    async with serving(application, lifespan=False) as issuer:
        late["app"] = authority.app(issuer)
        server = ProtectedServer(authority)
        late_mcp: dict[str, ASGIApp] = {}

        async def mcp_application(scope: Scope, receive: Receive, send: Send) -> None:
            await late_mcp["app"](scope, receive, send)

        async with serving(mcp_application, lifespan=False) as url:
            app = server.app(url)
            async with app.router.lifespan_context(app):
                late_mcp["app"] = app
                yield f"{url}/mcp", server


async def _by_hand(port: int, mcp_port: int) -> None:
    import uvicorn

    authority = AuthorizationServer(lasts_seconds=60)
    app = authority.app(f"http://127.0.0.1:{port}")
    mcp = ProtectedServer(authority).app(f"http://127.0.0.1:{mcp_port}")
    servers = [uvicorn.Server(uvicorn.Config(a, port=p)) for a, p in ((app, port), (mcp, mcp_port))]
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(_by_hand(int(sys.argv[1]), int(sys.argv[2])))
