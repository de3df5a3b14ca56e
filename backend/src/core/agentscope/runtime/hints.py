"""Hints to workers: "a run waits" and "a run should stop".

A hint only saves latency and may be lost. Postgres holds the truth, and workers look there by themselves.
"""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.broker import HintBroker
from core.config import RedisSettings
from core.redis_kinds.channels import publish

log = structlog.get_logger(__name__)

RUN_TASK = "agent_run"
"""The only task name. It must never change: an older worker drops tasks whose name it does not know."""


def cancel_channel(settings: RedisSettings) -> str:
    """Return the Redis channel on which workers hear of cancelled runs."""
    return f"{settings.key_prefix}:cancel"


def hint_message(run_pk: int, task_id: str) -> bytes:
    """Return the bytes that Taskiq writes for the task.

    Taskiq's own way (``AsyncKicker.kiq``) is a tenth of the CPU that an API process spends on a run: three models of
    pydantic, and a client of Redis, for each hint.
    """
    message = {
        "task_id": task_id,
        "task_name": RUN_TASK,
        "labels": {},
        "labels_types": {},
        "args": [run_pk],
        "kwargs": {},
    }
    return json.dumps(message).encode()


class Hints(Protocol):
    """Tells workers, best effort."""

    async def send(self, run_pk: int, task_id: str) -> bool:
        """Tell one worker that a run waits; False when nobody was told."""
        ...

    async def cancel(self, run_pk: int) -> None:
        """Tell all workers that a run should stop."""
        ...


class HintSender:
    """Sends hints, best effort; a failure costs latency only."""

    def __init__(self, broker: HintBroker, redis: Redis, settings: RedisSettings) -> None:
        self._broker = broker
        self._redis = redis
        self._settings = settings

    async def send(self, run_pk: int, task_id: str) -> bool:
        """Tell one worker that a run waits; False when the hint could not be sent."""
        try:
            # A Redis that accepts connections and does not answer must not delay the caller.
            async with asyncio.timeout(self._settings.command_timeout_seconds):
                await self._broker.post(hint_message(run_pk, task_id))
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("hint_not_sent", run=run_pk, error=type(exc).__name__)
            return False
        return True

    async def cancel(self, run_pk: int) -> None:
        """Tell all workers that a run should stop. Without the hint, its worker learns it with the next append."""
        try:
            async with asyncio.timeout(self._settings.command_timeout_seconds):
                await publish(self._redis, cancel_channel(self._settings), str(run_pk))
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("cancel_hint_not_sent", run=run_pk, error=type(exc).__name__)
