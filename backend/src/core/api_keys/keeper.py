"""Makes, lists, rotates and revokes API keys, for the command line and the routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from core.api_keys.key_form import digest_of, new_key, new_key_id
from core.api_keys.key_rules import (
    DEFAULT_DAYS,
    DEFAULT_OVERLAP_SECONDS,
    DEFAULT_SCOPES,
    MOST_OF_A_TENANT,
    check_key,
    check_lifetime,
    check_overlap,
)
from core.api_keys.key_store import KeyStore
from core.api_keys.stored_key import KnownKey
from core.credential_errors import KeyEnded
from core.errors import LimitExceeded, NotFound

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key and what is known of it. The only moment at which the key itself exists here."""

    key: str = field(repr=False)
    known: KnownKey


class KeyKeeper:
    """The API keys of a deployment, for those who administer them.

    Args:
        store: The rows.
        forget: Told the id of each key that was changed, so that this process sees the change at once.
    """

    def __init__(self, store: KeyStore, forget: Callable[[str], None] = lambda _key_id: None) -> None:
        self._store = store
        self._forget = forget

    async def create(
        self,
        *,
        tenant_id: str,
        user_id: str,
        by: str,
        name: str = "",
        scopes: Sequence[str] = DEFAULT_SCOPES,
        days: int | None = DEFAULT_DAYS,
    ) -> IssuedKey:
        """Make a key.

        Args:
            tenant_id: Whose.
            user_id: As whom its requests act.
            by: Who makes it, for the record.
            name: What it is for.
            scopes: What it permits.
            days: How long it is good; ``None``: for ever.

        Raises:
            InvalidRequest: A part is not valid; ``errors`` says which.
            LimitExceeded: The tenant has too many live keys.
        """
        wanted = tuple(sorted(set(scopes)))
        check_key(tenant_id, user_id, name, wanted, days)
        key_id = new_key_id()
        key = new_key(key_id)
        known = await self._store.add(
            key_id,
            digest_of(key),
            tenant_id=tenant_id,
            user_id=user_id,
            name=name,
            scopes=wanted,
            lasts=None if days is None else timedelta(days=days),
            by=by,
        )
        if known is None:
            raise LimitExceeded(
                f"A tenant may have {MOST_OF_A_TENANT} live API keys. Revoke those that nobody needs."
            )
        self._note("api_key_created", known, by, scopes=" ".join(wanted))
        return IssuedKey(key, known)

    async def page(
        self,
        tenant_id: str | None,
        *,
        user_id: str | None = None,
        ended: bool = False,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[KnownKey]:
        """Return keys, newest first. As :meth:`KeyStore.page`."""
        return await self._store.page(tenant_id, user_id=user_id, ended=ended, limit=limit, before=before)

    async def revoke(self, tenant_id: str | None, key_id: str, *, by: str) -> KnownKey:
        """End a key for ever. May be repeated: who revoked it first stays.

        Raises:
            NotFound: The tenant has no such key.
        """
        known = await self._store.revoke(tenant_id, key_id, by=by)
        if known is None:
            raise _no_key()
        self._note("api_key_revoked", known, by)
        return known

    async def rotate(
        self,
        tenant_id: str | None,
        key_id: str,
        *,
        by: str,
        overlap_seconds: int = DEFAULT_OVERLAP_SECONDS,
        days: int | None = None,
    ) -> IssuedKey:
        """Give a key another secret; the one before stays good for the overlap.

        Args:
            tenant_id: Whose; any when ``None``.
            key_id: Which.
            by: Who rotates it.
            overlap_seconds: 0: the secret before ends at once.
            days: How long the new secret is good; as long as the one before was to be when ``None``.

        Raises:
            InvalidRequest: A part is not valid.
            NotFound: The tenant has no such key.
            KeyEnded: The key was revoked or has expired.
        """
        check_lifetime(days)
        check_overlap(overlap_seconds)
        key = new_key(key_id)
        known = await self._store.rotate(
            tenant_id,
            key_id,
            digest_of(key),
            overlap=timedelta(seconds=overlap_seconds),
            lasts=None if days is None else timedelta(days=days),
            by=by,
        )
        if known is None:
            if await self._store.find(tenant_id, key_id) is None:
                raise _no_key()
            raise KeyEnded("The API key was revoked or has expired. Create a new one.")
        self._note("api_key_rotated", known, by)
        return IssuedKey(key, known)

    def _note(self, event: str, known: KnownKey, by: str, **more: str) -> None:
        self._forget(known.key_id)
        log.info(
            event, key_id=known.key_id, key_tenant=known.tenant_id, key_user=known.user_id, by=by, **more
        )


def _no_key() -> NotFound:
    return NotFound("There is no such API key.")
