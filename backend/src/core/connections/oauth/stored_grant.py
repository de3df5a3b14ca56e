"""Reads the grant in a stored connection."""

from __future__ import annotations

from core.connections.oauth.grants import Grant
from core.connections.store import Connection


def stored_grant(found: Connection | None) -> Grant | None:
    """Return what a user has granted; ``None`` without a login, and for one that cannot be read."""
    if found is None or found.known.kind != "oauth":
        return None
    try:
        return Grant.from_json(found.secret)
    except ValueError:
        return None
