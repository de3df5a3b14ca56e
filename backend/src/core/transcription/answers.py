"""Stores answers for a while, so that a repeated upload is answered without another transcription.

Best effort: without Redis every upload is transcribed again, which costs money but gives correct answers.
"""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.config import RedisSettings
from core.identity import Principal
from core.owned_keys import note_key
from core.transcription.transcription import Transcription

log = structlog.get_logger(__name__)


class Answers(Protocol):
    """Answers by the fingerprint of their request. The fingerprint includes the user."""

    async def find(self, fingerprint: str) -> Transcription | None:
        """Return the stored answer of a request; ``None`` if there is none, or if it has expired."""
        ...

    async def put(self, principal: Principal, fingerprint: str, answer: Transcription) -> None:
        """Store an answer."""
        ...

    async def drop(self, fingerprint: str) -> None:
        """Forget an answer."""
        ...

    async def claim(self, principal: Principal, key: str, fingerprint: str) -> bool:
        """Bind a user's idempotency key to a request; ``False`` when another request has it."""
        ...


class RedisAnswers:
    """Shared by all API processes.

    Args:
        redis: Client for short commands.
        settings: For the key prefix.
        keep_seconds: How long an answer and a key are kept; 0: nothing is.
    """

    def __init__(self, redis: Redis, settings: RedisSettings, *, keep_seconds: int) -> None:
        self._redis = redis
        self._owner_prefix = settings.key_prefix
        self._prefix = f"{settings.key_prefix}:transcription"
        self._keep_seconds = keep_seconds

    async def find(self, fingerprint: str) -> Transcription | None:
        if not self._keep_seconds:
            return None
        try:
            found = await self._redis.get(self._answer(fingerprint))
            return Transcription.model_validate_json(found) if found else None
        except ValidationError:
            return None  # written by another version
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_not_looked_up", error=type(exc).__name__)
            return None

    async def put(self, principal: Principal, fingerprint: str, answer: Transcription) -> None:
        if not self._keep_seconds:
            return
        try:
            await self._note(principal, self._answer(fingerprint))
            await self._redis.set(
                self._answer(fingerprint),
                answer.model_dump_json(),
                ex=self._keep_seconds,
                nx=True,
            )
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_not_remembered", error=type(exc).__name__)

    async def drop(self, fingerprint: str) -> None:
        try:
            await self._redis.delete(self._answer(fingerprint))
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_not_dropped", error=type(exc).__name__)

    async def claim(self, principal: Principal, key: str, fingerprint: str) -> bool:
        if not self._keep_seconds:
            return True
        name = f"{self._prefix}:key:{_owned(principal, key)}"
        try:
            await self._note(principal, name)
            if await self._redis.set(name, fingerprint, ex=self._keep_seconds, nx=True):
                return True
            # The key expired between the two commands, so it is free.
            return await self._redis.get(name) in {None, fingerprint.encode()}
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("transcription_key_not_looked_up", error=type(exc).__name__)
            return True

    async def _note(self, principal: Principal, key: str) -> None:
        await note_key(self._redis, self._owner_prefix, principal, key, seconds=self._keep_seconds)

    def _answer(self, fingerprint: str) -> str:
        return f"{self._prefix}:answer:{fingerprint}"


class MemoryAnswers:
    """The same contract in the memory of one process, without expiry; for tests."""

    def __init__(self) -> None:
        self._answers: dict[str, Transcription] = {}
        self._keys: dict[str, str] = {}

    async def find(self, fingerprint: str) -> Transcription | None:
        return self._answers.get(fingerprint)

    async def put(self, principal: Principal, fingerprint: str, answer: Transcription) -> None:
        self._answers.setdefault(fingerprint, answer)

    async def drop(self, fingerprint: str) -> None:
        self._answers.pop(fingerprint, None)

    async def claim(self, principal: Principal, key: str, fingerprint: str) -> bool:
        return self._keys.setdefault(_owned(principal, key), fingerprint) == fingerprint


def _owned(principal: Principal, key: str) -> str:
    return hashlib.sha256(json.dumps([principal.tenant_id, principal.user_id, key]).encode()).hexdigest()
