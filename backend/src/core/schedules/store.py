"""The rows of schedules, as their owners use them.

What belongs to somebody else, or to an agent that the caller's credential does not name, looks absent: the caller of this
module looks at ``agent_id``. Lock order: user, schedule, fires.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.agentscope.schemas.schedules import ScheduleForm
from core.errors import NotFound
from core.identity import Principal
from core.schedules.authority import Authority
from core.schedules.fire_store import LEAVE_OUT, NOTHING_PENDING

BY_OWNER = "by-owner"
_OWNER_PAUSED = "The owner paused it."
_NO_FIRE = 0
_SHOWN_FIRES = 20


class ScheduleStore:
    """The schedules of users."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def changing(self, principal: Principal, schedule_id: str | None) -> AsyncIterator[ScheduleChange]:
        """Change schedules of a user in one transaction.

        Args:
            principal: The user.
            schedule_id: The schedule that is locked, if there is one of this id.
        """
        async with self._engine.begin() as connection:
            yield await ScheduleChange.open(connection, principal, schedule_id)

    async def find(self, principal: Principal, schedule_id: str) -> RowMapping | None:
        """Return a schedule; ``None`` if the user has none of this id."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_FIND, _owner(principal) | {"schedule_id": schedule_id})
            return found.mappings().one_or_none()

    async def fires(self, schedule_pk: int) -> Sequence[RowMapping]:
        """Return the last fires of a schedule, newest first."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_FIRES, {"id": schedule_pk, "limit": _SHOWN_FIRES})
            return found.mappings().all()

    async def page(
        self,
        principal: Principal,
        *,
        agents: Sequence[str] | None,
        default_agent: str,
        limit: int,
        before: int | None,
    ) -> Sequence[RowMapping]:
        """Return schedules, newest first, each with its last fire.

        Args:
            principal: Whose.
            agents: Only those of these agents; of all when ``None``.
            default_agent: To which those belong that name no agent.
            limit: How many at most.
            before: Only those with a smaller row number.
        """
        values = {"agents": None if agents is None else list(agents), "default_agent": default_agent}
        async with self._engine.connect() as connection:
            found = await connection.execute(
                _PAGE, _owner(principal) | values | {"limit": limit, "before": before}
            )
            return found.mappings().all()

    async def begin_fire(self, schedule_pk: int, key: str, lease_seconds: float) -> RowMapping | None:
        """Write down a fire that somebody asks for, and take it; the one of the same key if there is one.

        Returns:
            The fire with its schedule's members; ``None`` if the schedule was deleted.
        """
        values = {"id": schedule_pk, "key": key, "lease": lease_seconds}
        async with self._engine.begin() as connection:
            await connection.execute(_BEGIN, values)
            return (await connection.execute(_BEGUN, values)).mappings().one_or_none()


