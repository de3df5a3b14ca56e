"""The limits of concurrent transcriptions: of one user in all processes, and of all users in one process.

Redis counts the transcriptions of a user across processes. Without Redis, each process counts only its own, so an
outage relaxes the limit but does not remove it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.config import RedisSettings
from core.errors import RateLimited
from core.identity import Principal
from core.owned_keys import owner_mark
from core.places import RETRY_AFTER_SECONDS, Places

log = structlog.get_logger(__name__)

# A slot is a member of the user's sorted set. Its score is the time after which the slot counts as lost.
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
        """Hold a slot.

        Raises:
            RateLimited: The user already holds the maximum number of slots.
            Overloaded: This process already has the maximum number of transcriptions.
        """
        ...


class LocalSlots:
    """Counts in one process."""

    def __init__(self, *, max_per_user: int, max_total: int) -> None:
        self.max_per_user: int = max_per_user
        self._places = Places(max_per_user, max_total)

    @asynccontextmanager
    async def take(self, principal: Principal) -> AsyncIterator[None]:
        full = "Too many transcriptions are in progress. Try again soon."
        with self._places.hold(principal, too_many=_too_many(self.max_per_user), full=full):
            yield


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
            lost_after_seconds: Longer than any request. After this time, the slot of a dead process is free again.
        """
        self._redis = redis
        self._prefix = settings.key_prefix
        self._local = local
        self._lost_after_seconds = int(lost_after_seconds) + 1
        self._take = redis.register_script(_TAKE)

    @asynccontextmanager
    async def take(self, principal: Principal) -> AsyncIterator[None]:
        async with self._local.take(principal):
            name = slots_key(self._prefix, principal)
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
            raise RateLimited(_too_many(self._local.max_per_user), retry_after_seconds=RETRY_AFTER_SECONDS)

    async def _release(self, name: str, slot: str) -> None:
        try:
            await self._redis.zrem(name, slot)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_slot_not_released", error=type(exc).__name__)


def slots_key(prefix: str, principal: Principal) -> str:
    """Return the key of a user's slots in Redis."""
    return f"{prefix}:transcription:slots:{owner_mark(principal)}"


def _too_many(limit: int) -> str:
    return f"A user may run {limit} transcriptions at once. Try again when one has ended."
