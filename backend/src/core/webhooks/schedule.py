"""When a message is sent again: the schedule of Standard Webhooks. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PAUSES_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first try, which is made at once, each failure is followed by a pause. After the last try, none."""
TRIES = len(PAUSES_SECONDS) + 1
_JITTER = 0.1
_LONGEST_SECONDS = 86_400.0


def pause_after(failures: int, retry_after_seconds: float | None, *, name: str = "") -> float | None:
    """Return the seconds until the next try; ``None`` if there is no further one.

    Messages that failed together come back up to a tenth of their pause apart.

    Args:
        failures: How many tries have failed.
        retry_after_seconds: What the receiver has asked for.
        name: Of the message: decides how much later than the schedule says.
    """
    if failures >= TRIES:
        return None
    share = hashlib.sha256(name.encode()).digest()[0] / 255
    pause = PAUSES_SECONDS[failures - 1] * (1 + _JITTER * share)
    return min(max(pause, retry_after_seconds or 0.0), _LONGEST_SECONDS * (1 + _JITTER))


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After``, which is a number or a date; ``None`` if it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        # Longer numbers mean nothing that the schedule does not cap.
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
