"""API keys as they are stored, and as one may speak of them. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a check of a key needs."""

    key_id: str
    tenant_id: str
    user_id: str
    scopes: frozenset[str]
    version: int
    digest: bytes = field(repr=False)
    previous_digest: bytes | None = field(repr=False)
    previous_until: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What may be said about a key. No part of its secret is in it."""

    key_id: str
    tenant_id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    """``None``: never."""
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    rotated_by: str | None
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None
    previous_until: datetime | None
    """How long the secret before the last rotation is good."""
    is_over: bool = False
    """Whether ``expires_at`` has passed."""

    @property
    def state(self) -> Literal["live", "revoked", "expired"]:
        """Whether the key can be used."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.is_over else "live"
