"""The rates of a deployment: how much a user and a tenant may do in a time, and what they are told of it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from core.config import RateSettings
from core.errors import RateLimited
from core.identity import Principal
from core.rates.buckets import Bucket, Buckets, Level, Rate

Counted = Literal["requests", "runs", "upload-bytes"]
Owner = Literal["user", "tenant"]

MINUTE, HOUR = 60, 3600
_JITTER = 0.25
"""Those who are refused together do not come back together."""

_WORDS: dict[Counted, str] = {
    "requests": "Too many requests",
    "runs": "Too many runs were started",
    "upload-bytes": "Too many bytes were uploaded",
}


class Told(Protocol):
    """Is told what was taken, for the other processes."""

    def note(self, bucket: Bucket, amount: int) -> None: ...


class Reservation:
    """Something taken in advance. It is given back if it is not used."""

    used: bool = False


class RateLimits:
    """Admits what principals do, by their buckets.

    Local mode has one user and no rates.

    Args:
        settings: How much; 0 is no limit.
        clock: Returns seconds that never go back.
    """

    def __init__(self, settings: RateSettings, clock: Callable[[], float] = time.monotonic) -> None:
        amounts: list[tuple[Counted, Owner, int, int]] = [
            ("requests", "user", settings.user_requests_per_minute, MINUTE),
            ("requests", "tenant", settings.tenant_requests_per_minute, MINUTE),
            ("runs", "user", settings.user_runs_per_minute, MINUTE),
            ("runs", "tenant", settings.tenant_runs_per_minute, MINUTE),
            ("upload-bytes", "user", settings.user_upload_bytes_per_hour, HOUR),
            ("upload-bytes", "tenant", settings.tenant_upload_bytes_per_hour, HOUR),
        ]
        self._rates: dict[Counted, list[tuple[Owner, Rate]]] = {
            "requests": [],
            "runs": [],
            "upload-bytes": [],
        }
        for counted, owner, amount, window in amounts:
            if amount:
                self._rates[counted].append((owner, Rate(f"{owner}-{counted}", amount, window)))
        self.buckets: Buckets = Buckets(clock)
        self._told: Told | None = None

    def tell(self, told: Told) -> None:
        """Tell what is taken from now on."""
        self._told = told

    def check(self, principal: Principal, counted: Counted) -> None:
        """Refuse a principal who has used up a bucket; nothing is taken.

        Raises:
            RateLimited: With the time after which there is something in it again.
        """
        if (refusal := self.refusal(principal, counted)) is not None:
            raise refusal

    def refusal(self, principal: Principal, counted: Counted) -> RateLimited | None:
        """Return the refusal of a principal who has used up a bucket; ``None`` if there is something in all of them."""
        for owner, bucket in self._buckets_of(principal, counted):
            if wait := self.buckets.level(bucket).wait_seconds:
                return _refusal(owner, counted, bucket.rate, wait)
        return None

    def take(self, principal: Principal, counted: Counted, amount: int = 1) -> None:
        """Take from the buckets of a principal, also more than they hold. A negative amount is given back."""
        for _, bucket in self._buckets_of(principal, counted):
            self.buckets.take(bucket, amount)
            if self._told is not None:
                self._told.note(bucket, amount)

    @contextmanager
    def reserve(self, principal: Principal, counted: Counted) -> Iterator[Reservation]:
        """Take one while the context lasts; give it back at its end if it was not used.

        Raises:
            RateLimited: As :meth:`check`.
        """
        self.check(principal, counted)
        self.take(principal, counted)
        reservation = Reservation()
        try:
            yield reservation
        finally:
            if not reservation.used:
                self.take(principal, counted, -1)

    def levels(self, principal: Principal, counted: Iterable[Counted]) -> list[Level]:
        """Return what the buckets of a principal hold."""
        return [
            self.buckets.level(bucket) for kind in counted for _, bucket in self._buckets_of(principal, kind)
        ]

    def of_user(self, principal: Principal) -> list[Bucket]:
        """Return every bucket of a user, without those of its tenant."""
        return [
            bucket
            for kind in self._rates
            for owner, bucket in self._buckets_of(principal, kind)
            if owner == "user"
        ]

    def _buckets_of(self, principal: Principal, counted: Counted) -> Iterator[tuple[Owner, Bucket]]:
        if principal.trusted:
            return
        for owner, rate in self._rates[counted]:
            names = (principal.tenant_id, principal.user_id) if owner == "user" else (principal.tenant_id,)
            yield owner, Bucket(rate, names)


def rate_headers(levels: list[Level]) -> dict[str, str]:
    """Return the headers that say what is left (draft-ietf-httpapi-ratelimit-headers-10); none without a limit."""
    if not levels:
        return {}
    return {
        "RateLimit-Policy": ", ".join([level.rate.policy for level in levels]),
        "RateLimit": ", ".join(
            [f'"{level.rate.name}";r={level.left};t={math.ceil(level.missing_seconds)}' for level in levels]
        ),
    }


def _refusal(owner: Owner, counted: Counted, rate: Rate, wait: float) -> RateLimited:
    whose = "your" if owner == "user" else "your organisation's"
    limit = f"{whose} limit is {rate.amount} in {rate.window_seconds} seconds"
    return RateLimited(
        f"{_WORDS[counted]}: {limit}. Send this again after the time in Retry-After.",
        retry_after_seconds=wait + random.uniform(0, max(1.0, wait * _JITTER)),  # noqa: S311  not for security
    )
