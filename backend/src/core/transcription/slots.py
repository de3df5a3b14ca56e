"""How many transcriptions may go on at once: of one user everywhere, and of everybody in one process.

Redis counts a user's across processes. Without it each process counts its own,
so that an outage makes the limit looser and never lifts it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.config import RedisSettings
from core.errors import Overloaded, RateLimited
from core.identity import Principal

log = structlog.get_logger(__name__)

# A slot is a member of the user's sorted set, scored with the time at which it is given up for lost.
_TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""


class Slots(Protocol):
    """Admits a request for as long as its context lasts."""

    def take(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Hold a place.

        Raises:
            RateLimited: The user has as many as a user may have.
            Overloaded: This process has as many as it can serve.
        """
        ...


class LocalSlots:
    """Counts in one process."""

    def __init__(self, *, max_per_user: int, max_total: int) -> None:
        self.max_per_user: int = max_per_user
        self._max_total = max_total
        self._taken: Counter[Principal] = Counter()

    @asynccontextmanager
    async def take(self, principal: Principal) -> AsyncIterator[None]:
        if self._taken[principal] >= self.max_per_user:
            raise too_many(self.max_per_user)
        if self._taken.total() >= self._max_total:
            raise Overloaded("Too many transcriptions are in progress. Try again soon.")
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


class SharedSlots:
    """Counts in Redis too, for all processes."""

    def __init__(
        self, redis: Redis, settings: RedisSettings, local: LocalSlots, *, lost_after_seconds: float
    ) -> None:
        """Take the counters.

        Args:
            redis: Client for short commands.
            settings: For the key prefix.
            local: What counts in this process, with the same limit for a user.
            lost_after_seconds: Longer than any request takes; then the slot of a
                process that died is free again.
        """
        self._redis = redis
        self._prefix = f"{settings.key_prefix}:transcription:slots"
        self._local = local
        self._lost_after_seconds = int(lost_after_seconds) + 1
        self._take = redis.register_script(_TAKE)

    @asynccontextmanager
    async def take(self, principal: Principal) -> AsyncIterator[None]:
        async with self._local.take(principal):
            user = json.dumps([principal.tenant_id, principal.user_id]).encode()
            name = f"{self._prefix}:{hashlib.sha256(user).hexdigest()}"
            slot = secrets.token_hex(8)
            await self._acquire(name, slot)
            try:
                yield
            finally:
                await self._release(name, slot)

    async def _acquire(self, name: str, slot: str) -> None:
        arguments = [self._local.max_per_user, self._lost_after_seconds, slot]
        try:
            taken = await self._take(keys=[name], args=arguments)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_slots_not_shared", error=type(exc).__name__)
            return
        if not taken:
            raise too_many(self._local.max_per_user)

    async def _release(self, name: str, slot: str) -> None:
        try:
            await self._redis.zrem(name, slot)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_slot_not_released", error=type(exc).__name__)


def too_many(limit: int) -> RateLimited:
    return RateLimited(
        f"A user may run {limit} transcriptions at once. Try again when one has ended.",
        retry_after_seconds=2,
    )
