"""The sessions that a worker has with MCP servers in the name of users: opened when needed, closed when nobody uses them.

1. A session belongs to one user of one tenant at one server, and was opened with one set of the user's headers. With
   other headers (a new token, another account) there is another session. So no request ever shows another identity than
   its session.
2. A session that nobody has used for ``IDLE_SECONDS`` is closed; so is the one unused for longest when there are
   ``MAX_SESSIONS``. One that is used is never closed: its number is limited by the runs of the worker.
3. The session of a user who has no identity any more is closed as soon as that is known: it holds the token.
4. A server that answers 401 did nothing. The user's access is told, and the request is made again if there are other
   headers then. Otherwise the user has to connect anew.

A session is an ordinary connection, to an endpoint with the user's headers in it. Whatever masks the secrets of an
endpoint masks the user's, too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import RequestFailed, ServerUnavailable, refusal_of
from core.agentscope.tools.mcp.user_access import ConnectionRequired, UserAccess, secrets_in
from core.identity import Principal
from core.redaction import secret_forms

log = structlog.get_logger(__name__)

IDLE_SECONDS = 300.0
"""Longer than a user thinks between two messages; shorter than servers keep a silent session."""
MAX_SESSIONS = 200
"""Of one worker, for all servers. Each may hold a connection of TCP open."""

Result = TypeVar("Result")
AccessTo = Callable[[str, McpEndpoint], UserAccess]
"""Returns the users' identities at a server, by its name in the profile and its address."""
Open = Callable[[McpEndpoint, str], McpConnection]
Key = tuple[McpEndpoint, str, str]


def open_on_demand(endpoint: McpEndpoint, name: str) -> McpConnection:
    """Begin a connection that is opened anew only when it is needed."""
    connection = McpConnection(endpoint, name, on_demand=True)
    # It outlives the run that needs it first: its lines in the log are not the run's.
    Context().run(connection.start)
    return connection


@dataclass(slots=True)
class _Session:
    connection: McpConnection
    headers: Mapping[str, str]
    uses: int = 0
    is_stale: bool = False
    """Another one has taken its place."""
    closing: asyncio.TimerHandle | None = field(default=None, repr=False)


