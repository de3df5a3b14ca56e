"""The rows of logins under way. The only file that reads or writes them.

Rules:

1. The random part of a link and the state of an attempt are stored as hashes; what the exchange needs is sealed.
2. A link works until it expires or the user is connected, so that it is good for as long as the interrupt that shows it,
   also after a restart of everything. A state works once, for ``ATTEMPT_SECONDS``, and only the newest one of a login.
3. The clock is that of Postgres.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.connections.oauth.grants import ClientAuth, OAuthClient, new_secret
from core.connections.vault import CannotOpen, Vault
from core.identity import Principal

ATTEMPT_SECONDS = 600
"""From leaving for the authorization server to coming back."""
MOST_OF_A_USER = 100
"""Links of one user that are good at once. The oldest ones end when there are more."""
MOST_ATTEMPTS = 20
"""Of one link. Each of them asks other servers."""
_COLUMNS = "l.id, l.tenant_id, l.user_id, l.server, l.resource, l.return_url, l.attempts"


@dataclass(frozen=True, slots=True)
class Login:
    """A login whose link is good."""

    id: int
    principal: Principal
    server: str
    resource: str
    return_url: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the return of a browser needs. Sealed before it is stored."""

    link: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    issuer: str
    token_endpoint: str
    revocation_endpoint: str | None
    resource: str
    names_issuer: bool
    """Whether the authorization server says who it is when it sends a browser back (RFC 9207)."""
    client_id: str
    client_secret: str | None = field(repr=False)
    client_auth: ClientAuth
    scope: str = ""
    """What the user was asked for: what is granted, unless the authorization server says that it is less."""

    @property
    def client(self) -> OAuthClient:
        """This service, as the authorization server knows it."""
        return OAuthClient(self.client_id, self.client_secret, self.client_auth)


@dataclass(frozen=True, slots=True)
class Return:
    """A browser that came back with a known state."""

    login: Login
    attempt: Attempt
    same_browser: bool
    """Whether it is the one that left."""


class LoginStore:
    """The logins of a deployment."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def begin(
        self,
        principal: Principal,
        server: str,
        resource: str,
        *,
        return_url: str | None = None,
        lasts_seconds: float,
    ) -> str:
        """Begin a login; returns the random part of its link.

        Args:
            principal: Whose account is connected.
            server: Its name in the profile.
            resource: :func:`core.connections.resource.resource_of` its address.
            return_url: As in the row; checked by the caller.
            lasts_seconds: How long the link is good.
        """
        link = new_secret()
        owner = {"tenant_id": principal.tenant_id, "user_id": principal.user_id}
        values = {**owner, "server": server, "resource": resource, "link_hash": _hash(link)}
        values |= {"return_url": return_url, "seconds": lasts_seconds}
        async with self._engine.begin() as connection:
            await connection.execute(_BEGIN, values)
            await connection.execute(_DROP_MANY, {**owner, "most": MOST_OF_A_USER})
        return link

    async def find(self, link: str) -> Login | None:
        """Return the login of a link; ``None`` if there is none, or it has expired or is used up."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_FIND, {"link_hash": _hash(link)})).mappings().one_or_none()
        return None if row is None else _login(row)

    async def count(self, login: Login) -> bool:
        """Count an attempt before it asks anybody. Returns whether the link is good for one more."""
        async with self._engine.begin() as connection:
            counted = await connection.execute(_COUNT, {"id": login.id, "most": MOST_ATTEMPTS})
        return counted.rowcount > 0

    async def leave(self, login: Login, attempt: Attempt, *, state: str, browser: str) -> bool:
        """Note that a browser leaves for the authorization server; an attempt before this one ends.

        Returns whether the link is still good.
        """
        values = {"id": login.id, "state_hash": _hash(state), "browser_hash": _hash(browser)}
        values |= {"attempt": self._vault.seal(json.dumps(asdict(attempt)), *_binding(login))}
        async with self._engine.begin() as connection:
            done = await connection.execute(_LEAVE, {**values, "seconds": ATTEMPT_SECONDS})
        return done.rowcount > 0

    async def come_back(self, state: str, browser: str) -> Return | None:
        """Use up a state; ``None`` if it is unknown, was used, or has expired."""
        async with self._engine.begin() as connection:
            row = (
                (await connection.execute(_COME_BACK, {"state_hash": _hash(state)})).mappings().one_or_none()
            )
        if row is None:
            return None
        login = _login(row)
        try:
            attempt = Attempt(**json.loads(self._vault.open(bytes(row["attempt"]), *_binding(login))))
        except (CannotOpen, TypeError):
            # Of a key that is gone, or of a process of another version, with other fields: the user leaves once more.
            return None
        return Return(login, attempt, bytes(row["browser_hash"]) == _hash(browser))

    async def finish(self, login: Login) -> None:
        """Use up the link: the user is connected."""
        async with self._engine.begin() as connection:
            await connection.execute(_FINISH, {"id": login.id})


