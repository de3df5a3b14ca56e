"""What Redis knows of a user: stream tickets, rates, and transcriptions that are kept for repeated uploads.

The tails of threads go before the threads: afterwards nobody would know their names. Hints name runs by numbers only.
"""

from __future__ import annotations

from redis.asyncio import Redis

from core.agentscope.events.redis_bus import drop_tail
from core.config import RedisSettings
from core.identity import Principal
from core.owned_keys import drop_keys
from core.rates.rate_limits import RateLimits
from core.rates.shared_buckets import bucket_key
from core.transcription.slots import slots_key


class RedisTraces:
    """What the keys of a deployment know of its users.

    Args:
        redis: Client for short commands.
        settings: For the key prefix.
        rates: The rates of the deployment.
    """

    def __init__(self, redis: Redis, settings: RedisSettings, rates: RateLimits) -> None:
        self._redis = redis
        self._settings = settings
        self._rates = rates

    async def drop_tail(self, session_id: int) -> None:
        """Delete the newest events of a thread, which must not come back.

        Raises:
            RedisError, OSError, TimeoutError: Redis did not answer.
        """
        await drop_tail(self._redis, self._settings, session_id)

    async def erase(self, principal: Principal) -> dict[str, int]:
        """Delete the keys of a user; returns how many there were, by what they are.

        Raises:
            RedisError, OSError, TimeoutError: Redis did not answer.
        """
        prefix = self._settings.key_prefix
        noted = await drop_keys(self._redis, prefix, principal)
        places = await self._redis.delete(slots_key(prefix, principal))
        rates = 0
        for bucket in self._rates.of_user(principal):
            rates += await self._redis.delete(bucket_key(prefix, bucket))
        return {"redis: tickets and transcriptions": noted + places, "redis: rates": rates}
