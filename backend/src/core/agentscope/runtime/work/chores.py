"""Turns: of all workers, one does a periodic chore in a period. The cost does not grow with the number of workers.

A turn is a time in Postgres, moved on by whoever takes the turn. Nobody holds anything meanwhile: if the worker dies,
another one takes the next turn.

Who took a turn tells the others over Redis, and they do not ask Postgres before the next turn is due. So the same
worker goes on, and the others step in as soon as it is silent. A message that is lost costs a question; without Redis,
each worker asks once in a period. See docs/adr/0063.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.work.subscription import listen
from core.config import RedisSettings
from core.direct_sql import fetch
from core.redis_kinds.channels import publish

LATER_SECONDS = (0.2, 0.6)
"""How much later than the next turn is due the others look: between these, drawn for each. They do not look at once,
and whoever had the last turn has the next one."""

# The first turn ever has no row yet.
_TAKE_TURN = """
WITH taken AS (
    UPDATE agent_chore SET next_at = clock_timestamp() + $2::float8 * interval '1 second'
    WHERE name = $1::text AND next_at <= clock_timestamp() RETURNING name
), first AS (
    INSERT INTO agent_chore (name, next_at) SELECT $1::text, clock_timestamp() + $2::float8 * interval '1 second'
    WHERE NOT EXISTS (SELECT 1 FROM agent_chore WHERE name = $1::text)
    ON CONFLICT DO NOTHING RETURNING name
)
SELECT EXISTS (SELECT FROM taken UNION ALL SELECT FROM first) AS is_mine,
    -- Of the snapshot: whoever lost a race reads a time that is over, and looks again soon.
    (SELECT extract(epoch FROM next_at - clock_timestamp())::float8 FROM agent_chore WHERE name = $1::text)
        AS seconds_left
"""


async def take_turn(engine: AsyncEngine, name: str, seconds: float) -> bool:
    """Take the turn of a chore; False when it is not due, or another worker has just taken it.

    Args:
        engine: Of the database that all workers share.
        name: Of the chore.
        seconds: The period: the next turn can be taken after this time.
    """
    return (await _ask(engine, name, seconds))[0]


async def _ask(engine: AsyncEngine, name: str, seconds: float) -> tuple[bool, float]:
    """Return whether the turn is ours, and in how many seconds it is due if it is not."""
    (row,) = await fetch(engine, _TAKE_TURN, name, seconds)
    return row["is_mine"], row["seconds_left"] or 0.0


class Turns:
    """When this worker looks for turns of chores, and what it tells the other workers.

    Args:
        engine: Of the database that all workers share.
        redis: Of the process; None for one that neither tells nor hears.
        settings: Of the channel.
        clock: Seconds that only go on; that of the event loop if absent.
        later: Draws how much later than due this worker looks for what another one does.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Redis | None = None,
        settings: RedisSettings | None = None,
        *,
        clock: Callable[[], float] | None = None,
        later: Callable[[], float] = lambda: random.uniform(*LATER_SECONDS),  # noqa: S311  not a secret
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._settings = settings or RedisSettings()
        self._clock = clock
        self._later = later
        self._name = uuid.uuid4().hex
        self._look_at: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        """When another worker's turn was heard of, and how much later than due we look: the sum."""
        self._telling: dict[str, asyncio.Task[None]] = {}

    def wait_seconds(self, name: str, seconds: float) -> float:
        """Return in how many seconds this worker looks for a chore of this period; 0 if now."""
        heard = self._heard.get(name)
        look_at = self._look_at.get(name, 0.0)
        if heard is not None:
            look_at = max(look_at, heard + seconds)
        return max(look_at - self._now(), 0.0)

    async def take(self, name: str, seconds: float) -> bool:
        """Take the turn of a chore as ``take_turn`` does, if it can be due as far as this worker knows."""
        if self.wait_seconds(name, seconds) > 0:
            return False
        is_mine, seconds_left = await _ask(self._engine, name, seconds)
        if is_mine:
            self.did(name, seconds)
        else:
            # No longer than a period, whatever stands there.
            self._look_at[name] = self._now() + min(max(seconds_left, 0.0), seconds) + self._later()
        return is_mine

    def did(self, name: str, seconds: float, *, alone: bool = True) -> None:
        """Note that this worker does a chore now, and tell the others that they need not, if it does it ``alone``."""
        self._look_at[name] = self._now() + seconds
        if alone and self._redis is not None and name not in self._telling:
            # Beside the chore: a Redis that is silent makes none wait.
            self._telling[name] = asyncio.create_task(self._tell(self._redis, name))

    def step_back(self) -> None:
        """Let others have the next turns: what this worker did went wrong. Without others, it goes on by itself."""
        # Behind the latest of them.
        latest = self._now() + LATER_SECONDS[1] * 2
        for name, look_at in self._look_at.items():
            self._look_at[name] = max(look_at + LATER_SECONDS[1] * 2, latest)

    def hear(self, message: bytes) -> None:
        """Take in what a worker told: who it is, and which chore it does."""
        who, _, name = message.decode(errors="replace").partition(" ")
        if who != self._name:
            self._heard[name] = self._now() + self._later()

    async def run(self) -> None:
        """Listen to the others until cancelled."""
        if self._redis is not None:
            await listen(self._redis, self._channel, self.hear, lost="turns_not_heard")

    async def _tell(self, redis: Redis, name: str) -> None:
        try:
            async with asyncio.timeout(self._settings.command_timeout_seconds):
                await publish(redis, self._channel, f"{self._name} {name}")
        except (RedisError, OSError, TimeoutError):
            # They ask Postgres. The hints, which go the same way, say so in the log.
            return
        finally:
            self._telling.pop(name, None)

    @property
    def _channel(self) -> str:
        return f"{self._settings.key_prefix}:turns"

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()
