"""When a model call is tried again, and the wait before it. No I/O: clock and random numbers are arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A retry later than this would make the user wait for an answer that is unlikely to come.
RETRY_WINDOW_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 30.0
"""A provider that asks for a longer wait is not waited for: the user is told at once."""
_FIRST_DELAY_SECONDS = 0.5
_MAX_DELAY_SECONDS = 8.0

MAX_SILENCES = 2
"""So many tries of one call may wait for the whole first-token timeout, the fallback's included."""

# 408 and 409: lock and request timeouts of gateways; 425: a replayed TLS early-data request.
_TRANSIENT = frozenset({408, 409, 425, 429})


def is_transient(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the same request may succeed a little later.

    Source: OpenAI's client libraries, which also obey ``x-should-retry``: an exhausted quota is a 429 too, and waiting
    does not help there.
    """
    match headers.get("x-should-retry", ""):
        case "true":
            return True
        case "false":
            return False
        case _:
            return status in _TRANSIENT or status >= 500


def retry_after_seconds(
    headers: Mapping[str, str], now: Callable[[], datetime] | None = None
) -> float | None:
    """Read how long the provider asks to wait; ``None`` when it does not say.

    Source: RFC 9110, section 10.2.3 (seconds or a date); ``retry-after-ms`` is OpenAI's and Azure's. LiteLLM
    passes a provider's headers on with ``llm_provider-`` before their names.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after") or headers.get("llm_provider-retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - (now or _utc_now)()).total_seconds()) if when.tzinfo else None


def delay_seconds(retry: int, asked: float | None, dice: Callable[[], float]) -> float:
    """Return the wait before a retry: exponential with full jitter, and at least what the provider asked for.

    Args:
        retry: 1 for the first retry.
        asked: What ``Retry-After`` said; more than ``MAX_RETRY_AFTER_SECONDS`` counts as that.
        dice: Returns a number in [0, 1).

    Source: AWS Architecture Blog, "Exponential Backoff and Jitter".
    """
    ceiling = min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** (retry - 1))
    return max(dice() * ceiling, min(asked or 0.0, MAX_RETRY_AFTER_SECONDS))


def spoken_time(seconds: float) -> str:
    """Return a wait as people say it, rounded up: ``40 seconds``, ``2 minutes``, ``1 hour``, ``3 days``."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds > 1.5 * size or seconds == size:
            count = math.ceil(seconds / size)
            return f"{count} {unit}{'s' * (count > 1)}"
    return f"{math.ceil(seconds)} seconds"


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Tries:
    """The tries of one model call, over all its endpoints."""

    def __init__(self) -> None:
        self.count = 1
        """The number of the try that is made now."""
        self._silences = 0

    def may_follow(self, *, silent: bool, own: int, max_retries: int, late: bool, spare: bool) -> bool:
        """Take in a failed try; returns whether the same endpoint may be asked again.

        Args:
            silent: The try waited for the whole first-token timeout.
            own: The number of the try among those of its endpoint.
            max_retries: How many more an endpoint gets.
            late: The time for retries is over.
            spare: Another endpoint can be asked instead.
        """
        if not silent:
            return own <= max_retries and not late
        # A user who has waited for a whole timeout gets one more try, by the fallback if there is one.
        self._silences += 1
        return own <= max_retries and self._silences < MAX_SILENCES and not spare