class ScheduleChange:
    """An open transaction that has the lock of a user's schedules, or of one of them."""

    def __init__(
        self,
        connection: AsyncConnection,
        principal: Principal,
        schedule_id: str | None,
        row: RowMapping | None,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._principal = principal
        self._schedule_id = schedule_id
        self.row = row
        """The schedule as it is; ``None`` if there is none."""
        self.now = now
        """The time of the database."""

    @classmethod
    async def open(
        cls, connection: AsyncConnection, principal: Principal, schedule_id: str | None
    ) -> ScheduleChange:
        """Lock the user's schedules to add one without an id, or the schedule of the id."""
        owner = _owner(principal)
        await connection.execute(_LOCK_USER, owner)
        row = None
        if schedule_id is not None:
            found = await connection.execute(_FIND_LOCKED, owner | {"schedule_id": schedule_id})
            row = found.mappings().one_or_none()
        now = (await connection.execute(_NOW)).scalar_one()
        return cls(connection, principal, schedule_id, row, now)

    async def thread_agent(self, thread_id: str) -> tuple[str | None, bool]:
        """Return the agent in the row of a thread, and whether the thread is still to begin."""
        found = await self._connection.execute(_THREAD, _owner(self._principal) | {"thread_id": thread_id})
        row = found.one_or_none()
        return (None, True) if row is None else (row.agent_id, row.last_ordinal == 0)

    async def count(self) -> int:
        """Return how many schedules the user has that have not ended."""
        return (await self._connection.execute(_COUNT, _owner(self._principal))).scalar_one()

    async def add(
        self,
        schedule_id: str,
        request_hash: bytes,
        form: ScheduleForm,
        agent_id: str | None,
        authority: Authority,
        next_at: datetime | None,
        *,
        most_ended: int,
    ) -> RowMapping:
        """Add a schedule, and delete the user's oldest ended ones if there are more than ``most_ended``.

        Args:
            schedule_id: No schedule of the user has it.
            request_hash: Of the body that makes it.
            form: What it is.
            agent_id: To which agent it belongs.
            authority: By what right it fires.
            next_at: Its next instant; ``None``: it begins paused.
            most_ended: How many ended ones are kept.
        """
        owner = _owner(self._principal)
        values = owner | _changed(form, agent_id, authority) | {"now": self.now, "next": next_at}
        values |= {"schedule_id": schedule_id, "request_hash": request_hash}
        row = (await self._connection.execute(_ADD, values)).mappings().one()
        await self._connection.execute(_DROP_ENDED, owner | {"most": most_ended})
        return row

    async def change(
        self,
        form: ScheduleForm,
        agent_id: str | None,
        authority: Authority,
        next_at: datetime | None,
        *,
        enabled: bool,
        anew: bool,
        leave_out: bool,
    ) -> RowMapping:
        """Write the locked schedule anew.

        Args:
            form: What it is from now on.
            agent_id: To which agent it belongs.
            authority: By what right it fires from now on.
            next_at: Its next instant; ``None``: it is paused or has ended.
            enabled: Whether it is not paused.
            anew: Its instants are counted from now on.
            leave_out: Its fires that are still to be tried are left out.
        """
        key = self._key()
        values = _changed(form, agent_id, authority) | key | {"now": self.now}
        values |= {"next": next_at, "enabled": enabled, "anew": anew, "detail": _OWNER_PAUSED}
        row = (await self._connection.execute(_CHANGE, values)).mappings().one()
        if leave_out:
            about = {"code": "schedule-paused", "detail": _OWNER_PAUSED, "but": _NO_FIRE}
            await self._connection.execute(LEAVE_OUT, about | key)
        return row

    async def delete(self) -> None:
        """Delete the locked schedule with its fires. Its runs stay."""
        await self._connection.execute(_DELETE, self._key())

    def _key(self) -> dict[str, Any]:
        if self.row is None:
            raise NotFound("No such schedule.")
        return {"id": self.row["id"]}


def _owner(principal: Principal) -> dict[str, Any]:
    return {"tenant_id": principal.tenant_id, "user_id": principal.user_id}


def _changed(form: ScheduleForm, agent_id: str | None, authority: Authority) -> dict[str, Any]:
    return {
        "form": json.dumps(form.wire()),
        "agent_id": agent_id,
        "credential": authority.credential,
        "key_id": authority.key_id,
        "scopes": authority.scopes,
        "groups": authority.groups,
        "claims": json.dumps(authority.claims),
    }


_COLUMNS = (
    "id, schedule_id, request_hash, form, agent_id, decided_to, next_at, fires, paused_at, pause_code, pause_detail, "
    "ended_at, credential, scopes, authorized_at, created_at, updated_at"
)
_FIRE_COLUMNS = "fire_at, manual, state, attempts, run_id, thread_id, code, detail, missed_from, missed_count, next_try_at, settled_at"
_OF_OWNER = "tenant_id = :tenant_id AND user_id = :user_id"

_NOW = text("SELECT clock_timestamp()")

# Two numbers of 32 bits, so that they meet no other advisory lock of the database: "AGRS" in ASCII.
_LOCK_USER = text(
    "SELECT pg_advisory_xact_lock(1095193171, hashtext(length(:tenant_id) || '/' || :tenant_id || '/' || :user_id))"
)

_FIND = text(f"SELECT {_COLUMNS} FROM agent_schedule WHERE {_OF_OWNER} AND schedule_id = :schedule_id")  # noqa: S608  constants
_FIND_LOCKED = text(f"{_FIND.text} FOR NO KEY UPDATE")

_FIRES = text(f"""
SELECT {_FIRE_COLUMNS} FROM agent_schedule_fire WHERE schedule_pk = :id ORDER BY fire_at DESC, id DESC LIMIT :limit
""")  # noqa: S608  constants

_PAGE = text(f"""
SELECT {_COLUMNS}, to_jsonb(last) AS last_fire FROM agent_schedule AS s LEFT JOIN LATERAL (
    SELECT {_FIRE_COLUMNS} FROM agent_schedule_fire AS f WHERE f.schedule_pk = s.id
    ORDER BY f.fire_at DESC, f.id DESC LIMIT 1
) AS last ON true
WHERE {_OF_OWNER} AND (CAST(:before AS bigint) IS NULL OR s.id < :before)
    AND (CAST(:agents AS text[]) IS NULL OR coalesce(s.agent_id, :default_agent) = ANY (CAST(:agents AS text[])))
ORDER BY s.id DESC LIMIT :limit
""")  # noqa: S608  constants

_THREAD = text("""
SELECT agent_id, last_ordinal FROM agent_chat_session
WHERE tenant_id = :tenant_id AND user_id = :user_id AND thread_id = :thread_id
""")

_COUNT = text(f"SELECT count(*) FROM agent_schedule WHERE {_OF_OWNER} AND ended_at IS NULL")  # noqa: S608  constants

_ADD = text(f"""
INSERT INTO agent_schedule (tenant_id, user_id, schedule_id, request_hash, form, agent_id, decided_to, next_at, paused_at,
    pause_code, pause_detail, credential, key_id, scopes, groups, claims)
VALUES (:tenant_id, :user_id, :schedule_id, :request_hash, :form, :agent_id, :now, CAST(:next AS timestamptz),
    CASE WHEN CAST(:next AS timestamptz) IS NULL THEN CAST(:now AS timestamptz) END,
    CASE WHEN CAST(:next AS timestamptz) IS NULL THEN '{BY_OWNER}' END,
    CASE WHEN CAST(:next AS timestamptz) IS NULL THEN '{_OWNER_PAUSED}' END,
    :credential, :key_id, :scopes, :groups, :claims)
RETURNING {_COLUMNS}
""")  # noqa: S608  constants

_DROP_ENDED = text(f"""
DELETE FROM agent_schedule WHERE id = ANY (ARRAY(
    SELECT id FROM agent_schedule WHERE {_OF_OWNER} AND ended_at IS NOT NULL AND {NOTHING_PENDING}
    ORDER BY ended_at DESC OFFSET :most))
""")  # noqa: S608  constants

_CHANGE = text(f"""
UPDATE agent_schedule SET form = :form, agent_id = :agent_id, credential = :credential, key_id = :key_id,
    scopes = :scopes, groups = :groups, claims = :claims, authorized_at = clock_timestamp(),
    updated_at = clock_timestamp(), next_at = CAST(:next AS timestamptz),
    decided_to = CASE WHEN CAST(:anew AS boolean) THEN CAST(:now AS timestamptz) ELSE decided_to END,
    paused_at = CASE WHEN NOT CAST(:enabled AS boolean) THEN coalesce(paused_at, clock_timestamp()) END,
    pause_code = CASE WHEN NOT CAST(:enabled AS boolean) THEN coalesce(pause_code, '{BY_OWNER}') END,
    pause_detail = CASE WHEN NOT CAST(:enabled AS boolean) THEN coalesce(pause_detail, CAST(:detail AS text)) END,
    ended_at = CASE WHEN CAST(:enabled AS boolean) AND CAST(:next AS timestamptz) IS NULL
        THEN coalesce(ended_at, clock_timestamp()) END
WHERE id = :id
RETURNING {_COLUMNS}
""")  # noqa: S608  constants

_DELETE = text("DELETE FROM agent_schedule WHERE id = :id")

_BEGIN = text("""
INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, manual, late, give_up_at, next_try_at, attempts)
SELECT id, CAST(:key AS text), clock_timestamp(), true, true, clock_timestamp(),
    clock_timestamp() + :lease * interval '1 second', 1
FROM agent_schedule WHERE id = :id FOR KEY SHARE
ON CONFLICT (schedule_pk, fire_key) DO NOTHING
""")

_BEGUN = text("""
SELECT f.id AS fire_pk, f.schedule_pk, f.fire_key, f.fire_at, f.attempts, s.tenant_id, s.user_id, s.form
FROM agent_schedule_fire AS f JOIN agent_schedule AS s ON s.id = f.schedule_pk
WHERE f.schedule_pk = :id AND f.fire_key = :key
""")
