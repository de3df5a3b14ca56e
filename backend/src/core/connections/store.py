"""The rows of users' connections: who has which identity at which MCP server. The only file that reads or writes them.

Rules:

1. One row per tenant, user and server. A connection counts only for the address that it was made for (``resource``).
   At another address it is absent, and making a new one replaces it.
2. Tokens are sealed before they leave this process, bound to the tenant, the user, the server, the address and the kind.
   A row that does not open is no connection: it is logged once, and the user connects anew.
3. A change names the version that it replaces. If the user has connected anew or has forgotten the connection meanwhile,
   the change is dropped: what a user does wins over what a worker does.
4. A refresh holds a lease on the row, not a transaction: the request to another service may take seconds, and no
   connection of the pool waits for it. Who is second waits, and then sees what the first one wrote. Only the clock of
   Postgres is compared.

API and workers use it. See docs/adr/0038.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.connections.vault import HEAD_BYTES, CannotOpen, Vault
from core.errors import StoreUnavailable
from core.identity import Principal
from core.outage import report_failure, through_outage
from core.store_failure import is_store_failure

log = structlog.get_logger(__name__)

ConnectionKind = Literal["user-token", "oauth"]
ConnectionState = Literal["connected", "expired", "refused"]

LEASE_SECONDS = 30.0
"""How long a refresh may take. Then another worker may try: this one has died, or its request hangs."""
_LOOK_SECONDS = 0.1
"""How often one looks that waits for a refresh of another process. One statement by a unique index."""
_OUTAGE_SECONDS = 15.0
"""How long a refresh tries to write its result. Lost, it may have cost the user the login: refresh tokens rotate."""
_HELD = "The user's connection to this server is being refreshed elsewhere. Try again."
_COLUMNS = (
    "id, server, resource, kind, state, expires_at, renewable, wanted_scope, version, connected_at, updated_at, "
    "coalesce(expires_at <= clock_timestamp(), false) AS is_over"
)


@dataclass(frozen=True, slots=True)
class KnownConnection:
    """What may be said about a connection. No part of a token is in it."""

    server: str
    resource: str
    kind: ConnectionKind
    state: ConnectionState
    """``expired``: the token has ended and only the user can replace it. ``refused``: the server did not take it."""
    expires_at: datetime | None
    """When the token in use ends; ``None``: not known, or never."""
    renewable: bool
    connected_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection with its tokens."""

    known: KnownConnection
    secret: str = field(repr=False)
    """As it was saved: a token, or the tokens of an OAuth login as JSON."""
    version: int
    """Which tokens these are: another number means others."""
    id: int
    wanted_scope: str = ""
    """What the next login must ask for beside what these tokens allow, separated by spaces."""

    @property
    def is_usable(self) -> bool:
        """Whether the tokens can be used, perhaps after a refresh; otherwise the user has to connect anew."""
        return self.known.state == "connected"