async def drop_logins(engine: AsyncEngine, *, rows: int) -> int:
    """Delete logins whose links have expired; returns how many, at most ``rows``."""
    async with engine.begin() as connection:
        return (await connection.execute(_DROP, {"rows": rows})).rowcount


def _hash(secret: str) -> bytes:
    # The secrets are 256 random bits: a plain hash of them is safe.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _binding(login: Login) -> tuple[str, ...]:
    owner = login.principal
    return "oauth-login", owner.tenant_id, owner.user_id, login.server, login.resource


def _login(row: Any) -> Login:
    return Login(
        row["id"],
        Principal(row["tenant_id"], row["user_id"]),
        row["server"],
        row["resource"],
        row["return_url"],
        row["attempts"],
    )


_BEGIN = text("""
INSERT INTO agent_oauth_login (tenant_id, user_id, server, resource, link_hash, return_url, expires_at)
VALUES (:tenant_id, :user_id, :server, :resource, :link_hash, :return_url,
    clock_timestamp() + :seconds * interval '1 second')
""")
_DROP_MANY = text("""
DELETE FROM agent_oauth_login WHERE id IN (
    SELECT id FROM agent_oauth_login WHERE tenant_id = :tenant_id AND user_id = :user_id
    ORDER BY id DESC OFFSET :most)
""")
_GOOD = "l.done_at IS NULL AND l.expires_at > clock_timestamp()"
_FIND = text(f"SELECT {_COLUMNS} FROM agent_oauth_login AS l WHERE l.link_hash = :link_hash AND {_GOOD}")  # noqa: S608
_COUNT = text(f"""
UPDATE agent_oauth_login AS l SET attempts = attempts + 1 WHERE l.id = :id AND l.attempts < :most AND {_GOOD}
""")  # noqa: S608  the texts above
_LEAVE = text(f"""
UPDATE agent_oauth_login AS l SET state_hash = :state_hash, browser_hash = :browser_hash,
    attempt = :attempt, attempt_until = clock_timestamp() + :seconds * interval '1 second'
WHERE l.id = :id AND {_GOOD}
""")  # noqa: S608  the texts above
# An attempt outlives its link: who has left in time may come back.
_COME_BACK = text(f"""
WITH found AS (
    SELECT {_COLUMNS}, l.attempt, l.browser_hash FROM agent_oauth_login AS l
    WHERE l.state_hash = :state_hash AND l.done_at IS NULL AND l.attempt_until > clock_timestamp() FOR UPDATE
), used AS (
    UPDATE agent_oauth_login AS l SET state_hash = NULL, attempt = NULL, browser_hash = NULL
    FROM found WHERE l.id = found.id
)
SELECT * FROM found
""")  # noqa: S608
_FINISH = text("UPDATE agent_oauth_login SET done_at = clock_timestamp(), state_hash = NULL WHERE id = :id")
_DROP = text(f"""
DELETE FROM agent_oauth_login WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM agent_oauth_login
    WHERE expires_at < statement_timestamp() - {ATTEMPT_SECONDS} * interval '1 second'
    LIMIT :rows FOR UPDATE SKIP LOCKED))
""")  # noqa: S608
