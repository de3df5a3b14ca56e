"""What an API key may be: how long it lasts, what it permits, whose it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.errors import InvalidRequest
from core.scopes import SCOPES, is_scope
from core.text import visible

DEFAULT_DAYS = 90
MAX_DAYS = 366
"""The longest life that can be asked for in days. A key that never ends has to be asked for by that word."""
DEFAULT_OVERLAP_SECONDS = 86_400
MAX_OVERLAP_SECONDS = 7 * 86_400
DEFAULT_SCOPES = ("run", "read")
MAX_NAME_CHARACTERS = 128
MAX_SCOPES = 64
_ID = re.compile(r"[A-Za-z0-9._:-]{1,134}")
"""What an agent's id has, and every other scope."""
MOST_OF_A_TENANT = 1000
"""Keys of one tenant that are live at once."""


def check_key(tenant_id: str, user_id: str, name: str, scopes: Sequence[str], days: int | None) -> None:
    """Refuse a key that may not be.

    Raises:
        InvalidRequest: ``errors`` says which part.
    """
    for pointer, value, least in (("/tenantId", tenant_id, 1), ("/userId", user_id, 1), ("/name", name, 0)):
        if not least <= len(value) <= MAX_NAME_CHARACTERS:
            raise _invalid(pointer, f"must have {least} to {MAX_NAME_CHARACTERS} characters")
        if visible(value) != value or value != value.strip() or "\t" in value:
            raise _invalid(pointer, "must be visible text, without white space at its ends")
    if len(scopes) > MAX_SCOPES or not all(is_scope(scope) and _ID.fullmatch(scope) for scope in scopes):
        raise _invalid("/scopes", f"must be {', '.join(SCOPES)} or agent:NAME, {MAX_SCOPES} at most")
    if not any(scope in SCOPES for scope in scopes):
        raise _invalid("/scopes", f"permit nothing: name one of {', '.join(SCOPES)}")
    check_lifetime(days)


def check_lifetime(days: int | None) -> None:
    """Refuse a lifetime that may not be; ``None`` is allowed."""
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise _invalid("/expiresInDays", f"must be 1 to {MAX_DAYS}, or never")


def check_overlap(seconds: int) -> None:
    """Refuse an overlap that may not be."""
    if not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        raise _invalid("/overlapSeconds", f"must be 0 to {MAX_OVERLAP_SECONDS}")


def _invalid(pointer: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{pointer[1:]} {message}.", errors=[{"pointer": pointer, "message": message}])