class ConnectionStore:
    """The connections of a deployment.

    Args:
        engine: Of the process.
        vault: Seals and opens the tokens. Without a key, connections can be listed and forgotten only.
    """

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault
        self._told: set[tuple[int, int]] = set()
        self._turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def save(
        self,
        principal: Principal,
        server: str,
        resource: str,
        kind: ConnectionKind,
        secret: str,
        *,
        expires_at: datetime | None = None,
        renewable: bool = False,
    ) -> KnownConnection:
        """Connect a user. Replaces what the user had at this server, whatever it was.

        Args:
            principal: Whose.
            server: Its name in the profile.
            resource: :func:`core.connections.resource.resource_of` its address.
            kind: How the user connected.
            secret: What :meth:`find` returns.
            expires_at: When the token in use ends, if that is known.
            renewable: Whether a worker can replace a token that has ended.

        Raises:
            ConfigurationError: There is no key.
        """
        sealed = self._vault.seal(secret, *_binding(principal, server, resource, kind))
        values = {"resource": resource, "kind": kind, "sealed": sealed}
        values |= {"expires_at": expires_at, "renewable": renewable, **_key(principal, server)}
        async with self._engine.begin() as connection:
            return _known((await connection.execute(_SAVE, values)).mappings().one())

    async def find(self, principal: Principal, server: str, resource: str) -> Connection | None:
        """Return the user's connection to a server at this address; ``None`` if there is none that can be opened."""
        async with self._engine.connect() as connection:
            values = {**_key(principal, server), "resource": resource}
            row = (await connection.execute(_FIND, values)).mappings().one_or_none()
        return self._opened(principal, row)

    async def list_all(self, principal: Principal) -> list[KnownConnection]:
        """Return all connections of a user that this process could open, by the names of the servers."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_LIST, _owner(principal))).mappings().all()
        heads = set(self._vault.heads)
        return [_known(row) for row in rows if bytes(row["head"]) in heads]

    async def forget(self, principal: Principal, server: str) -> bool:
        """Delete the user's connection to a server, whatever its address was; returns whether there was one."""
        async with self._engine.begin() as connection:
            return (await connection.execute(_FORGET, _key(principal, server))).rowcount > 0

    async def refuse(self, principal: Principal, connection: Connection) -> bool:
        """Note that a server does not take these tokens, so that the user has to connect anew.

        Returns whether these were still the tokens of the connection.
        """
        values = {**_key(principal, connection.known.server), "id": connection.id}
        values["version"] = connection.version
        async with self._engine.begin() as database:
            return (await database.execute(_REFUSE, values)).rowcount > 0

    async def want(self, principal: Principal, connection: Connection, scope: str) -> None:
        """Note what the next login must ask for. The tokens stay in use, and are the same. A new login forgets it."""
        values = {**_key(principal, connection.known.server), "id": connection.id, "scope": scope}
        values["connected_at"] = connection.known.connected_at
        async with self._engine.begin() as database:
            await database.execute(_WANT, values)

    @asynccontextmanager
    async def locked(
        self, principal: Principal, server: str, resource: str, *, patience_seconds: float = LEASE_SECONDS
    ) -> AsyncIterator[LockedConnection]:
        """Hold a connection alone, to replace its tokens: nobody else refreshes it meanwhile, in no process.

        Who comes second waits, and then finds what the first one wrote: look at ``connection`` before you refresh. The
        block may take ``LEASE_SECONDS``; later, another process may begin.

        Args:
            principal: Whose.
            server: Its name in the profile.
            resource: As in :meth:`save`.
            patience_seconds: How long to wait for others.

        Raises:
            StoreUnavailable: Others held it for longer.
        """
        key = {**_key(principal, server), "resource": resource}
        turn = self._turns.setdefault((principal.tenant_id, principal.user_id, server), asyncio.Lock())
        limit = asyncio.timeout(patience_seconds)
        try:
            # One look at the database per process, however many runs of the user wait.
            async with limit:
                await turn.acquire()
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreUnavailable(_HELD) from None
        try:
            token = uuid.uuid4()
            row = await self._acquire(key, token, patience_seconds)
            held = LockedConnection(self, principal, self._opened(principal, row), token)
            try:
                yield held
            finally:
                if row is not None:
                    await self._release(row["id"], token)
        finally:
            turn.release()

    async def _acquire(
        self, key: Mapping[str, Any], token: uuid.UUID, patience_seconds: float
    ) -> RowMapping | None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + patience_seconds
        values = {**key, "token": token, "seconds": LEASE_SECONDS}
        while True:
            async with self._engine.begin() as connection:
                row = (await connection.execute(_ACQUIRE, values)).mappings().one_or_none()
                if row is not None or not (await connection.execute(_IS_THERE, key)).scalar_one():
                    return row
            if loop.time() > give_up_at:
                raise StoreUnavailable(_HELD)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _release(self, row: int, token: uuid.UUID) -> None:
        try:
            async with self._engine.begin() as connection:
                await connection.execute(_RELEASE, {"id": row, "token": token})
        except Exception as exc:
            # The lease ends by itself; what the block did is more important than this.
            if not is_store_failure(exc):
                raise
            report_failure("connection_not_released", exc)

    async def replace(
        self, principal: Principal, old: Connection, token: uuid.UUID, values: Mapping[str, Any]
    ) -> Connection | None:
        """Write new tokens under a lease; see :meth:`LockedConnection.replace`."""
        known = old.known
        binding = _binding(principal, known.server, known.resource, known.kind)
        values = {**values, "id": old.id, "token": token, "version": old.version}
        values["sealed"] = self._vault.seal(values.pop("secret"), *binding)

        async def write() -> RowMapping | None:
            async with self._engine.begin() as connection:
                return (await connection.execute(_REPLACE, values)).mappings().one_or_none()

        return self._opened(
            principal, await through_outage(write, seconds=_OUTAGE_SECONDS, what="connection_refresh")
        )

    def _opened(self, principal: Principal, row: RowMapping | None) -> Connection | None:
        if row is None:
            return None
        binding = _binding(principal, row["server"], row["resource"], row["kind"])
        try:
            secret = self._vault.open(bytes(row["sealed"]), *binding)
        except CannotOpen as exc:
            which = (row["id"], row["version"])
            if which not in self._told:
                self._told.add(which)
                fix = "the user connects anew; if a key was lost, put it back into AGENT_SECRETS__KEY"
                log.warning("connection_unreadable", server=row["server"], reason=str(exc), fix=fix)
            return None
        return Connection(_known(row), secret, row["version"], row["id"], row["wanted_scope"])


