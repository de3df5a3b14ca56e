"""Logins at a real authorization server over a real Postgres: the parts of a process, and a way through the servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.authorization_server import AuthorizationServer, ProtectedServer, served

from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.grant_keeper import GrantKeeper
from core.connections.oauth.grants import Grant
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login import Logins, Outcome
from core.connections.oauth.login_links import LoginLinks
from core.connections.oauth.login_store import LoginStore
from core.connections.oauth.server import OAuthServer
from core.connections.store import ConnectionStore
from core.connections.vault import Vault
from core.identity import Principal

BROWSER = "the-browser"
KEY = os.urandom(32)


class Process:
    """What one process of the service has: connections to Postgres of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        vault = Vault([KEY])
        self.engine = engine
        self.http = OAuthHttp()
        self.connections = ConnectionStore(engine, vault)
        self.clients = ClientStore(engine, vault)
        self.login_rows = LoginStore(engine, vault)

    def logins(self, server: OAuthServer) -> Logins:
        links = LoginLinks("https://agents.example.com", lasts_seconds=60)
        return Logins(
            {server.name: server}, links, self.login_rows, self.clients, self.connections, self.http
        )

    def keeper(self, server: OAuthServer, **members: Any) -> GrantKeeper:
        return GrantKeeper(server, self.connections, self.clients, self.http, **members)

    async def age_clients(self) -> None:
        """Let the time pass in which a client is kept whatever is heard of it."""
        async with self.engine.begin() as connection:
            await connection.execute(
                text("UPDATE agent_oauth_client SET created_at = now() - interval '1 h'")
            )

    async def grant(self, principal: Principal, server: OAuthServer) -> Grant:
        """Return what is stored for a user."""
        found = await self.connections.find(principal, server.name, server.resource)
        assert found is not None
        return Grant.from_json(found.secret)


@dataclass
class Place:
    """The servers, and a way through them."""

    authority: AuthorizationServer
    mcp: ProtectedServer
    server: OAuthServer

    async def redirect(self, url: str) -> dict[str, str]:
        """Open the authorization server's address as a browser does; returns what the browser brings back."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(
            f"https://agents.example.com/api/v1/agent/connections/callback/{self.server.name}?"
        )
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def log_in(self, logins: Logins, principal: Principal) -> Outcome:
        """Go the whole way."""
        link = (await logins.begin(principal, self.server.name)).rpartition("/")[2]
        query = await self.redirect(await logins.leave(link, BROWSER))
        return await logins.come_back(self.server.name, query, BROWSER)

    async def token_works(self, token: str) -> bool:
        """Whether the MCP server takes a token."""
        async with httpx.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
            return (await client.post(self.server.url, headers=headers, json={})).status_code != 401


@asynccontextmanager
async def placed(**members: Any) -> AsyncIterator[Place]:
    authority = AuthorizationServer(**members)
    async with served(authority) as (url, mcp):
        # Named, as one of a private network has to be.
        yield Place(authority, mcp, OAuthServer("mail", url, authorization_server=authority.issuer))
