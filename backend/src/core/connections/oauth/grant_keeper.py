"""Keeps the users' grants at one MCP server usable: a worker asks for the token of the next request.

Rules:

1. A token that ends within ``EARLY_SECONDS`` (of a short one: in its last quarter) is replaced before it is used. That is also the room for clocks that differ.
   A token whose end nobody knows is used until the server refuses it.
2. One refresh per user and server, however many runs and workers see the end of a token. In a process, all that wait
   share one task. Between processes, the lease of ``ConnectionStore.locked`` decides; who comes second finds the new
   token. A process has at most ``MOST_REFRESHES`` at once, so that they never take all connections to Postgres.
3. A refresh that got no answer changes nothing: the user stays logged in, and the old token is used as long as it lasts.
   Only the authorization server's own word (``invalid_grant``, ``invalid_client``) ends a grant.
4. A new refresh token is written before anybody uses it. What nobody can prevent: if the process dies between the
   server's answer and the commit, the server has replaced the token and nobody knows the new one. The next refresh is
   then refused, and the user logs in again. A refresh is never cancelled with the run that wanted it, for the same reason.

See docs/adr/0042.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta

import structlog

from core.connections.oauth.challenge import bearer_challenge
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.exchange import Clock, now, refresh
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import Grant
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.server import OAuthServer
from core.connections.store import Connection, ConnectionStore, LockedConnection
from core.identity import Principal

log = structlog.get_logger(__name__)

EARLY_SECONDS = 60
MOST_REFRESHES = 16
_YOUNG = timedelta(seconds=60)
"""A token of this age that the server refuses would not be better after a refresh."""
_CLOSE_SECONDS = 12.0
"""A request, and the writing of its result."""
_MOST_STALE = 10_000
_ENDED = "Your login at {server} has ended."


class LoginRequired(Exception):
    """Only a login of the user helps. ``detail`` is for the user; empty if the user was never logged in."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class GrantKeeper:
    """The grants of all users at one server.

    Args:
        server: The server.
        connections: The rows of the grants.
        clients: The registered clients.
        http: Sends the refreshes.
        places: Limits the refreshes of the process; shared by the keepers of all servers.
        clock: The time; tests bring their own.
    """

    def __init__(
        self,
        server: OAuthServer,
        connections: ConnectionStore,
        clients: ClientStore,
        http: OAuthHttp,
        *,
        places: asyncio.Semaphore | None = None,
        clock: Clock = now,
    ) -> None:
        self.server = server
        self._connections = connections
        self._clients = clients
        self._http = http
        self._places = places or asyncio.Semaphore(MOST_REFRESHES)
        self._clock = clock
        self._refreshing: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._stale: dict[bytes, None] = {}
        """Hashes of tokens that the server has refused before their end."""

    async def access_token(self, principal: Principal) -> str:
        """Return the token for the next request.

        Raises:
            LoginRequired: Only the user can help.
            OAuthFailed: The token has ended, and there is no new one now.
            StoreUnavailable: It is not known now.
        """
        found, grant = self._usable(await self._find(principal))
        return await self._refreshed(principal) if self._is_due(found, grant) else grant.access_token

    async def refused(self, principal: Principal, token: str, challenge: str) -> str:
        """Take in that the server answered 401, or 403 because the token allows too little.

        Args:
            principal: Whose token.
            token: What was sent.
            challenge: ``WWW-Authenticate`` of the answer.

        Returns:
            The scope that the next login must ask for, separated by spaces; empty if the usual one is enough.
        """
        found = await self._find(principal)
        grant = None if found is None else _grant(found)
        if found is None or grant is None or grant.access_token != token or not found.is_usable:
            return ""
        said = bearer_challenge(challenge)
        if said.wants_more:
            # The old grant allows less than the next one: it is replaced as a whole.
            await self._connections.refuse(principal, found)
            return " ".join(dict.fromkeys([*(grant.scope or "").split(), *said.scope.split()]))
        if grant.refresh_token is None or self._clock() - found.known.updated_at < _YOUNG:
            await self._connections.refuse(principal, found)
        else:
            self._stale[_digest(token)] = None
            if len(self._stale) > _MOST_STALE:
                self._stale.pop(next(iter(self._stale)))
        return ""

    async def close(self) -> None:
        """Wait for refreshes under way: a new refresh token that is lost costs the user the login."""
        if self._refreshing:
            await asyncio.wait(self._refreshing.values(), timeout=_CLOSE_SECONDS)

    async def _refreshed(self, principal: Principal) -> str:
        key = (principal.tenant_id, principal.user_id)
        task = self._refreshing.get(key)
        if task is None:
            task = self._refreshing[key] = asyncio.create_task(self._refresh(principal))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, str], done: asyncio.Task[str]) -> None:
        self._refreshing.pop(key, None)
        # Looked at, also if nobody waits any more: asyncio would complain of it at some later time.
        if not done.cancelled():
            done.exception()

    async def _refresh(self, principal: Principal) -> str:
        name, resource = self.server.name, self.server.resource
        async with self._places, self._connections.locked(principal, name, resource) as held:
            found, grant = self._usable(held.connection)
            if not self._is_due(found, grant):
                return grant.access_token
            if grant.refresh_token is None:
                await held.refuse()
                raise LoginRequired(_ENDED.format(server=name))
            try:
                renewed, expires_at = await refresh(self._http, self.server, grant, clock=self._clock)
            except OAuthFailed as exc:
                return await self._failed(exc, held, found, grant)
            written = await held.replace(renewed.to_json(), expires_at=expires_at)
            if written is not None:
                self._stale.pop(_digest(grant.access_token), None)
                log.info("oauth_refreshed", server=name)
                return renewed.access_token
        # The user has connected anew or forgotten the connection meanwhile: that counts.
        found, grant = self._usable(await self._find(principal))
        return grant.access_token

    async def _failed(
        self, error: OAuthFailed, held: LockedConnection, found: Connection, grant: Grant
    ) -> str:
        log.warning("oauth_refresh_failed", server=self.server.name, kind=error.kind, reason=error.words)
        if error.kind == "invalid-client":
            await self._clients.forget(grant.issuer, grant.client_id)
        if error.kind in ("invalid-grant", "invalid-client"):
            await held.refuse()
            raise LoginRequired(_ENDED.format(server=self.server.name)) from None
        if not _ends_by(found, self._clock()) and _digest(grant.access_token) not in self._stale:
            return grant.access_token
        raise error

    async def _find(self, principal: Principal) -> Connection | None:
        return await self._connections.find(principal, self.server.name, self.server.resource)

    def _usable(self, found: Connection | None) -> tuple[Connection, Grant]:
        if found is None or found.known.kind != "oauth":
            raise LoginRequired
        grant = _grant(found)
        if grant is None or not found.is_usable:
            raise LoginRequired(_ENDED.format(server=self.server.name))
        return found, grant

    def _is_due(self, found: Connection, grant: Grant) -> bool:
        if _digest(grant.access_token) in self._stale:
            return True
        # Without a refresh token, a token is used to its last second.
        early = _early(found) if grant.refresh_token else timedelta()
        return _ends_by(found, self._clock() + early)


def _early(found: Connection) -> timedelta:
    """Return how long before its end a token is replaced: of one that lasts a minute, not all of the minute."""
    ends, given = found.known.expires_at, found.known.updated_at
    return timedelta() if ends is None else min(timedelta(seconds=EARLY_SECONDS), abs(ends - given) / 4)


def _ends_by(found: Connection, time: datetime) -> bool:
    ends = found.known.expires_at
    return ends is not None and ends <= time


def _grant(found: Connection) -> Grant | None:
    try:
        return Grant.from_json(found.secret)
    except ValueError:
        return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
