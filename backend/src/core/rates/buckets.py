"""Token buckets in memory: how much of something one user or one tenant may still do now. No I/O.

A bucket is one number: when it will be full again (the generic cell rate algorithm, ITU-T I.371). What is taken moves
that time into the future. As long as it is at most a window away, there is something left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

SWEEP_AT = 10_000
"""So many buckets are kept before the full ones are dropped. A full bucket is the same as none."""


# Compared by identity, and the two below are tuples: every request looks up its buckets.
@dataclass(frozen=True, eq=False)
class Rate:
    """How much is allowed in a window. A full bucket holds all of it at once."""

    name: str
    """What is counted, as the headers name it."""
    amount: int
    window_seconds: int

    @cached_property
    def seconds_each(self) -> float:
        """How long one takes to come back."""
        return self.window_seconds / self.amount

    @cached_property
    def policy(self) -> str:
        """What ``RateLimit-Policy`` says of it."""
        return f'"{self.name}";q={self.amount};w={self.window_seconds}'


class Bucket(NamedTuple):
    """Names one bucket."""

    rate: Rate
    owner: tuple[str, ...]
    """Of whom: a tenant, or a tenant and a user."""


class Level(NamedTuple):
    """What a bucket holds at a moment."""

    rate: Rate
    missing_seconds: float
    """How long until the bucket is full."""

    @property
    def left(self) -> int:
        """How many may be taken now."""
        return max(
            0, math.floor((self.rate.window_seconds - self.missing_seconds) / self.rate.seconds_each + 1e-6)
        )

    @property
    def wait_seconds(self) -> float:
        """How long until one may be taken; 0 if one may be taken now."""
        if self.left:
            return 0.0
        return self.missing_seconds + self.rate.seconds_each - self.rate.window_seconds


class Buckets:
    """The buckets of one process.

    Args:
        clock: Returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._full_at: dict[Bucket, float] = {}
        self._sweep_at = SWEEP_AT

    def level(self, bucket: Bucket) -> Level:
        """Return what a bucket holds now."""
        return Level(bucket.rate, max(0.0, self._full_at.get(bucket, 0.0) - self._clock()))

    def take(self, bucket: Bucket, amount: int = 1) -> None:
        """Take from a bucket, also more than it holds: the rest is a debt. A negative amount is given back."""
        self._sweep()
        full_at = max(self._full_at.get(bucket, 0.0), self._clock())
        self._full_at[bucket] = full_at + amount * bucket.rate.seconds_each

    def learn(self, bucket: Bucket, missing_seconds: float) -> None:
        """Note what all processes together took. A bucket is never fuller for it: this process knows its own part."""
        full_at = self._clock() + missing_seconds
        self._full_at[bucket] = max(self._full_at.get(bucket, 0.0), full_at)

    def _sweep(self) -> None:
        if len(self._full_at) < self._sweep_at:
            return
        now = self._clock()
        self._full_at = {bucket: full_at for bucket, full_at in self._full_at.items() if full_at > now}
        # Twice what is in use: a sweep costs as much as it finds.
        self._sweep_at = max(SWEEP_AT, 2 * len(self._full_at))
