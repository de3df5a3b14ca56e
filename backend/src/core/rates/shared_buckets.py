"""What all processes take together: each one tells Redis ten times a second what it took, and learns what all took.

No request waits for this. A process decides by its own buckets (``buckets.py``), so a user who sends to many processes
at once may take too much for a tenth of a second. That is a debt in Redis, which every process learns. While Redis is
away, each process goes on with the same figures alone. See docs/adr/0055.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from itertools import islice

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.config import RedisSettings
from core.rates.buckets import Bucket, Buckets
from core.rates.rate_limits import RateLimits
from core.redis_kinds.scripts import ManyCalls

ROUND_SECONDS = 0.1
PAUSE_SECONDS = 1.0
"""After an error."""
MOST_AT_ONCE = 500
"""Buckets of one call: a script stops the server for as long as it runs."""

log = structlog.get_logger(__name__)

# A key holds when its bucket will be full, in microseconds: whole numbers, which Lua keeps exactly.
_TAKE = """
local time, missing = redis.call('TIME'), {}
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local full = math.max(tonumber(redis.call('GET', key) or 0), now) + ARGV[i]
  missing[i] = full - now
  redis.call('SET', key, string.format('%.0f', full), 'PX', math.max(1, math.ceil(missing[i] / 1000)))
end
return missing
"""

_FOR_ONE = _TAKE.replace("return missing", "return missing[1]")


class SharedBuckets:
    """Keeps the buckets of a process and those in Redis together.

    Args:
        redis: Client for short commands.
        settings: For the key prefix.
        buckets: Those of the process.
    """

    def __init__(self, redis: Redis, settings: RedisSettings, buckets: Buckets) -> None:
        self._prefix = settings.key_prefix
        self._buckets = buckets
        self._script = redis.register_script(_TAKE)
        self._calls = ManyCalls(redis, _FOR_ONE) if settings.is_cluster else None
        self._taken: Counter[Bucket] = Counter()
        self._more = asyncio.Event()
        self._away = False

    def note(self, bucket: Bucket, amount: int) -> None:
        """Note that this process took something: the next round tells the others."""
        self._taken[bucket] += amount
        self._more.set()

    async def run(self) -> None:
        """Do rounds until cancelled, as long as there is something to tell."""
        while True:
            await self._more.wait()
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self.round()
            except (RedisError, OSError, TimeoutError) as exc:
                if not self._away:
                    log.warning("rates_not_shared", error=type(exc).__name__)
                self._away = True
                await asyncio.sleep(PAUSE_SECONDS)

    async def round(self) -> None:
        """Tell what was taken since the last round, and learn what all took.

        Raises:
            RedisError, OSError, TimeoutError: Redis did not take it. What it was is forgotten: it counts in this
                process, and a second try could count it twice.
        """
        taken, self._taken = self._taken, Counter()
        self._more.clear()
        left = iter(taken.items())
        failed: list[Exception] = []
        while part := list(islice(left, MOST_AT_ONCE)):
            amounts = [round(amount * bucket.rate.seconds_each * 1e6) for bucket, amount in part]
            missing = await self._tell([bucket_key(self._prefix, bucket) for bucket, _ in part], amounts)
            for (bucket, _), microseconds in zip(part, missing, strict=True):
                if isinstance(microseconds, Exception):
                    failed.append(microseconds)
                    continue
                # What this process took while Redis answered is not in its answer.
                since = self._taken[bucket] * bucket.rate.seconds_each if bucket in self._taken else 0.0
                self._buckets.learn(bucket, max(0.0, microseconds / 1e6 + since))
        if failed:
            raise failed[0]
        self._away = False

    async def _tell(self, keys: list[str], amounts: list[int]) -> list[int | Exception]:
        """Tell what was taken of some buckets; returns the microseconds that each lacks, or why that is not known."""
        if self._calls is None:
            return await self._script(keys=keys, args=amounts)
        # In a cluster, each bucket is in a slot of its own.
        return await self._calls.run([([key], [amount]) for key, amount in zip(keys, amounts, strict=True)])


def bucket_key(prefix: str, bucket: Bucket) -> str:
    """Return the key of a bucket in Redis."""
    # The owner comes from a token: hashed, its length and its characters do not matter.
    owner = hashlib.sha256(json.dumps(bucket.owner).encode()).hexdigest()[:32]
    return f"{prefix}:rates:{bucket.rate.name}:{bucket.rate.window_seconds}:{owner}"


def shared_with(rates: RateLimits, redis: Redis, settings: RedisSettings) -> SharedBuckets:
    """Share the rates of a process with those of the others, from now on."""
    shared = SharedBuckets(redis, settings, rates.buckets)
    rates.tell(shared)
    return shared
