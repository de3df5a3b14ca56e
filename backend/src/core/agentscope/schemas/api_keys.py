"""API keys as those see them who administer them. A key itself is in the answer that makes it, and in no other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from core.agentscope.schemas.agent_runtime import without_nulls
from core.agentscope.schemas.messages import WireModel
from core.agentscope.schemas.page_place import micros_of, read_place, time_of, write_place
from core.api_keys.key_rules import (
    DEFAULT_DAYS,
    DEFAULT_OVERLAP_SECONDS,
    DEFAULT_SCOPES,
    MAX_DAYS,
    MAX_NAME_CHARACTERS,
    MAX_OVERLAP_SECONDS,
    MAX_SCOPES,
)
from core.api_keys.stored_key import KnownKey

_FORM = re.compile(r"([1-9][0-9]{0,17})\.([0-9A-Za-z]{1,32})")


class CreateKeyCommand(WireModel):
    """Body of ``POST /keys``."""

    user_id: str = Field(
        max_length=MAX_NAME_CHARACTERS,
        description="As whom the key acts: an id as in the tokens of users, or a name for a machine.",
    )
    name: str = Field(default="", max_length=MAX_NAME_CHARACTERS, description="What the key is for.")
    scopes: list[str] = Field(
        default=list(DEFAULT_SCOPES),
        max_length=MAX_SCOPES,
        description="`run`, `read`, `admin`; `agent:NAME` narrows the key to the named agents.",
    )
    expires_in_days: int | Literal["never"] = Field(
        default=DEFAULT_DAYS,
        description=f"1 to {MAX_DAYS}. A key that never expires has to be asked for: `never`.",
    )

    _null_is_absent = model_validator(mode="before")(without_nulls)


class RotateKeyCommand(WireModel):
    """Body of ``POST /keys/{keyId}/rotate``."""

    overlap_seconds: int = Field(
        default=DEFAULT_OVERLAP_SECONDS,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="How long the secret before stays good; 0: it ends at once.",
    )
    expires_in_days: int | None = Field(
        default=None,
        ge=1,
        le=MAX_DAYS,
        description="How long the new secret is good. If absent, as long as the one before was to be.",
    )

    _null_is_absent = model_validator(mode="before")(without_nulls)


class ApiKeyItem(WireModel):
    """An API key, without its secret."""

    key_id: str
    """The part of the key behind ``ar_``. No secret."""
    user_id: str
    """As whom its requests act."""
    name: str
    scopes: list[str]
    state: Literal["live", "revoked", "expired"]
    created_at: datetime
    created_by: str
    """``user:``, ``key:`` or ``cli:``, and who."""
    expires_at: datetime | None = None
    """Absent: never."""
    last_used_at: datetime | None = None
    """To about a minute."""
    rotated_at: datetime | None = None
    rotated_by: str | None = None
    previous_until: datetime | None = None
    """How long the secret before the last rotation is good."""
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    @classmethod
    def of(cls, known: KnownKey, **more: Any) -> Self:
        """Return what is known of a key."""
        values: dict[str, Any] = {
            name: getattr(known, name) for name in ApiKeyItem.model_fields if name != "scopes"
        }
        return cls(scopes=list(known.scopes), **values, **more)


class IssuedKeyResponse(ApiKeyItem):
    """A key that was made just now."""

    key: str
    """The key. It is shown once: keep it."""


class ApiKeyListResponse(WireModel):
    """A page of the keys of the caller's tenant, newest first."""

    keys: list[ApiKeyItem]
    next_before: str | None = None
    """``before`` of the next page; null on the last one."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"keys": [item.wire() for item in self.keys], "nextBefore": self.next_before}


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a page of keys ends: behind the key of this time and id. Opaque on the wire."""

    created_at: datetime
    key_id: str

    @classmethod
    def parse(cls, text: str) -> KeyPlace:
        """Read a place; ``parse(str(place)) == place``.

        Raises:
            ValueError: The text is no place that a page gave.
        """
        found = read_place(text, _FORM)
        return cls(time_of(found[1]), found[2])

    def __str__(self) -> str:
        return write_place(f"{micros_of(self.created_at)}.{self.key_id}")
