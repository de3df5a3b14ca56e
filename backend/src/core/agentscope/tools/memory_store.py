"""The stored memories of a user: short texts that ``remember`` adds and ``recall`` lists.

A memory belongs to a (tenant, user). Memories of other users are never visible and never count towards the limit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import func, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert

from core.database import SessionFactory
from core.erased_users import ERASED_LATELY_SQL, SHARE_LOCK_SQL, subject_of
from core.identity import Principal
from core.text import clean_text
from models.agent_memory import AgentMemory

MAX_MEMORIES = 1000
"""Per user. It bounds what one ``recall`` reads: 4 MiB at the very most."""


class MemoryFull(Exception):
    """The user has ``MAX_MEMORIES`` memories."""


@dataclass(frozen=True, slots=True)
class Memory:
    text: str
    created_at: datetime


class MemoryStore(Protocol):
    """Durable short texts per user."""

    async def add(self, principal: Principal, text: str, *, idempotency_key: str) -> bool:
        """Store a text once per (user, key).

        Returns:
            False when the key was used before: nothing is stored then.

        Raises:
            MemoryFull: Nothing is stored. A repeat is never refused for this.
        """
        ...

    async def list(self, principal: Principal, *, query: str = "", limit: int) -> Sequence[Memory]:
        """Return at most ``limit`` memories, newest first, that hold every word of ``query``, in any case."""
        ...


def _matches(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


class PostgresMemoryStore:
    """The `MemoryStore` of every real process."""

    def __init__(self, session_factory: SessionFactory) -> None:
        self._session_factory: SessionFactory = session_factory

    async def add(self, principal: Principal, text: str, *, idempotency_key: str) -> bool:
        statement = (
            insert(AgentMemory)
            .values(
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                text=clean_text(text),
                idempotency_key=_owned_key(principal, idempotency_key),
            )
            .on_conflict_do_nothing()
            .returning(AgentMemory.id)
        )
        count = select(func.count()).where(*_owner(principal))
        async with self._session_factory.begin() as session:
            # One writer per user, or two at once would both find room for the last place.
            # An erasure that begins now waits for this note, and takes it along.
            await session.execute(_LOCK, {**_key(principal), "lock": _lock_key(principal)})
            if not await session.scalar(_HAS_RUN, _of_run(principal, idempotency_key)):
                # The user was erased while the run was under way, which its worker does not know yet.
                return False
            if await session.scalar(statement) is None:
                return False
            if (await session.scalar(count) or 0) > MAX_MEMORIES:
                raise MemoryFull  # leaves the block by an exception: the insert is undone
        return True

    async def list(self, principal: Principal, *, query: str = "", limit: int) -> Sequence[Memory]:
        words = query.casefold().split()
        statement = (
            select(AgentMemory.text, AgentMemory.created_at)
            .where(*_owner(principal))
            .order_by(AgentMemory.id.desc())
            # Words are compared here: what ILIKE folds depends on the database's locale, and with "C" it
            # is ASCII alone.
            .limit(MAX_MEMORIES if words else limit)
        )
        async with self._session_factory() as session:
            rows = (await session.execute(statement)).all()
        return [Memory(text, created_at) for text, created_at in rows if _matches(text, words)][:limit]


_LOCK = sql(f"SELECT pg_advisory_xact_lock(:lock), {SHARE_LOCK_SQL}")
# Without an erasure, nobody looks for the run.
_HAS_RUN = sql(f"""
SELECT CASE WHEN {ERASED_LATELY_SQL} THEN EXISTS (
    SELECT FROM agent_run AS r WHERE r.tenant_id = :tenant_id AND r.user_id = :user_id
        AND starts_with(CAST(:key AS text), r.run_id || ':'))
ELSE true END
""")  # noqa: S608  the part is a constant


def _key(principal: Principal) -> dict[str, Any]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


def _of_run(principal: Principal, key: str) -> dict[str, Any]:
    return {
        **_key(principal),
        "key": clean_text(key),
        "subject": subject_of(principal.tenant_id, principal.user_id),
    }


def _owner(principal: Principal) -> tuple[Any, Any]:
    return AgentMemory.tenant_id == principal.tenant_id, AgentMemory.user_id == principal.user_id


def _owned_key(principal: Principal, key: str) -> str:
    """Bind the key to its owner: run ids may come from clients, so two users can hold the same one."""
    return _digest(principal, key).hex()


def _lock_key(principal: Principal) -> int:
    """64 signed bits, as advisory locks take. Users that share them only wait for each other."""
    return int.from_bytes(_digest(principal, "agent_memory")[:8], signed=True)


def _digest(principal: Principal, text: str) -> bytes:
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must differ.
    return hashlib.sha256(json.dumps([principal.tenant_id, principal.user_id, text]).encode()).digest()


class InMemoryMemoryStore:
    """The same contract in a dictionary, for tests and for an agent without a database."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock: Callable[[], datetime] = clock
        self._memories: dict[Principal, dict[str, Memory]] = {}

    async def add(self, principal: Principal, text: str, *, idempotency_key: str) -> bool:
        mine = self._memories.setdefault(principal, {})
        if idempotency_key in mine:
            return False
        if len(mine) >= MAX_MEMORIES:
            raise MemoryFull
        mine[idempotency_key] = Memory(clean_text(text), self._clock())
        return True

    async def list(self, principal: Principal, *, query: str = "", limit: int) -> Sequence[Memory]:
        words = query.casefold().split()
        newest_first = reversed(self._memories.get(principal, {}).values())
        return [memory for memory in newest_first if _matches(memory.text, words)][:limit]
