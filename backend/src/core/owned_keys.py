"""Which keys in Redis belong to a user, so that an erasure finds them: a set of names beside them.

The names of other keys cannot be listed: the user of the service may not, because ``SCAN`` shows those of everybody.
The set is written before a key, and lives at least as long.
"""

from __future__ import annotations

from redis.asyncio import Redis

from core.erased_users import subject_of
from core.identity import Principal

# In one step, as a script: in a cluster there are no transactions.
_NOTE = """
redis.call('SADD', KEYS[1], ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


def owner_mark(principal: Principal) -> str:
    """Return what stands for a user in the names of keys: a hash."""
    return subject_of(principal.tenant_id, principal.user_id).hex()


async def note_key(redis: Redis, prefix: str, principal: Principal, key: str, *, seconds: float) -> None:
    """Note that a key belongs to a user, before it is written.

    Args:
        redis: Client for short commands.
        prefix: Of the deployment.
        principal: Whose.
        key: Its name.
        seconds: How long it may live.

    Raises:
        RedisError, OSError, TimeoutError: Redis did not answer.
    """
    note = redis.register_script(_NOTE)
    # Longer than any of them: the next one begins the time anew.
    await note([_names(prefix, principal)], [key, max(int(seconds) + 60, _LEAST_SECONDS)])


async def drop_keys(redis: Redis, prefix: str, principal: Principal) -> int:
    """Delete every key that was noted for a user; returns how many there were.

    Raises:
        RedisError, OSError, TimeoutError: Redis did not answer.
    """
    names = _names(prefix, principal)
    dropped = 0
    for key in await redis.smembers(names):
        # One by one: in a cluster they are in different places.
        dropped += await redis.delete(key)
    await redis.delete(names)
    return dropped


_LEAST_SECONDS = 86_400
"""One kind of keys must not shorten the time of another one's names."""


def _names(prefix: str, principal: Principal) -> str:
    return f"{prefix}:owned:{owner_mark(principal)}"
