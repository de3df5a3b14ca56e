"""The rows of API keys. The only file that reads or writes them.

Rules:

1. Of a key, only its SHA-256 is stored. A row is never deleted: it says who made the key, and who revoked it.
2. A key that has ended (revoked or expired) never comes back. Rotation gives a live key another secret; the one before
   stays good for an overlap, and the one before that ends at once.
3. The clock is that of Postgres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.api_keys.key_rules import MOST_OF_A_TENANT
from core.api_keys.stored_key import KnownKey, StoredKey

_KNOWN = (
    "key_id, tenant_id, user_id, name, scopes, expires_at, created_at, created_by, rotated_at, rotated_by, revoked_at, "
    "revoked_by, last_used_at, previous_until, "
    "coalesce(expires_at <= statement_timestamp(), false) AS is_over"
)


class KeyStore:
    """The API keys of a deployment."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self, key_ids: Sequence[str]) -> dict[str, StoredKey]:
        """Return the keys of these ids; those that do not exist are left out."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_LOAD, {"ids": list(key_ids)})).mappings().all()
        return {row["key_id"]: _stored(row) for row in rows}

    async def add(
        self,
        key_id: str,
        digest: bytes,
        *,
        tenant_id: str,
        user_id: str,
        name: str,
        scopes: Sequence[str],
        lasts: timedelta | None,
        by: str,
    ) -> KnownKey | None:
        """Add a key; ``None`` if the tenant has ``MOST_OF_A_TENANT`` of them.

        Args:
            key_id: Of the key.
            digest: Of the whole key.
            tenant_id: Whose.
            user_id: As whom its requests act.
            name: What it is for.
            scopes: What it permits.
            lasts: How long it is good; for ever when ``None``.
            by: Who made it.
        """
        values = {
            "key_id": key_id,
            "digest": digest,
            "tenant_id": tenant_id,
            "user_id": user_id,
            "name": name,
        }
        values |= {"scopes": list(scopes), "lasts": lasts, "by": by, "most": MOST_OF_A_TENANT}
        return await self._write(_ADD, values)

    async def page(
        self,
        tenant_id: str | None,
        *,
        user_id: str | None = None,
        ended: bool = False,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[KnownKey]:
        """Return keys, newest first.

        Args:
            tenant_id: Whose; of all tenants when ``None``.
            user_id: Only those that act as this user.
            ended: Also those that are revoked or expired.
            limit: How many at most.
            before: Only keys behind this one in the order: when it was made, and its id.
        """
        made, key_id = before or (None, None)
        values = {"tenant_id": tenant_id, "user_id": user_id, "ended": ended, "limit": limit}
        async with self._engine.connect() as connection:
            found = await connection.execute(
                _PAGE if tenant_id is not None else _PAGE_OF_ALL, values | {"made": made, "before": key_id}
            )
            return [_known(row) for row in found.mappings()]

    async def find(self, tenant_id: str | None, key_id: str) -> KnownKey | None:
        """Return a key; ``None`` if the tenant has none of this id."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_FIND, {"tenant_id": tenant_id, "key_id": key_id})
            row = found.mappings().one_or_none()
        return None if row is None else _known(row)

    async def revoke(self, tenant_id: str | None, key_id: str, *, by: str) -> KnownKey | None:
        """End a key for ever; ``None`` if the tenant has none of this id. Who revoked it first stays."""
        return await self._write(_REVOKE, {"tenant_id": tenant_id, "key_id": key_id, "by": by})

    async def rotate(
        self,
        tenant_id: str | None,
        key_id: str,
        digest: bytes,
        *,
        overlap: timedelta,
        lasts: timedelta | None,
        by: str,
    ) -> KnownKey | None:
        """Give a live key another secret; ``None`` if the tenant has no live key of this id.

        Args:
            tenant_id: Whose; any when ``None``.
            key_id: Which.
            digest: Of the key with its new secret.
            overlap: How long the secret before stays good, if the key would have lasted that long.
            lasts: How long the new secret is good; as long as the one before was to be when ``None``.
            by: Who rotates it.
        """
        values = {"tenant_id": tenant_id, "key_id": key_id, "digest": digest, "overlap": overlap}
        return await self._write(_ROTATE, values | {"lasts": lasts, "by": by})

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Write when keys were last used, in one statement. What another process wrote a moment ago stays."""
        values = {"ids": sorted(uses), "times": [uses[key_id] for key_id in sorted(uses)]}
        async with self._engine.begin() as connection:
            await connection.execute(_USED, values)

    async def _write(self, statement: Any, values: dict[str, Any]) -> KnownKey | None:
        async with self._engine.begin() as connection:
            row = (await connection.execute(statement, values)).mappings().one_or_none()
        return None if row is None else _known(row)


def _stored(row: RowMapping) -> StoredKey:
    values: dict[str, Any] = dict(row)
    values["scopes"] = frozenset(row["scopes"])
    return StoredKey(**values)


def _known(row: RowMapping) -> KnownKey:
    values: dict[str, Any] = dict(row)
    values["scopes"] = tuple(row["scopes"])
    return KnownKey(**values)


_LIVE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > statement_timestamp())"
_OF_TENANT = "key_id = :key_id AND (CAST(:tenant_id AS text) IS NULL OR tenant_id = :tenant_id)"

_LOAD = text("""
SELECT key_id, tenant_id, user_id, scopes, version, digest, previous_digest, previous_until, expires_at, revoked_at
FROM agent_api_key WHERE key_id = ANY (CAST(:ids AS text[]))
""")

_ADD = text(f"""
INSERT INTO agent_api_key (key_id, digest, tenant_id, user_id, name, scopes, expires_at, created_by)
SELECT CAST(:key_id AS text), CAST(:digest AS bytea), CAST(:tenant_id AS text), CAST(:user_id AS text),
    CAST(:name AS text), CAST(:scopes AS text[]), statement_timestamp() + CAST(:lasts AS interval), CAST(:by AS text)
