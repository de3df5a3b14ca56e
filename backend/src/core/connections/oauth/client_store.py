"""The clients that this service has registered at authorization servers. The only file that reads or writes them.

One for each issuer and address to come back to. All processes use the same one: who registers second, at the same moment,
takes that of the first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.connections.oauth.grants import OAuthClient
from core.connections.vault import CannotOpen, Vault

NEW_MINUTES = 15
"""So long a client is kept whatever is heard of it: a user cannot make this service register again and again."""


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client, and what it was registered for."""

    client: OAuthClient
    scopes: tuple[str, ...]
    is_new: bool = False
    """Whether it was registered within ``NEW_MINUTES``."""


class ClientStore:
    """The registered clients of a deployment."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def find(self, issuer: str, redirect_uri: str) -> RegisteredClient | None:
        """Return the client; ``None`` if there is none that can be opened, or its secret has ended."""
        values = {"issuer": issuer, "redirect_uri": redirect_uri}
        async with self._engine.connect() as connection:
            row = (await connection.execute(_FIND, values)).one_or_none()
        if row is None:
            return None
        try:
            sealed = json.loads(self._vault.open(bytes(row.sealed), *_binding(issuer, redirect_uri)))
        except CannotOpen:
            return None
        client = OAuthClient(row.client_id, sealed["secret"], sealed["auth"])
        return RegisteredClient(client, tuple(row.scope.split()), row.is_new)

    async def save(
        self,
        issuer: str,
        redirect_uri: str,
        client: OAuthClient,
        *,
        scopes: tuple[str, ...],
        expires_at: datetime | None,
        instead_of: str | None,
    ) -> OAuthClient:
        """Keep a client, unless another process was earlier; returns the one that is kept.

        Args:
            issuer: Where it is registered.
            redirect_uri: Where browsers come back to.
            client: The new one.
            scopes: What it was registered for.
            expires_at: When its secret ends.
            instead_of: Id of the client that it replaces; one that cannot be used any more is replaced in any case.
        """
        sealed = json.dumps({"secret": client.client_secret, "auth": client.auth})
        values = {
            "issuer": issuer,
            "redirect_uri": redirect_uri,
            "client_id": client.client_id,
            "scope": " ".join(scopes),
            "sealed": self._vault.seal(sealed, *_binding(issuer, redirect_uri)),
            "expires_at": expires_at,
        }
        async with self._engine.begin() as connection:
            kept = (await connection.execute(_SAVE, {**values, "instead_of": instead_of})).one_or_none()
        if kept is None and (found := await self.find(issuer, redirect_uri)) is not None:
            return found.client
        if kept is None:
            # What is there cannot be opened or has ended: nobody else can use it.
            async with self._engine.begin() as connection:
                await connection.execute(_OVERWRITE, values)
        return client

    async def forget(self, issuer: str, client_id: str) -> None:
        """Delete a client that the authorization server does not know any more, unless it is new."""
        async with self._engine.begin() as connection:
            await connection.execute(_FORGET, {"issuer": issuer, "client_id": client_id})


def _binding(issuer: str, redirect_uri: str) -> tuple[str, ...]:
    return "oauth-client", issuer, redirect_uri


_IS_NEW = f"created_at > clock_timestamp() - interval '{NEW_MINUTES} minutes'"
_FIND = text(f"""
SELECT client_id, scope, sealed, {_IS_NEW} AS is_new FROM agent_oauth_client
WHERE issuer = :issuer AND redirect_uri = :redirect_uri
    AND (expires_at IS NULL OR expires_at > clock_timestamp() + interval '1 hour' OR {_IS_NEW})
""")  # noqa: S608  the text above
_INSERT = """
INSERT INTO agent_oauth_client AS c (issuer, redirect_uri, client_id, scope, sealed, expires_at)
VALUES (:issuer, :redirect_uri, :client_id, :scope, :sealed, :expires_at)
ON CONFLICT (issuer, redirect_uri) DO UPDATE SET client_id = excluded.client_id, scope = excluded.scope,
    sealed = excluded.sealed, expires_at = excluded.expires_at, created_at = clock_timestamp()
"""
_SAVE = text(f"{_INSERT} WHERE c.client_id = :instead_of RETURNING c.id")
_OVERWRITE = text(_INSERT)
_FORGET = text(
    f"DELETE FROM agent_oauth_client WHERE issuer = :issuer AND client_id = :client_id AND NOT {_IS_NEW}"  # noqa: S608
)
