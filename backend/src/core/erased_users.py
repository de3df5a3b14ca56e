"""What code below the erasure of users has to know of it: how an erased user is named, and who may write for one.

Rules:

1. While a user is being erased, a trigger refuses every new row with which a user's data begins (migration 0027).
   :func:`is_refused` knows the error.
2. Afterwards the user may come back as a new one. What a run of the time before still brings (a note, a reservation, the
   line of a model call) is known by its run, which is gone: it is dropped, or booked for nobody (:data:`NOBODY`).

See docs/adr/0065.
"""

from __future__ import annotations

import hashlib
import json

from core.store_failure import chain

LOCK = 1095189842
"""Class of the advisory locks: who writes for a user shares the lock, the beginning of an erasure has it alone."""
NOBODY = ""
"""The user of what is kept for accounting. No credential has this name."""

LOCK_NAME_SQL = "hashtext(CAST(:tenant_id AS text) || chr(31) || CAST(:user_id AS text))"
SHARE_LOCK_SQL = f"pg_advisory_xact_lock_shared({LOCK}, {LOCK_NAME_SQL})"
ERASED_LATELY_SQL = """EXISTS (
    SELECT FROM agent_erasure AS e WHERE e.subject = CAST(:subject AS bytea)
        AND e.asked_at > statement_timestamp() - interval '1 day')"""
"""Whether an erasure of the user has begun within a day. No run lasts as long."""


def subject_of(tenant_id: str, user_id: str) -> bytes:
    """Return the name of an erased user: SHA-256. It says nothing of the user to whoever does not know the user."""
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must differ.
    return hashlib.sha256(json.dumps([tenant_id, user_id]).encode()).digest()


def require_somebody(tenant_id: str, user_id: str) -> None:
    """Refuse to take the rows of nobody, or of no tenant, for those of a user.

    Raises:
        ValueError: One of the names is empty.
    """
    if not tenant_id or user_id == NOBODY:
        raise ValueError("a user and a tenant have names that are not empty")


def is_refused(error: BaseException) -> bool:
    """Say whether a row was refused because its user is being erased."""
    return any(getattr(link, "sqlstate", None) == "AR002" for link in chain(error))