WHERE (
    SELECT count(*) FROM agent_api_key WHERE tenant_id = CAST(:tenant_id AS text) AND {_LIVE}
) < CAST(:most AS integer)
RETURNING {_KNOWN}
""")  # noqa: S608  constants

_WANTED = f"""
    (CAST(:user_id AS text) IS NULL OR user_id = :user_id) AND (CAST(:ended AS boolean) OR ({_LIVE}))
    AND (CAST(:made AS timestamptz) IS NULL OR (created_at, key_id) < (:made, CAST(:before AS text)))
ORDER BY created_at DESC, key_id DESC LIMIT CAST(:limit AS integer)
"""
_PAGE = text(f"SELECT {_KNOWN} FROM agent_api_key WHERE tenant_id = :tenant_id AND {_WANTED}")  # noqa: S608  constants
# For the command line: the tables of a deployment hold a thousand live keys of a tenant at most.
_PAGE_OF_ALL = text(f"SELECT {_KNOWN} FROM agent_api_key WHERE {_WANTED}")  # noqa: S608  constants

_FIND = text(f"SELECT {_KNOWN} FROM agent_api_key WHERE {_OF_TENANT}")  # noqa: S608  constants

_REVOKE = text(f"""
UPDATE agent_api_key SET
    revoked_by = CASE WHEN revoked_at IS NULL THEN CAST(:by AS text) ELSE revoked_by END,
    revoked_at = coalesce(revoked_at, statement_timestamp())
WHERE {_OF_TENANT}
RETURNING {_KNOWN}
""")  # noqa: S608  constants

_ROTATE = text(f"""
UPDATE agent_api_key SET
    previous_digest = CASE WHEN CAST(:overlap AS interval) > interval '0' THEN digest END,
    previous_until = CASE WHEN CAST(:overlap AS interval) > interval '0'
        THEN least(expires_at, statement_timestamp() + CAST(:overlap AS interval)) END,
    digest = CAST(:digest AS bytea),
    version = version + 1,
    expires_at = statement_timestamp()
        + coalesce(CAST(:lasts AS interval), expires_at - coalesce(rotated_at, created_at)),
    rotated_at = statement_timestamp(),
    rotated_by = CAST(:by AS text)
WHERE {_OF_TENANT} AND {_LIVE}
RETURNING {_KNOWN}
""")  # noqa: S608  constants

_USED = text("""
UPDATE agent_api_key AS k SET last_used_at = u.used_at
FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS u (key_id, used_at)
WHERE k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.used_at - interval '50 seconds')
""")
