"""How long a client waits before it tries again. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

CAP_SECONDS = 30.0
"""The longest wait at random, unless a client has its own."""
LONGEST_WAIT_SECONDS = 120.0
"""If a server names a longer time, the caller is told instead of kept waiting."""

Random = Callable[[], float]
"""Returns a number from 0 to 1."""


def pause(
    failures: int,
    *,
    base_seconds: float,
    at_least_seconds: float = 0.0,
    cap_seconds: float = CAP_SECONDS,
    random: Random = random.random,
) -> float:
    """Return the seconds to wait after a number of failures in a row, at random ("full jitter").

    All clients of a process that ends are cut off in the same moment. At random, they do not come back in one, too.

    Args:
        failures: 1 for the first.
        base_seconds: The longest wait after the first failure; it doubles with each one.
        at_least_seconds: What the server named (``Retry-After``). The wait at random is added to it.
        cap_seconds: The longest wait at random.
        random: Of the wait.

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    longest = min(cap_seconds, base_seconds * 2 ** min(failures - 1, 16))
    return at_least_seconds + longest * random()


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Read ``Retry-After``: seconds, or a date. ``None`` if it is absent or neither.

    Source: RFC 9110, section 10.2.3.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
