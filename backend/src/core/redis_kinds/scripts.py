"""A Lua script that is called many times at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from core.redis_kinds.cluster import Command, execute_many

Call = tuple[Sequence[str], Sequence[str | int]]
"""Keys, all of one slot, and arguments."""


class ManyCalls:
    """Calls a script, and loads it where it is missing: after a restart, a flush, or at a server that is new in its place."""

    def __init__(self, redis: Redis, script: str) -> None:
        self._redis = redis
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Call the script, with all calls together.

        Returns:
            The result of each call, or the error with which it failed.

        Raises:
            RedisError, OSError, TimeoutError: No call was answered.
        """
        commands: list[Command] = [("EVALSHA", self._sha, len(keys), *keys, *args) for keys, args in calls]
        results = await execute_many(self._redis, commands)
        missing = [place for place, result in enumerate(results) if isinstance(result, NoScriptError)]
        if missing:
            # These calls did nothing.
            await self._redis.script_load(self._script)
            again = await execute_many(self._redis, [commands[place] for place in missing])
            for place, result in zip(missing, again, strict=True):
                results[place] = result
        return results
