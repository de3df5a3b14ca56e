"""The rows of erasures: who is being erased, what was removed so far, and the receipts afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.erased_users import LOCK, LOCK_NAME_SQL, require_somebody, subject_of
from core.identity import Principal

AskedBy = Literal["owner", "admin", "operator"]

HOLD_SECONDS = 60
"""How long a process has an erasure for itself after each of its steps. What two do at once is done once all the same."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure, and what it has removed so far."""

    erasure_id: str
    tenant_id: str
    user_id: str | None
    """``None``: it is over."""
    asked_by: AskedBy
    counts: Mapping[str, int]
    asked_at: datetime
    finished_at: datetime | None

    @property
    def principal(self) -> Principal:
        """Whose data it is.

        Raises:
            ValueError: It is over.
        """
        if self.user_id is None:
            raise ValueError("an erasure that is over names nobody")
        return Principal(self.tenant_id, self.user_id)


class Erasures:
    """The erasures of a deployment."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def begin(self, principal: Principal, asked_by: AskedBy) -> Erasure:
        """Begin the erasure of a user, or return the one that is under way.

        From the return on, no row with which data of the user begins is written any more: what was being written before
        is committed, and what comes later is refused.

        Raises:
            ValueError: The principal names nobody.
        """
        require_somebody(principal.tenant_id, principal.user_id)
        values = {**_key(principal), "subject": subject_of(principal.tenant_id, principal.user_id)}
        values |= {"erasure_id": str(uuid.uuid4()), "asked_by": asked_by}
        async with self.engine.begin() as connection:
            await connection.execute(_LOCK_OUT, _key(principal))
            found = (await connection.execute(_UNFINISHED_OF, _key(principal))).mappings().one_or_none()
            if found is None:
                found = (await connection.execute(_BEGIN, values)).mappings().one()
            return _erasure(found)

    async def newest(self, principal: Principal) -> Erasure | None:
        """Return the newest erasure of a user, under way or over."""
        values = {"subject": subject_of(principal.tenant_id, principal.user_id)}
        async with self.engine.connect() as connection:
            found = (await connection.execute(_NEWEST, values)).mappings().one_or_none()
            return None if found is None else _erasure(found)

    async def get(self, erasure_id: str) -> Erasure:
        """Return an erasure by its id."""
        async with self.engine.connect() as connection:
            return _erasure((await connection.execute(_GET, {"erasure_id": erasure_id})).mappings().one())

    async def unfinished(self) -> list[Erasure]:
        """Return the erasures that are under way, oldest first."""
        async with self.engine.connect() as connection:
            return [_erasure(row) for row in (await connection.execute(_UNFINISHED)).mappings()]

    async def take(self, erasure_id: str) -> bool:
        """Take an erasure that nobody works on; False if somebody does, or if it is over."""
        async with self.engine.begin() as connection:
            values = {"erasure_id": erasure_id, "seconds": HOLD_SECONDS}
            return (await connection.execute(_TAKE, values)).rowcount > 0

    async def let_go(self, erasure_id: str) -> None:
        """Let another process go on with it at once."""
        async with self.engine.begin() as connection:
            await connection.execute(_LET_GO, {"erasure_id": erasure_id})

    async def finish(self, erasure_id: str) -> None:
        """Note that nothing of the user is left, and forget who it was."""
        async with self.engine.begin() as connection:
            await connection.execute(_FINISH, {"erasure_id": erasure_id})

    async def note(self, erasure_id: str, counts: Mapping[str, int]) -> None:
        """Add to what was removed, outside of Postgres."""
        async with self.engine.begin() as connection:
            await note(connection, erasure_id, counts)


async def note(connection: AsyncConnection, erasure_id: str, counts: Mapping[str, int]) -> None:
    """Add to what was removed, in the transaction that removes it. Also keeps the erasure for this process."""
    more = {name: count for name, count in counts.items() if count}
    values = {"erasure_id": erasure_id, "more": json.dumps(more), "seconds": HOLD_SECONDS}
    await connection.execute(_NOTE, values)


def _key(principal: Principal) -> dict[str, Any]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


def _erasure(row: RowMapping) -> Erasure:
    return Erasure(**row)


_COLUMNS = "erasure_id, tenant_id, user_id, asked_by, counts, asked_at, finished_at"
_LOCK_OUT = text(f"SELECT pg_advisory_xact_lock({LOCK}, {LOCK_NAME_SQL})")
_UNFINISHED_OF = text(f"""
SELECT {_COLUMNS} FROM agent_erasure
WHERE tenant_id = :tenant_id AND user_id = :user_id AND finished_at IS NULL
""")  # noqa: S608  constants
_BEGIN = text(f"""
INSERT INTO agent_erasure (erasure_id, tenant_id, user_id, subject, asked_by)
VALUES (:erasure_id, :tenant_id, :user_id, :subject, :asked_by) RETURNING {_COLUMNS}
""")  # noqa: S608
_NEWEST = text(f"""
SELECT {_COLUMNS} FROM agent_erasure WHERE subject = :subject ORDER BY asked_at DESC LIMIT 1
""")  # noqa: S608
_GET = text(f"SELECT {_COLUMNS} FROM agent_erasure WHERE erasure_id = :erasure_id")  # noqa: S608
# Every tenant is in the condition: the index of what is under way is walked by its key, however many receipts there are.
_UNFINISHED = text(f"""
SELECT {_COLUMNS} FROM agent_erasure WHERE finished_at IS NULL AND tenant_id >= '' ORDER BY asked_at
""")  # noqa: S608
_TAKE = text("""
UPDATE agent_erasure SET held_until = clock_timestamp() + :seconds * interval '1 second'
WHERE erasure_id = :erasure_id AND finished_at IS NULL AND coalesce(held_until < clock_timestamp(), true)
""")
_LET_GO = text("UPDATE agent_erasure SET held_until = NULL WHERE erasure_id = :erasure_id")
_FINISH = text("""
UPDATE agent_erasure SET finished_at = clock_timestamp(), user_id = NULL, held_until = NULL
WHERE erasure_id = :erasure_id AND finished_at IS NULL
""")
_NOTE = text("""
UPDATE agent_erasure AS e SET held_until = clock_timestamp() + :seconds * interval '1 second',
    counts = e.counts || (
        SELECT coalesce(jsonb_object_agg(m.key, coalesce((e.counts ->> m.key)::bigint, 0) + m.value::bigint), '{}')
        FROM jsonb_each_text(CAST(:more AS jsonb)) AS m)
WHERE e.erasure_id = :erasure_id AND e.finished_at IS NULL
""")
