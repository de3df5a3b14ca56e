"""Keeps the users' grants at one MCP server usable: a worker asks for the token of the next request.

Rules:

1. A token that ends within ``EARLY_SECONDS`` (of a short one: in its last quarter) is replaced before it is used. That
   is also the room for clocks that differ. A token whose end nobody knows is used until the server refuses it.
2. One refresh per user and server, however many runs and workers see the end of a token. In a process, all that wait
   share one task. Between processes, the lease of ``ConnectionStore.locked`` decides; who comes second finds the new
   token. How many a process makes at one authorization server, and when it tries again: ``refresh_pace.py``. Whoever
   has a token that is still good waits ``PATIENCE_SECONDS`` at most, and uses it.
3. A refresh that got no answer changes nothing: the user stays logged in, and the old token is used as long as it lasts.
   Only the authorization server's own word ends a grant: ``invalid_grant``, and ``invalid_client`` of a client that this
   service has registered. If the operator's own client is refused, the operator mends it, and no user logs in again.
   The MCP server's word (401) leads to a refresh, once in ``_DOUBT`` for each user, and ends nothing that can be
   refreshed: its own trouble would log out everybody. A call for which a token allows too little (403) leads to a login
   for more; until then the old one is used for what it allows.
4. A new refresh token is written before anybody uses it. What nobody can prevent: if the process dies between the
   server's answer and the commit, the server has replaced the token and nobody knows the new one. The next refresh is
   then refused, and the user logs in again. A refresh is never cancelled with the run that wanted it, for the same reason.

See docs/adr/0042.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from core.connections.oauth.challenge import bearer_challenge
from core.connections.oauth.client_store import ClientStore
from core.connections.oauth.exchange import Clock, may_withdraw, now, refresh, withdraw
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grants import Grant
from core.connections.oauth.http_edge import OAuthHttp
from core.connections.oauth.login_scope import union
from core.connections.oauth.refresh_pace import NotNow, RefreshPace
from core.connections.oauth.server import OAuthServer
from core.connections.oauth.stored_grant import stored_grant
from core.connections.store import Connection, ConnectionStore, LockedConnection
from core.errors import StoreUnavailable
from core.identity import Principal

log = structlog.get_logger(__name__)

EARLY_SECONDS = 60
PATIENCE_SECONDS = 5.0
_DOUBT = timedelta(seconds=60)
"""So soon after a refresh because the server refused a token, another refresh would bring nothing better."""
_CLOSE_SECONDS = 12.0
"""A request, and the writing of its result."""
_MOST_REMEMBERED = 10_000
_ENDED = "Your login at {server} has ended."
_MORE = "{server} asks for more permissions than your login gave."


Key = TypeVar("Key")
Value = TypeVar("Value")


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
        pace: Limits the refreshes of the process; shared by the keepers of all servers.
        clock: The time; tests bring their own.
    """

    def __init__(
        self,
        server: OAuthServer,
        connections: ConnectionStore,
        clients: ClientStore,
        http: OAuthHttp,
        *,
        pace: RefreshPace | None = None,
        clock: Clock = now,
    ) -> None:
        self.server = server
        self._connections = connections
        self._clients = clients
        self._http = http
        self._pace = pace or RefreshPace()
        self._clock = clock
        self._refreshing: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._stale: dict[bytes, None] = {}
        """Hashes of tokens that the server has refused before their end."""
        self._doubted: dict[tuple[str, str], datetime] = {}
        """Whose token was last replaced because the server had refused it, and when."""

    async def access_token(self, principal: Principal) -> str:
        """Return the token for the next request.

        Raises:
            LoginRequired: Only the user can help.
            OAuthFailed: The token has ended, and there is no new one now.
            StoreUnavailable: It is not known now.
        """
        found, grant = self._usable(await self._find(principal))
        if not self._is_due(found, grant):
            return grant.access_token
        try:
            if grant.refresh_token is not None:
                self._pace.check(self._reasons(grant), self._clock())
            return await self._refreshed(principal, PATIENCE_SECONDS if self._is_good(found, grant) else None)
        except (NotNow, StoreUnavailable):
            if self._is_good(found, grant):
                return grant.access_token
            raise

    async def refused(self, principal: Principal, token: str, challenge: str) -> None:
        """Take in that the server answered 401, or 403 because the token allows too little.

        Args:
            principal: Whose token.
            token: What was sent. If the user has another one by now, nothing changes.
            challenge: ``WWW-Authenticate`` of the answer.

        Raises:
            LoginRequired: The token is good, and allows too little for this request.
        """
        found = await self._find(principal)
        grant = stored_grant(found)
        if found is None or grant is None or grant.access_token != token or not found.is_usable:
            return
        said = bearer_challenge(challenge)
        if said.wants_more:
            wanted = union(found.wanted_scope, said.scope)
            if wanted != found.wanted_scope:
                await self._connections.want(principal, found, wanted)
            raise LoginRequired(_MORE.format(server=self.server.name))
        if grant.refresh_token is None:
            await self._connections.refuse(principal, found)
            return
        key, now = (principal.tenant_id, principal.user_id), self._clock()
        last = self._doubted.pop(key, None)
        # Only times of this process are compared.
        if last is not None and abs(now - last) < _DOUBT:
            self._doubted[key] = last
            return
        _remember(self._doubted, key, now)
        _remember(self._stale, _digest(token), None)

    async def close(self) -> None:
        """Wait for refreshes under way: a new refresh token that is lost costs the user the login."""
        if self._refreshing:
            await asyncio.wait(self._refreshing.values(), timeout=_CLOSE_SECONDS)

    async def _refreshed(self, principal: Principal, patience: float | None) -> str:
        key = (principal.tenant_id, principal.user_id)
        task = self._refreshing.get(key)
        if task is None:
            task = self._refreshing[key] = asyncio.create_task(self._refresh(principal))
            task.add_done_callback(lambda done: self._forget(key, done))
        # Not cancelled with the run that waits, nor when its patience ends.
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done:
            raise NotNow("The authorization server takes too long.")
        return task.result()

    def _forget(self, key: tuple[str, str], done: asyncio.Task[str]) -> None:
        self._refreshing.pop(key, None)
        # Looked at, also if nobody waits any more: asyncio would complain of it at some later time.
        if not done.cancelled():
            done.exception()

    async def _refresh(self, principal: Principal) -> str:
        name, resource = self.server.name, self.server.resource
        async with self._connections.locked(principal, name, resource) as held:
            found, grant = self._usable(held.connection)
            if not self._is_due(found, grant):
                return grant.access_token
            if grant.refresh_token is None:
                await held.refuse()
                raise LoginRequired(_ENDED.format(server=name))
            try:
                async with self._pace.place(grant.issuer):
                    # Others may have failed while this one waited.
                    self._pace.check(self._reasons(grant), self._clock())
                    renewed, expires_at = await refresh(self._http, self.server, grant, clock=self._clock)
            except OAuthFailed as exc:
                return await self._failed(exc, held, found, grant)
            written = await held.replace(renewed.to_json(), expires_at=expires_at)
            if written is not None:
                self._stale.pop(_digest(grant.access_token), None)
                log.info("oauth_refreshed", server=name)
                return renewed.access_token
        # The user has connected anew or forgotten the connection meanwhile: that counts.
        return await self._overtaken(principal, renewed)

    async def _overtaken(self, principal: Principal, renewed: Grant) -> str:
        found = await self._find(principal)
        if may_withdraw(renewed, stored_grant(found)):
            # The user has withdrawn the tokens before these.
            await withdraw(self._http, self.server, renewed)
        return self._usable(found)[1].access_token

    async def _failed(
        self, error: OAuthFailed, held: LockedConnection, found: Connection, grant: Grant
    ) -> str:
        if not isinstance(error, NotNow):
            name = self.server.name
            given = self.server.is_given_client(grant.client_id, grant.issuer)
            if given and error.kind == "invalid-client":
                fix = "correct client_id and client_secret in [mcp.oauth]; no user has to log in again"
                log.error("oauth_client_refused", server=name, reason=error.words, fix=fix)
            else:
                log.warning("oauth_refresh_failed", server=name, kind=error.kind, reason=error.words)
            if error.kind == "invalid-client" and not given:
                await self._clients.forget(grant.issuer, grant.client_id)
            if error.kind == "invalid-grant" or (error.kind == "invalid-client" and not given):
                await held.refuse()
                raise LoginRequired(_ENDED.format(server=name)) from None
            everybody, client, these = self._reasons(grant)
            reason = {"unreachable": everybody, "invalid-client": client}.get(error.kind, these)
            self._pace.note(reason, error, self._clock())
        if self._is_good(found, grant):
            return grant.access_token
        raise error

    def _reasons(self, grant: Grant) -> list[tuple[str, ...]]:
        """Return why a refresh may fail: the authorization server, the operator's client there, these tokens."""
        return [
            (grant.issuer,),
            (grant.issuer, grant.client_id),
            ("", _digest(grant.access_token).hex()),
        ]

    async def _find(self, principal: Principal) -> Connection | None:
        return await self._connections.find(principal, self.server.name, self.server.resource)

    def _usable(self, found: Connection | None) -> tuple[Connection, Grant]:
        if found is None or found.known.kind != "oauth":
            raise LoginRequired
        grant = stored_grant(found)
        if grant is None or not found.is_usable:
            raise LoginRequired(_ENDED.format(server=self.server.name))
        return found, grant

    def _is_good(self, found: Connection, grant: Grant) -> bool:
        return not _ends_by(found, self._clock()) and _digest(grant.access_token) not in self._stale

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


def _remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    known[key] = value
    if len(known) > _MOST_REMEMBERED:
        known.pop(next(iter(known)))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