@dataclass(slots=True)
class LockedConnection:
    """A connection that nobody else refreshes now."""

    _store: ConnectionStore
    _principal: Principal
    connection: Connection | None
    """As it is now; ``None`` if there is none: the user has forgotten it, or it cannot be opened."""
    _token: uuid.UUID

    async def replace(
        self, secret: str, *, expires_at: datetime | None = None, renewable: bool = True
    ) -> Connection | None:
        """Write the tokens that a refresh has brought, as in :meth:`ConnectionStore.save`.

        Returns ``None`` if the user has connected anew or forgotten the connection meanwhile, or if this took so long
        that another process has begun: the new tokens are dropped then.

        Raises:
            StoreUnavailable: Postgres did not answer for a while.
        """
        if self.connection is None:
            return None
        values = {"secret": secret, "expires_at": expires_at, "renewable": renewable}
        written = await self._store.replace(self._principal, self.connection, self._token, values)
        if written is not None:
            self.connection = written
        return written

    async def refuse(self) -> None:
        """Note that the grant is gone, so that the user has to connect anew."""
        if self.connection is not None:
            await self._store.refuse(self._principal, self.connection)


def _owner(principal: Principal) -> dict[str, Any]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


def _key(principal: Principal, server: str) -> dict[str, Any]:
    return {**_owner(principal), "server": server}


def _binding(principal: Principal, server: str, resource: str, kind: str) -> tuple[str, ...]:
    return "connection", kind, principal.tenant_id, principal.user_id, server, resource


def _known(row: RowMapping) -> KnownConnection:
    over = row["is_over"] and not row["renewable"]
    return KnownConnection(
        server=row["server"],
        resource=row["resource"],
        kind=row["kind"],
        state="expired" if over and row["state"] == "connected" else row["state"],
        expires_at=row["expires_at"],
        renewable=row["renewable"],
        connected_at=row["connected_at"],
        updated_at=row["updated_at"],
    )


_OWN = "tenant_id = :tenant_id AND user_id = :user_id"
_MINE = f"{_OWN} AND server = :server"
_HERE = f"{_MINE} AND resource = :resource"
_NEWER = "version = agent_connection.version + 1, updated_at = clock_timestamp()"
_FREE = "lease_token = NULL, lease_until = NULL"

# The clock of the statement: two looks at the other one may be a microsecond apart.
_SAVE = text(
    f"""
    INSERT INTO agent_connection (
        tenant_id, user_id, server, resource, kind, sealed, expires_at, renewable, connected_at, updated_at)
    VALUES (:tenant_id, :user_id, :server, :resource, :kind, :sealed, :expires_at, :renewable,
        statement_timestamp(), statement_timestamp())
    ON CONFLICT (tenant_id, user_id, server) DO UPDATE SET
        resource = excluded.resource, kind = excluded.kind, state = 'connected', sealed = excluded.sealed,
        expires_at = excluded.expires_at, renewable = excluded.renewable, wanted_scope = '',
        connected_at = excluded.connected_at, updated_at = excluded.updated_at,
        version = agent_connection.version + 1, {_FREE}
    RETURNING {_COLUMNS}
    """  # noqa: S608  the texts above
)
_FIND = text(f"SELECT {_COLUMNS}, sealed FROM agent_connection WHERE {_HERE}")  # noqa: S608
_LIST = text(
    f"""
    SELECT {_COLUMNS}, substring(sealed FROM 1 FOR {HEAD_BYTES}) AS head
    FROM agent_connection WHERE {_OWN} ORDER BY server
    """  # noqa: S608
)
_FORGET = text(f"DELETE FROM agent_connection WHERE {_MINE}")  # noqa: S608
_REFUSE = text(
    f"""
    UPDATE agent_connection SET state = 'refused', {_NEWER}
    WHERE {_MINE} AND id = :id AND version = :version AND state = 'connected'
    """  # noqa: S608
)
# Whoever has logged in since was asked for something else.
_WANT = text(
    f"""
    UPDATE agent_connection SET wanted_scope = :scope
    WHERE {_MINE} AND id = :id AND connected_at = :connected_at
    """  # noqa: S608
)
_ACQUIRE = text(
    f"""
    UPDATE agent_connection
    SET lease_token = :token, lease_until = clock_timestamp() + :seconds * interval '1 second'
    WHERE {_HERE} AND (lease_until IS NULL OR lease_until < clock_timestamp())
    RETURNING {_COLUMNS}, sealed
    """  # noqa: S608
)
_IS_THERE = text(f"SELECT EXISTS (SELECT FROM agent_connection WHERE {_HERE})")  # noqa: S608
_RELEASE = text(f"UPDATE agent_connection SET {_FREE} WHERE id = :id AND lease_token = :token")  # noqa: S608
# One version more: this statement again after an outage in which it was committed, or an old token that was refused
# while it was being replaced.
_REPLACE = text(
    f"""
    UPDATE agent_connection SET
        state = 'connected', sealed = :sealed, expires_at = :expires_at, renewable = :renewable, {_NEWER}
    WHERE id = :id AND lease_token = :token AND version BETWEEN :version AND :version + 1
    RETURNING {_COLUMNS}, sealed
    """  # noqa: S608
)