class UserSessions:
    """All sessions of users in a worker.

    Args:
        idle_seconds: How long a session stays open that nobody uses.
        max_sessions: How many are open, unless more are in use.
        open_connection: Makes a connection and begins to connect.
    """

    def __init__(
        self,
        *,
        idle_seconds: float = IDLE_SECONDS,
        max_sessions: int = MAX_SESSIONS,
        open_connection: Open = open_on_demand,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._max_sessions = max_sessions
        self._open_connection = open_connection
        self._sessions: OrderedDict[Key, _Session] = OrderedDict()
        """The one that was used last is at the end."""
        self._stale: set[McpConnection] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def use(
        self,
        access: UserAccess,
        endpoint: McpEndpoint,
        name: str,
        principal: Principal,
        work: Callable[[McpConnection], Awaitable[Result]],
    ) -> Result:
        """Do something in the user's session; twice, if the server did not take the user's identity the first time.

        Args:
            access: The users' identities at this server.
            endpoint: The server, without any user.
            name: Its name in the profile.
            principal: The user.
            work: One request. It raises what became of it.

        Raises:
            ConnectionRequired: The user has no identity at the server that the server takes.
            RequestFailed, ServerUnavailable: What ``work`` raised.
        """
        headers = await self.headers(access, endpoint, principal)
        try:
            return await self._do(endpoint, name, principal, headers, work)
        except (RequestFailed, ServerUnavailable) as exc:
            if (refusal := refusal_of(exc)) is None:
                raise
        await access.refused(principal, headers, refusal.challenge)
        others = await self.headers(access, endpoint, principal)
        if others != headers:
            try:
                return await self._do(endpoint, name, principal, others, work)
            except (RequestFailed, ServerUnavailable) as exc:
                if (refusal := refusal_of(exc)) is None:
                    raise
            await access.refused(principal, others, refusal.challenge)
        self._end(endpoint, principal)
        assert endpoint.auth is not None  # noqa: S101  only such servers have users
        raise ConnectionRequired(name, endpoint.auth, detail=f"{name} did not accept your login.")

    async def headers(
        self, access: UserAccess, endpoint: McpEndpoint, principal: Principal
    ) -> Mapping[str, str]:
        """Return the user's headers for the next request; a user without any has no session afterwards.

        Raises:
            ConnectionRequired, StoreUnavailable: As ``UserAccess.headers``.
        """
        try:
            return await access.headers(principal)
        except ConnectionRequired:
            self._end(endpoint, principal)
            raise

    async def close(self) -> None:
        """Close all sessions. Open calls fail."""
        connections = {session.connection for session in self._sessions.values()} | self._stale
        for session in self._sessions.values():
            if session.closing is not None:
                session.closing.cancel()
        self._sessions.clear()
        if connections:
            await asyncio.gather(*(connection.close() for connection in connections))

    async def _do(
        self,
        endpoint: McpEndpoint,
        name: str,
        principal: Principal,
        headers: Mapping[str, str],
        work: Callable[[McpConnection], Awaitable[Result]],
    ) -> Result:
        async with self._held(endpoint, name, principal, headers) as connection:
            return await work(connection)

    @asynccontextmanager
    async def _held(
        self, endpoint: McpEndpoint, name: str, principal: Principal, headers: Mapping[str, str]
    ) -> AsyncIterator[McpConnection]:
        """Keep a session open. The oldest other one is closed if there are too many."""
        key = (endpoint, principal.tenant_id, principal.user_id)
        session = self._sessions.get(key)
        if session is not None and session.headers != headers:
            self._replace(key, session)
            session = None
        if session is None:
            connection = self._open_connection(endpoint_of_user(endpoint, headers), name)
            session = self._sessions[key] = _Session(connection, headers)
        self._sessions.move_to_end(key)
        session.uses += 1
        if session.closing is not None:
            session.closing.cancel()
            session.closing = None
        self._make_room()
        try:
            yield session.connection
        finally:
            session.uses -= 1
            self._rest(key, session)

    def _rest(self, key: Key, session: _Session) -> None:
        if session.uses:
            return
        if session.is_stale:
            self._retire(session)
        elif self._sessions.get(key) is session:
            loop = asyncio.get_running_loop()
            session.closing = loop.call_later(self._idle_seconds, self._close_idle, key, session)

    def _close_idle(self, key: Key, session: _Session) -> None:
        if not session.uses and self._sessions.get(key) is session:
            del self._sessions[key]
            self._retire(session)

    def _replace(self, key: Key, session: _Session) -> None:
        del self._sessions[key]
        if session.uses:
            # What was sent in it goes on in it.
            session.is_stale = True
            self._stale.add(session.connection)
        else:
            self._retire(session)

    def _end(self, endpoint: McpEndpoint, principal: Principal) -> None:
        key = (endpoint, principal.tenant_id, principal.user_id)
        if (session := self._sessions.get(key)) is not None:
            self._replace(key, session)

    def _make_room(self) -> None:
        excess = len(self._sessions) - self._max_sessions
        if excess > 0:
            idle = [(key, session) for key, session in self._sessions.items() if not session.uses]
            for key, session in idle[:excess]:
                self._close_idle(key, session)

    def _retire(self, session: _Session) -> None:
        if session.closing is not None:
            session.closing.cancel()
            session.closing = None
        self._stale.discard(session.connection)
        session.connection.retire()


def endpoint_of_user(endpoint: McpEndpoint, headers: Mapping[str, str]) -> McpEndpoint:
    """Return the server as one user sees it: every request has the user's headers, and they are secrets."""
    secrets = [form for secret in secrets_in(headers) for form in secret_forms(secret)]
    return replace(
        endpoint,
        headers=(*endpoint.headers, *headers.items()),
        secrets=tuple(dict.fromkeys((*endpoint.secrets, *secrets))),
    )
